//! What may be true of each key, and what a whole call does to it.

use std::collections::{BTreeMap, BTreeSet};

use steadfast::idempotency::{OnLapse, Reason};

use super::call::{Answer, Call, Facts, LEASE, RETENTION, reason};
use super::generate::{KEYS, Verb};

/// How many holders a key may have had before taking it over ends.
const ATTEMPTS_MAX: u16 = 5;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct World {
    pub(super) keys: [Option<Record>; KEYS],
    /// What the last version of each was at least, and whether it is just that.
    pub(super) versions: [(u64, bool); KEYS],
    /// How often the effect of each happened.
    pub(super) effects: [u32; KEYS],
    /// How often since the key was last absent.
    pub(super) effects_of_life: [u32; KEYS],
    /// Holders who were told that somebody took over, after a call that may have come before it.
    pub(super) overtaken: Vec<(usize, u32)>,
    /// Whose claims are of keys whose effects had begun.
    pub(super) heirs: BTreeSet<u32>,
    /// What the effects of each first holder are named after, where somebody was told.
    pub(super) effect_ids: BTreeMap<u32, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) holder: u32,
    pub(super) origin: u32,
    pub(super) print: u8,
    pub(super) attempt: u16,
    pub(super) effects_started: bool,
    pub(super) checkpoint: Option<u8>,
    pub(super) phase: Phase,
    pub(super) written_us: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    Running,
    Completed(Answer),
    Indeterminate { reason: Reason, answer: Option<Answer> },
}

/// What a caller is to be told.
#[derive(Debug)]
pub(super) enum Expected {
    Acquired,
    Replay(Answer),
    InFlight { left_us: u64, attempt: u16 },
    Mismatch,
    Lapsed { attempt: u16 },
    Indeterminate { reason: Reason, answer: Option<Answer> },
    Done,
    Lost,
    Fenced(Option<Answer>),
    Refused,
}

impl Record {
    pub(super) fn lease_end_us(&self) -> u64 {
        self.written_us + micros(LEASE)
    }

    pub(super) fn end_us(&self) -> u64 {
        self.written_us + micros(RETENTION)
    }

    pub(super) fn is_lapsed(&self, now_us: u64) -> bool {
        self.phase == Phase::Running && now_us >= self.lease_end_us()
    }

    fn may_run_again(&self, on_lapse: OnLapse) -> bool {
        match on_lapse {
            OnLapse::Refuse => false,
            OnLapse::TakeOver => !self.effects_started,
            OnLapse::Recover => true,
        }
    }
}

/// A moment of the world, for one call.
pub(super) struct Attempt<'a> {
    pub(super) call: &'a Call,
    pub(super) now_us: u64,
    pub(super) world: World,
}

impl Attempt<'_> {
    pub(super) fn run(mut self) -> (Expected, World) {
        let expected = match (self.call.verb, self.call.facts.as_ref()) {
            (Verb::Begin(print), _) => self.begin(print),
            (Verb::Resolve { completed, .. }, _) => self.resolve(completed),
            (Verb::Renew | Verb::MarkEffects | Verb::SaveCheckpoint(_), Some(facts)) => {
                self.renew(facts)
            }
            (Verb::Complete, Some(facts)) => self.complete(facts),
            (Verb::CompleteWith, Some(facts)) => self.complete_with(facts),
            (Verb::Tombstone { oversize, answered }, Some(facts)) => {
                let answer = answered.then(|| Answer::of(self.call.number));
                self.tombstone(facts, reason(oversize), answer)
            }
            (Verb::Release, Some(facts)) => self.release(facts),
            (_, None) => panic!("{:?} is about no claim", self.call),
        };
        (expected, self.world)
    }

    fn record(&self) -> Option<&Record> {
        self.world.keys[self.call.key].as_ref()
    }

    fn put(&mut self, record: Record) {
        self.world.versions[self.call.key].1 = false;
        self.world.keys[self.call.key] = Some(Record { written_us: self.now_us, ..record });
    }

    /// The table, row by row.
    fn begin(&mut self, print: u8) -> Expected {
        let (number, now_us) = (self.call.number, self.now_us);
        let first = Record {
            holder: number,
            origin: number,
            print,
            attempt: 1,
            effects_started: false,
            checkpoint: None,
            phase: Phase::Running,
            written_us: now_us,
        };
        let Some(record) = self.record().cloned() else {
            self.put(first);
            return Expected::Acquired;
        };
        if record.print != print {
            return Expected::Mismatch;
        }
        let (attempt, again) = (record.attempt, record.may_run_again(self.call.on_lapse));
        match record.phase.clone() {
            Phase::Completed(answer) => return Expected::Replay(answer),
            Phase::Indeterminate { reason, answer } => {
                let ended = [Reason::Attempts, Reason::Oversize].contains(&reason);
                if ended || !again || attempt >= ATTEMPTS_MAX {
                    return Expected::Indeterminate { reason, answer };
                }
            }
            Phase::Running if !record.is_lapsed(now_us) => {
                return Expected::InFlight { left_us: record.lease_end_us() - now_us, attempt };
            }
            Phase::Running if !again => return Expected::Lapsed { attempt },
            Phase::Running if attempt >= ATTEMPTS_MAX => {
                let (reason, answer) = (Reason::Attempts, None);
                let phase = Phase::Indeterminate { reason, answer: None };
                self.put(Record { phase, ..record });
                return Expected::Indeterminate { reason, answer };
            }
            Phase::Running => {}
        }
        if record.effects_started {
            self.world.heirs.insert(number);
        }
        let phase = Phase::Running;
        self.put(Record { holder: number, attempt: attempt + 1, phase, ..record });
        Expected::Acquired
    }

    fn renew(&mut self, facts: &Facts) -> Expected {
        match self.record() {
            Some(record) if record.holder == facts.number && record.phase == Phase::Running => {
                self.end(facts, Phase::Running)
            }
            _ => Expected::Lost,
        }
    }

    fn complete(&mut self, facts: &Facts) -> Expected {
        let mine = |record: &Record| record.holder == facts.number;
        match self.record() {
            Some(record) if mine(record) => match record.phase {
                // Its answer was given, and is gone.
                Phase::Indeterminate { reason: Reason::Oversize, .. } => Expected::Fenced(None),
                Phase::Completed(_) => Expected::Done,
                _ => self.end(facts, Phase::Completed(Answer::of(self.call.number))),
            },
            Some(Record { phase: Phase::Completed(answer), .. }) => {
                Expected::Fenced(Some(answer.clone()))
            }
            Some(_) => Expected::Fenced(None),
            // The store has lost it, or somebody gave it back.
            None => self.end(facts, Phase::Completed(Answer::of(self.call.number))),
        }
    }

    /// The effect happens if this call is the one that completes.
    fn complete_with(&mut self, facts: &Facts) -> Expected {
        let was_absent = self.record().is_none();
        let before = self.record().map(|record| record.phase.clone());
        let expected = self.complete(facts);
        let after = self.record().map(|record| record.phase.clone());
        if before != after {
            let key = self.call.key;
            self.world.effects[key] += 1;
            let of_life = if was_absent { 0 } else { self.world.effects_of_life[key] };
            self.world.effects_of_life[key] = of_life + 1;
        }
        expected
    }

    fn tombstone(&mut self, facts: &Facts, reason: Reason, answer: Option<Answer>) -> Expected {
        match self.record() {
            Some(Record { phase: Phase::Completed(answer), .. }) => {
                Expected::Fenced(Some(answer.clone()))
            }
            Some(record) if record.holder != facts.number => Expected::Fenced(None),
            Some(Record {
                phase: Phase::Indeterminate { reason: Reason::Oversize, .. }, ..
            }) if reason != Reason::Oversize => Expected::Done,
            // What its caller was told stays.
            Some(Record {
                phase: Phase::Indeterminate { reason: kept, answer: Some(_) }, ..
            }) if *kept == reason && answer.is_none() => Expected::Done,
            _ => self.end(facts, Phase::Indeterminate { reason, answer }),
        }
    }

    fn release(&mut self, facts: &Facts) -> Expected {
        if facts.effects_started || facts.attempt > 1 {
            return Expected::Refused;
        }
        match self.record() {
            None => Expected::Done,
            Some(record) if record.holder == facts.number && record.phase == Phase::Running => {
                self.world.forget(self.call.key);
                Expected::Done
            }
            Some(_) => Expected::Lost,
        }
    }

    fn resolve(&mut self, completed: bool) -> Expected {
        let (key, looked) = (self.call.key, self.call.looked.map(steadfast::backend::Version::get));
        let Some(record) = self.record().cloned() else { return Expected::Lost };
        let is_unknown = match record.phase {
            Phase::Running => record.is_lapsed(self.now_us),
            Phase::Completed(_) => false,
            Phase::Indeterminate { .. } => true,
        };
        let (version, exact) = self.world.versions[key];
        if !exact || Some(version) != looked || !is_unknown {
            return Expected::Lost;
        }
        if completed {
            let phase = Phase::Completed(Answer::of(self.call.number));
            // Nobody's: a holder that comes back is fenced.
            self.put(Record { holder: self.call.number, phase, ..record });
        } else {
            self.world.forget(key);
        }
        Expected::Done
    }

    /// The claim's record, in this phase.
    fn end(&mut self, facts: &Facts, phase: Phase) -> Expected {
        let names = &mut self.world.effect_ids;
        let origin = names.iter().find(|(_, name)| **name == facts.effect_id);
        let origin = *origin.map_or(&facts.number, |(origin, _)| origin);
        let Facts { number: holder, print, attempt, checkpoint, .. } = facts.clone();
        let effects_started = facts.effects_started || self.world.heirs.contains(&holder);
        self.put(Record {
            holder,
            origin,
            print,
            attempt,
            effects_started,
            checkpoint,
            phase,
            written_us: 0,
        });
        Expected::Done
    }
}

impl World {
    pub(super) fn forget(&mut self, key: usize) {
        self.keys[key] = None;
        self.effects_of_life[key] = 0;
    }

    /// At the end of a step: who was told to be overtaken is.
    pub(super) fn keeps_its_word(&mut self) -> bool {
        let is_held = |(key, holder): &(usize, u32)| {
            self.keys[*key].as_ref().is_some_and(|record| record.holder == *holder)
        };
        !std::mem::take(&mut self.overtaken).iter().any(is_held)
    }

    /// A version grows with each write and stays between them.
    pub(super) fn has_version(&mut self, key: usize, version: u64) -> bool {
        let (last, exact) = std::mem::replace(&mut self.versions[key], (version, true));
        if exact { version == last } else { version > last }
    }

    /// The effects of a key are named so, from now on if nobody knew.
    pub(super) fn has_effect_id(&mut self, key: usize, effect_id: &str) -> bool {
        let Some(record) = &self.keys[key] else { return false };
        let mut known = self.effect_ids.iter();
        if known.any(|(origin, name)| *origin != record.origin && name == effect_id) {
            return false;
        }
        let known = self.effect_ids.entry(record.origin);
        known.or_insert_with(|| effect_id.to_owned()) == effect_id
    }

    /// The same at a later time.
    pub(super) fn settle(&mut self, now_us: u64) {
        for key in 0..KEYS {
            if self.keys[key].as_ref().is_some_and(|record| now_us >= record.end_us()) {
                self.forget(key);
            }
        }
    }
}

pub(super) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}
