//! Calls of the real thing, and what they tell.

use std::time::Duration;

use steadfast::backend::{Error, ErrorKind};
use steadfast::session::{
    AtLimit, Changed, Device, Ended, Found, Rotation, Session, SessionError, SessionId,
};
use steadfast::{Principal, Sessions, Store};

use super::content::{Named, Trail, edit, plain};
use super::generate::{PRINCIPALS, Verb};

pub(super) const IDLE: Duration = Duration::from_secs(600);
pub(super) const SLACK: Duration = Duration::from_secs(60);
pub(super) const ABSOLUTE: Duration = Duration::from_secs(1_200);
pub(super) const RENEWAL: Duration = Duration::from_secs(500);
pub(super) const GRACE: Duration = Duration::from_secs(10);
pub(super) const EVIDENCE: Duration = Duration::from_secs(120);
pub(super) const PER_PRINCIPAL_MAX: usize = 2;

/// One process: its handle on the sessions.
pub(super) fn replica(store: &Store, at_limit: AtLimit) -> Sessions<Trail> {
    let builder = Sessions::builder(store)
        .idle(IDLE)
        .absolute(ABSOLUTE)
        .renewal(RENEWAL)
        .grace(GRACE)
        .per_principal_max(PER_PRINCIPAL_MAX)
        .at_limit(at_limit);
    builder.build().unwrap()
}

pub(super) fn principal(who: usize) -> Principal {
    Principal::new(["alice", "bob"][..PRINCIPALS][who]).unwrap()
}

/// A call with what it is about.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) verb: Verb,
    /// Stands for what the call makes.
    pub(super) number: u32,
    pub(super) id: Option<SessionId>,
    pub(super) who: usize,
    pub(super) device: Option<Listed>,
    pub(super) refuses: bool,
}

/// A device as somebody saw it on the list.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) who: usize,
    pub(super) short_id: String,
    pub(super) label: u32,
}

/// What a caller is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Session(Box<Shown>),
    Ended(Ended),
    Updated { output: usize, version: u64 },
    Done,
    Was(bool),
    Devices(Vec<Device>),
    Full { live: usize },
    Changed,
    Invalid,
    Failed { kind: ErrorKind, ambiguous: bool },
}

/// A session as it was shown. `Debug` of the real thing hides most of it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) id: SessionId,
    pub(super) trail: Vec<u32>,
    pub(super) named: Named,
    pub(super) principal: Option<String>,
    pub(super) version: u64,
    pub(super) idle_us: u64,
    pub(super) absolute_us: u64,
    pub(super) renewal_due: bool,
}

impl Call {
    pub(super) fn id(&self) -> &SessionId {
        self.id.as_ref().unwrap()
    }

    pub(super) async fn make(&self, sessions: &Sessions<Trail>) -> Told {
        let (principal, label) = (principal(self.who), self.number.to_string());
        match &self.verb {
            Verb::Create => told(sessions.create(Trail::default()).await.map(Told::of)),
            Verb::SignIn => {
                refusal(sessions.sign_in(&principal, &label, Trail::default()).await.map(Told::of))
            }
            Verb::Elevate => {
                refusal(sessions.elevate(self.id(), &principal, &label).await.map(Told::of))
            }
            Verb::Find => told(sessions.find(self.id()).await.map(Told::found)),
            Verb::Peek => told(
                sessions
                    .peek(self.id())
                    .await
                    .map(|session| session.map_or(Told::Ended(Ended::Missing), Told::of)),
            ),
            Verb::Update(effect) => {
                let changed = sessions.update(self.id(), |trail| {
                    trail.0.extend(effect.then_some(self.number));
                    trail.0.len()
                });
                refusal(changed.await.map(|Changed { output, version }| Told::Updated {
                    output,
                    version: version.get(),
                }))
            }
            Verb::Edit(changes) => {
                refusal(sessions.edit(self.id(), &edit(changes)).await.map(|()| Told::Done))
            }
            Verb::Rotate(renewal) => {
                let rotation = if *renewal { Rotation::Renewal } else { Rotation::PrivilegeChange };
                refusal(sessions.rotate(self.id(), rotation).await.map(Told::of))
            }
            Verb::Destroy => refusal(sessions.destroy(self.id()).await.map(|()| Told::Done)),
            Verb::DestroyDevice => {
                let device = self.device.as_ref().unwrap();
                let (who, short_id) = (super::call::principal(device.who), &device.short_id);
                told(sessions.destroy_device(&who, short_id).await.map(Told::Was))
            }
            Verb::DestroyAll => told(sessions.destroy_all(&principal).await.map(|()| Told::Done)),
            Verb::Devices => {
                told(sessions.devices(&principal, self.id.as_ref()).await.map(Told::Devices))
            }
        }
    }
}

impl Told {
    fn of(session: Session<Trail>) -> Self {
        Self::Session(Box::new(Shown {
            trail: session.state.0,
            named: plain(&session.attributes),
            principal: session.principal,
            version: session.version.get(),
            idle_us: micros(session.idle_left),
            absolute_us: micros(session.absolute_left),
            renewal_due: session.renewal_due,
            id: session.id,
        }))
    }

    fn found(found: Found<Trail>) -> Self {
        match found {
            Found::Live(session) => Self::of(session),
            Found::Ended(ended) => Self::Ended(ended),
        }
    }
}

fn told(answer: Result<Told, Error>) -> Told {
    answer.unwrap_or_else(|error| match error.kind() {
        ErrorKind::Invalid => Told::Invalid,
        kind => Told::Failed { kind, ambiguous: error.is_ambiguous() },
    })
}

fn refusal(answer: Result<Told, SessionError>) -> Told {
    match answer {
        Ok(told) => told,
        Err(SessionError::Gone(ended)) => Told::Ended(ended),
        Err(SessionError::Changed) => Told::Changed,
        Err(SessionError::LimitReached { live }) => Told::Full { live },
        Err(SessionError::SomebodyElse) => Told::Invalid,
        Err(SessionError::Store(error)) => told(Err(error)),
        Err(other) => panic!("an error of a new kind: {other:?}"),
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}
