use thiserror::Error as ThisError;

use crate::backend::Error;

/// Why a token was refused. Nothing of the token is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum TokenError {
    /// Over the [`len_max`](super::TokensBuilder::len_max) of its kind.
    #[error("the token is longer than tokens of this kind may be")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("the token is not a compact JWS")]
    Malformed,
    /// A header with another algorithm than its key's, or with a member that changes what the
    /// token means: `crit`, `b64`, `zip` or `enc`.
    #[error("the token's header is not one of ours")]
    UnsupportedHeader,
    /// Of another kind: its `typ` is not ours, or is missing although one was asked for.
    #[error("the token is of another kind")]
    WrongType,
    /// No key, or more than one, could have signed it. A reason to fetch the issuer's keys again,
    /// though not more often than every ten seconds.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Signed with another key, or changed.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// A claim is missing, doubled or of a wrong type.
    #[error("the token's claims are not valid")]
    InvalidClaims,
    /// Of another issuer.
    #[error("the token is of another issuer")]
    ForeignIssuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    ForeignAudience,
    /// Past `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before `nbf`.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Valid for longer than a token may be, by its own dates or from now.
    #[error("the token's life is too long")]
    TooLongLived,
    /// Revoked, alone or with all others of its subject.
    #[error("the token has been revoked")]
    Revoked,
}

/// Why a token is not known to be live: it is refused, or the store did not say.
#[derive(Debug, ThisError)]
pub enum CheckError {
    /// The token is no good.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// Nobody knows whether it was revoked: treat it as a failure of the service.
    #[error(transparent)]
    Store(#[from] Error),
}
