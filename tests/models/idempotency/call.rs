//! Calls of the real thing, and what they tell.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast::backend::{Condition, Result, Version, Write};
use steadfast::idempotency::{
    Begin, Claim, CompletedWith, Completion, Fingerprint, IdempotencyKey, OnLapse, Reason, Release,
    Renewal, Resolution, Resolved, Scope, Tombstone,
};
use steadfast::{Idempotency, Principal, State, Store};

use super::generate::Verb;

pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const RETENTION: Duration = Duration::from_secs(3_600);

/// What an execution answers: who it was, and bytes that no text could be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer(pub(super) u32, Vec<u8>);

impl State for Answer {
    const SCHEMA: u16 = 1;
}

impl Answer {
    pub(super) fn of(number: u32) -> Self {
        Self(number, vec![0, 255, 10])
    }
}

/// How often the effect of a key happened.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Effects(pub(super) u32);

impl State for Effects {
    const SCHEMA: u16 = 1;
}

/// One process: its handles, one for each policy.
pub(super) struct Process {
    pub(super) store: Store,
    handles: [Idempotency<Answer>; 3],
}

impl Process {
    pub(super) fn on(store: Store) -> Self {
        let build = |on_lapse| {
            let builder = Idempotency::builder(&store).lease(LEASE).retention(RETENTION);
            builder.on_lapse(on_lapse).build().unwrap()
        };
        let handles = [OnLapse::Refuse, OnLapse::TakeOver, OnLapse::Recover].map(build);
        Self { store, handles }
    }

    pub(super) fn handle(&self, on_lapse: OnLapse) -> &Idempotency<Answer> {
        &self.handles[on_lapse as usize]
    }

    pub(super) fn effects_key(&self, key: usize) -> steadfast::backend::Key {
        self.store.key("effect", &alice().group(), &key.to_string()).unwrap()
    }
}

fn alice() -> Principal {
    Principal::new("alice").unwrap()
}

pub(super) fn scope() -> Scope {
    Scope::of(&alice(), "pay")
}

pub(super) fn idempotency_key(key: usize) -> IdempotencyKey {
    IdempotencyKey::new(format!("k-{key}")).unwrap()
}

/// A claim in the hands of a process.
pub(super) struct Held {
    pub(super) claim: Claim<Answer>,
    pub(super) facts: Facts,
}

/// What its holder knows of a claim.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    /// Stands for it.
    pub(super) number: u32,
    pub(super) key: usize,
    pub(super) print: u8,
    pub(super) attempt: u16,
    pub(super) effect_id: String,
    pub(super) effects_started: bool,
    pub(super) checkpoint: Option<u8>,
}

/// A call with what it is about.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) verb: Verb,
    pub(super) number: u32,
    pub(super) key: usize,
    pub(super) on_lapse: OnLapse,
    /// Of the claim, with what this call says of it.
    pub(super) facts: Option<Facts>,
    /// The version to be resolved.
    pub(super) looked: Option<Version>,
}

/// What a caller is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Acquired(Facts, Version),
    Replay(Answer),
    InFlight {
        lease_left: Duration,
        attempt: u16,
    },
    Mismatch,
    Lapsed {
        attempt: u16,
    },
    Indeterminate {
        reason: Reason,
        answer: Option<Answer>,
    },
    /// Renewed, completed, released, kept or resolved.
    Done,
    /// Not any more.
    Lost,
    Fenced(Option<Answer>),
    /// A release after effects, or a change that does not fit.
    Refused,
    Failed {
        ambiguous: bool,
    },
}

impl Call {
    /// Makes the call; gives the claim that it got.
    pub(super) async fn make(
        &self,
        process: &Process,
        held: Option<&mut Held>,
    ) -> (Told, Option<Claim<Answer>>) {
        let told = match (self.verb, held) {
            (Verb::Begin(print), _) => self.begin(process, print).await,
            (Verb::Resolve { completed, .. }, _) => {
                self.resolve(process, completed).await.map(|told| (told, None))
            }
            (_, Some(held)) => self.act(process, &mut held.claim).await.map(|told| (told, None)),
            (_, None) => panic!("{self:?} is about no claim"),
        };
        told.unwrap_or_else(|error| (Told::Failed { ambiguous: error.is_ambiguous() }, None))
    }

    async fn begin(&self, process: &Process, print: u8) -> Result<(Told, Option<Claim<Answer>>)> {
        let (key, fingerprint) = (idempotency_key(self.key), Fingerprint::of([[print]]));
        let begin = process.handle(self.on_lapse).begin(&scope(), &key, &fingerprint).await?;
        Ok((
            match begin {
                Begin::Acquired(claim) => {
                    let facts = Facts {
                        number: self.number,
                        key: self.key,
                        print,
                        attempt: claim.attempt(),
                        effect_id: claim.effect_id().to_owned(),
                        effects_started: false,
                        checkpoint: claim.checkpoint().map(|checkpoint| checkpoint[0]),
                    };
                    return Ok((Told::Acquired(facts, claim.fence()), Some(claim)));
                }
                Begin::Replay(answer) => Told::Replay(answer),
                Begin::InFlight { lease_left, attempt } => Told::InFlight { lease_left, attempt },
                Begin::Mismatch => Told::Mismatch,
                Begin::Lapsed { attempt } => Told::Lapsed { attempt },
                Begin::Indeterminate { reason, answer } => Told::Indeterminate { reason, answer },
            },
            None,
        ))
    }

    async fn act(&self, process: &Process, claim: &mut Claim<Answer>) -> Result<Told> {
        let answer = Answer::of(self.number);
        Ok(match self.verb {
            Verb::Renew => renewal(claim.renew().await?),
            Verb::MarkEffects => renewal(claim.mark_effects().await?),
            Verb::SaveCheckpoint(at) => renewal(claim.save_checkpoint(vec![at]).await?),
            Verb::Complete => match claim.complete(&answer).await? {
                Completion::Completed => Told::Done,
                Completion::Fenced { winner } => Told::Fenced(winner),
            },
            Verb::CompleteWith => self.complete_with(process, claim, &answer).await?,
            Verb::Tombstone { oversize, answered } => {
                let answer = answered.then_some(&answer);
                match claim.tombstone(reason(oversize), answer).await? {
                    Tombstone::Kept => Told::Done,
                    Tombstone::Fenced { winner } => Told::Fenced(winner),
                }
            }
            Verb::Release => match claim.release().await? {
                Release::Released => Told::Done,
                Release::Lost => Told::Lost,
                Release::Refused => Told::Refused,
            },
            Verb::Begin(_) | Verb::Resolve { .. } => panic!("{self:?} is about no claim"),
        })
    }

    /// The effect is computed from what is there, and depends on it.
    async fn complete_with(
        &self,
        process: &Process,
        claim: &Claim<Answer>,
        answer: &Answer,
    ) -> Result<Told> {
        let key = process.effects_key(self.key);
        let found = process.store.get::<Effects>(&key).await?;
        let only_if =
            found.as_ref().map_or(Condition::Absent, |found| Condition::VersionIs(found.version));
        let effects = Effects(found.map_or(0, |found| found.value.0) + 1);
        let change: Write = process.store.put_write(&key, &effects)?.only_if(only_if);
        Ok(match claim.complete_with(answer, vec![change]).await? {
            CompletedWith::Completed => Told::Done,
            CompletedWith::Fenced { winner } => Told::Fenced(winner),
            CompletedWith::Refused { .. } => Told::Refused,
        })
    }

    async fn resolve(&self, process: &Process, completed: bool) -> Result<Told> {
        let (key, answer) = (idempotency_key(self.key), Answer::of(self.number));
        let resolution = if completed { Resolution::Completed(answer) } else { Resolution::Absent };
        let handle = process.handle(self.on_lapse);
        let version = self.looked.unwrap();
        Ok(match handle.resolve(&scope(), &key, version, resolution).await? {
            Resolved::Resolved => Told::Done,
            Resolved::Stale => Told::Lost,
        })
    }
}

fn renewal(renewal: Renewal) -> Told {
    match renewal {
        Renewal::Renewed => Told::Done,
        Renewal::Lost => Told::Lost,
    }
}

pub(super) fn reason(oversize: bool) -> Reason {
    if oversize { Reason::Oversize } else { Reason::Failed }
}
