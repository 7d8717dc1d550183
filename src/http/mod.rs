//! Sessions, tokens, idempotency and health for [poem](https://docs.rs/poem).
//!
//! A request goes through these middlewares, each of which leaves something for the next:
//!
//! | middleware | needs | leaves in the request |
//! | --- | --- | --- |
//! | [`SameOrigin`] | | nothing; refuses what another site's page sends |
//! | [`BodyLimit`] | | a body that is in memory and not too long |
//! | [`CookieSession`] | | [`SessionHandle<T>`](crate::session::SessionHandle), and the [`SessionId`](crate::session::SessionId) that was brought, if any. No look-up before it is used |
//! | [`BearerAuth`] or [`CookieAuth`] | | [`SessionId`](crate::session::SessionId); with a token also its [`Principal`](crate::Principal) and [`Verified`](crate::token::Verified). No look-up, except of revocations |
//! | [`LiveSession`] | a `SessionHandle<T>` or a `SessionId` | `Arc<Session<T>>`, and its `Principal` |
//! | [`Idempotent`] | a `Principal`; with [`per_session`](Idempotent::per_session) a `SessionId` | [`Execution`] |
//!
//! In poem the middleware that is added last sees a request first, so `.with(…)` adds them from the
//! bottom of this table to its top.
//!
//! A session's changes that wait for [`CookieSession`] are made after [`Idempotent`] has kept the
//! answer, and can be lost in between; both say what to do instead.
//!
//! Every error is a [`Problem`] (RFC 9457). Handlers take what the middlewares left with
//! [`poem::web::Data`].

mod age;
mod auth;
mod body;
mod cacheable;
mod canonical;
mod carrier;
mod caught;
mod cookie;
mod cookie_builder;
mod cookie_session;
mod entity_tag;
mod execute;
mod fingerprint;
mod freshness;
mod health;
mod hint;
mod idempotent;
mod key;
mod origin;
mod problem;
mod session;
mod stored;
mod unknown;
mod wire;

pub use auth::{BearerAuth, BearerAuthEndpoint, CookieAuth, CookieAuthEndpoint};
pub use body::{BodyLimit, BodyLimitEndpoint, JsonBody};
pub use cookie::SessionCookie;
pub use cookie_builder::{SameSite, SessionCookieBuilder};
pub use cookie_session::{CookieSession, CookieSessionEndpoint};
pub use entity_tag::EntityTag;
pub use execute::{Execution, Outcome, Responded};
pub use freshness::mark_stale;
pub use health::{HealthReport, HealthStatus, health};
pub use idempotent::{Idempotent, IdempotentEndpoint};
pub use key::idempotency_key;
pub use origin::{SameOrigin, SameOriginEndpoint};
pub use problem::Problem;
pub use session::{LiveSession, LiveSessionEndpoint};
pub use stored::StoredResponse;
