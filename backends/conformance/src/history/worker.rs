//! One task of a history: makes random calls and notes when they began and how they ended.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_backend::{
    Backend, Condition, Entry, Key, Result, Transacted, Transactions, Ttl, Version, Write, Written,
};

use super::operation::{Answer, Call, Operation, Span};
use super::random::Random;
use super::{nanos_since, stamp};
use crate::dropping::poll_then_drop;

/// A call that takes longer hangs.
const CALL_MAX: Duration = Duration::from_secs(30);
/// A store that answers no write for so long does not come back.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// One call in so many is dropped at a random point.
const DROPPED_ONE_IN: u64 = 40;

pub(super) struct Worker {
    backend: Arc<dyn Backend>,
    /// Those at the same place modulo [`GROUPS`] are of one group.
    keys: Arc<[Key]>,
    task: usize,
    started: Instant,
    random: Random,
    /// The version that each key had when this task last saw it, to make conditions of.
    seen: Vec<Option<Version>>,
    /// One that it saw earlier.
    seen_before: Vec<Option<Version>>,
    puts: u64,
    answered: usize,
    troubled: bool,
    worked: Worked,
}

pub(super) const GROUPS: usize = 3;

/// What a task did, with the place of the key of each operation.
#[derive(Default)]
pub(super) struct Worked {
    pub(super) operations: Vec<(usize, Operation)>,
    /// What no backend may do, apart from wrong answers.
    pub(super) misdeed: Option<String>,
}

impl Worker {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        keys: Arc<[Key]>,
        task: usize,
        started: Instant,
        random: Random,
    ) -> Self {
        let seen = vec![None; keys.len()];
        let worked = Worked::default();
        Self {
            backend,
            keys,
            task,
            started,
            random,
            seen_before: seen.clone(),
            seen,
            puts: 0,
            answered: 0,
            troubled: false,
            worked,
        }
    }

    /// Goes on until so many writes were answered.
    pub(super) async fn work(mut self, writes: usize) -> Worked {
        let (mut before, mut since) = (0, Instant::now());
        while self.answered < writes && self.worked.misdeed.is_none() {
            self.step().await;
            if self.answered > before {
                (before, since) = (self.answered, Instant::now());
            } else if since.elapsed() > SILENCE_MAX {
                self.misdeed(format!("no write was answered for {SILENCE_MAX:?}"));
            }
            if std::mem::take(&mut self.troubled) {
                let pause = Duration::from_micros(500 + self.random.below(2_000));
                tokio::time::sleep(pause).await;
            }
        }
        self.worked
    }

    /// Reads every key; called when nothing else is under way. True if the store answered.
    pub(super) async fn read_all(&mut self) -> bool {
        let all: Vec<usize> = (0..self.keys.len()).collect();
        self.get_many(&all).await;
        !std::mem::take(&mut self.troubled)
    }

    pub(super) fn worked(self) -> Worked {
        self.worked
    }

    async fn step(&mut self) {
        if self.random.below(2) == 0 {
            // A store that never waits would let each task work alone for long.
            tokio::task::yield_now().await;
        }
        let transactions = self.backend.info().capabilities.transactions != Transactions::None;
        match self.random.below(100) {
            0..15 => self.get().await,
            15..20 => {
                let keys = self.pick(0, 1, 4);
                self.get_many(&keys).await;
            }
            20..30 => self.write_many().await,
            30..40 if transactions => self.transact().await,
            _ => self.write().await,
        }
    }

    async fn get(&mut self) {
        let at = self.random.index(self.keys.len());
        let (backend, key) = (Arc::clone(&self.backend), self.keys[at].clone());
        let from = self.now();
        let answer = match backend.get_ready(&key) {
            Some(ready) => Some(Ok(ready)),
            None => self.call(backend.get(&key)).await,
        };
        match answer {
            Some(Ok(entry)) => self.note_found(at, from, entry.as_ref()),
            Some(Err(_)) => self.troubled = true,
            None => {}
        }
    }

    async fn get_many(&mut self, places: &[usize]) {
        let backend = Arc::clone(&self.backend);
        let keys: Vec<Key> = places.iter().map(|at| self.keys[*at].clone()).collect();
        let from = self.now();
        match self.call(backend.get_many(&keys)).await {
            Some(Ok(entries)) if entries.len() == places.len() => {
                for (at, entry) in places.iter().zip(entries) {
                    self.note_found(*at, from, entry.as_ref());
                }
            }
            Some(Ok(_)) => self.misdeed("get_many did not answer for each key".to_owned()),
            Some(Err(_)) => self.troubled = true,
            None => {}
        }
    }

    async fn write(&mut self) {
        let at = self.random.index(self.keys.len());
        let (call, write) = self.random_write(at);
        let backend = Arc::clone(&self.backend);
        let from = self.now();
        let answer = self.call(backend.write(&write)).await;
        self.note_written(at, from, call, answer);
    }

    async fn write_many(&mut self) {
        let places = self.pick(0, 1, 4);
        let (calls, writes) = self.random_writes(&places);
        let backend = Arc::clone(&self.backend);
        let from = self.now();
        match self.call(backend.write_many(&writes)).await {
            Some(Ok(answers)) if answers.len() == places.len() => {
                for ((at, call), answer) in places.iter().zip(calls).zip(answers) {
                    self.note_written(*at, from, call, Some(answer));
                }
            }
            Some(Ok(_)) => self.misdeed("write_many did not answer for each write".to_owned()),
            Some(Err(error)) => {
                let answer = self.failure(&error);
                self.note_all(&places, from, &calls, answer);
            }
            None => self.note_all(&places, from, &calls, Answer::Unknown),
        }
    }

    async fn transact(&mut self) {
        let group = self.random.index(GROUPS);
        let places = self.pick(group, GROUPS, 3);
        let (calls, writes) = self.random_writes(&places);
        let backend = Arc::clone(&self.backend);
        let from = self.now();
        match self.call(backend.transact(&writes)).await {
            Some(Ok(Transacted::Applied { versions })) if versions.len() == places.len() => {
                for ((at, call), version) in places.iter().zip(calls).zip(versions) {
                    let written = Written::Applied { version };
                    self.note_written(*at, from, call, Some(Ok(written)));
                }
            }
            Some(Ok(Transacted::Refused { index, current })) if index < places.len() => {
                for (number, (at, call)) in places.iter().zip(calls).enumerate() {
                    if number == index {
                        let written = Written::Refused { current: current.clone() };
                        self.note_written(*at, from, call, Some(Ok(written)));
                    } else {
                        // Why it was not made is not its own condition, so there is no answer.
                        self.note(*at, from, call, Answer::Failed);
                        self.answered += 1;
                    }
                }
            }
            Some(Ok(_)) => self.misdeed("transact answered for other writes".to_owned()),
            Some(Err(error)) => {
                let answer = self.failure(&error);
                self.note_all(&places, from, &calls, answer);
            }
            None => self.note_all(&places, from, &calls, Answer::Unknown),
        }
    }

    /// Waits for the answer; `None` if the call was dropped.
    async fn call<T>(&mut self, call: impl Future<Output = Result<T>>) -> Option<Result<T>> {
        if self.random.below(DROPPED_ONE_IN) == 0 {
            if self.random.below(2) == 0 {
                return poll_then_drop(call, 1 + self.random.index(3)).await;
            }
            let limit = Duration::from_micros(self.random.below(3_000));
            return tokio::time::timeout(limit, call).await.ok();
        }
        let answer = tokio::time::timeout(CALL_MAX, call).await.ok();
        if answer.is_none() {
            self.misdeed(format!("a call had no answer after {CALL_MAX:?}"));
        }
        answer
    }

    /// Up to `max` different places of keys: `first`, and then one in `step`.
    fn pick(&mut self, first: usize, step: usize, max: usize) -> Vec<usize> {
        let places: Vec<usize> = (first..self.keys.len()).step_by(step).collect();
        let count = 1 + self.random.index(max);
        self.random.pick(&places, count)
    }

    fn random_writes(&mut self, places: &[usize]) -> (Vec<Call>, Vec<Write>) {
        places.iter().map(|at| self.random_write(*at)).unzip()
    }

    fn random_write(&mut self, at: usize) -> (Call, Write) {
        let key = self.keys[at].clone();
        let only_if = self.random_condition(at);
        let (call, write) = match self.random.below(20) {
            0..3 => (Call::Delete { only_if }, Write::delete(key)),
            3..6 => (Call::Touch { only_if }, Write::touch(key, self.random_ttl())),
            6..8 => (Call::Check { only_if }, Write::check(key, only_if)),
            _ => {
                self.puts += 1;
                let value = (u64::try_from(self.task).unwrap_or(0) << 32) + self.puts;
                let put = Write::put(key.clone(), stamp::value(&key, value));
                let put = match self.random_ttl() {
                    Some(ttl) => put.expiring(ttl),
                    None => put,
                };
                (Call::Put { value, only_if }, put)
            }
        };
        (call, write.only_if(only_if))
    }

    fn random_condition(&mut self, at: usize) -> Condition {
        let seen = self.seen[at].map_or(Condition::Absent, Condition::VersionIs);
        match self.random.below(20) {
            0..9 => seen,
            9..12 => Condition::Absent,
            12..15 => Condition::Present,
            15 => self.seen_before[at].map_or(Condition::Always, Condition::VersionIs),
            _ => Condition::Always,
        }
    }

    /// So long that nothing expires while the history runs.
    fn random_ttl(&mut self) -> Option<Ttl> {
        const HOURS: [u64; 4] = [0, 1, 24, 40 * 24];
        let hours = HOURS[self.random.index(HOURS.len())];
        Ttl::new(Duration::from_secs(hours * 3_600)).ok()
    }

    fn failure(&mut self, error: &steadfast_backend::Error) -> Answer {
        self.troubled = true;
        if error.is_ambiguous() { Answer::Unknown } else { Answer::Failed }
    }

    fn note_found(&mut self, at: usize, from: u64, entry: Option<&Entry>) {
        let seen = entry.map(|entry| stamp::seen(&self.keys[at], entry));
        self.note(at, from, Call::Get, Answer::Found(seen));
    }

    fn note_written(&mut self, at: usize, from: u64, call: Call, answer: Option<Result<Written>>) {
        let answer = match answer {
            Some(Ok(Written::Applied { version })) => Answer::Applied(version),
            Some(Ok(Written::Refused { current })) => {
                Answer::Refused(current.map(|entry| stamp::seen(&self.keys[at], &entry)))
            }
            Some(Err(error)) => self.failure(&error),
            None => Answer::Unknown,
        };
        self.answered += usize::from(matches!(answer, Answer::Applied(_) | Answer::Refused(_)));
        self.note(at, from, call, answer);
    }

    fn note_all(&mut self, places: &[usize], from: u64, calls: &[Call], answer: Answer) {
        for (at, call) in places.iter().zip(calls) {
            self.note(*at, from, *call, answer);
        }
    }

    fn note(&mut self, at: usize, from: u64, call: Call, answer: Answer) {
        let version = match answer {
            Answer::Found(seen) | Answer::Refused(seen) => seen.map(|seen| seen.version),
            Answer::Applied(version) => version,
            Answer::Failed | Answer::Unknown => self.seen[at],
        };
        if version != self.seen[at] {
            self.seen_before[at] = self.seen[at].or(self.seen_before[at]);
            self.seen[at] = version;
        }
        let span = Span { from, to: self.now() };
        self.worked.operations.push((at, Operation { task: self.task, span, call, answer }));
    }

    fn misdeed(&mut self, text: String) {
        self.worked.misdeed.get_or_insert(text);
    }

    fn now(&self) -> u64 {
        nanos_since(self.started)
    }
}
