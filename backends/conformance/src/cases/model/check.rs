use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadfast_backend::{
    Backend, Clock, Condition, Entry, ErrorKind, Group, Key, ManualClock, Namespace, ScanRequest,
    Transacted, Transactions, Ttl, Version, Write, Written,
};

use super::generate::{Change, KEYS, On, Operation, Verb};
use crate::context::Context;
use crate::failure::{Outcome, ensure, ensure_eq, ensure_kind};
use crate::reference::Model;

/// Runs operations on a backend and says where it differs from the model.
pub(super) struct Checker {
    backend: Arc<dyn Backend>,
    clock: ManualClock,
    real_time: bool,
    namespace: Namespace,
    runs: AtomicU64,
    /// Deadlines lie half a unit beside every moment at which something is done, and a unit is so
    /// long that no rounding of deadlines can make a difference.
    unit: Duration,
    /// By how much age and time left may differ.
    slack: Duration,
}

impl Checker {
    pub(super) fn new(context: &Context) -> Self {
        let real_time = context.settings.real_time;
        let step = context.can().ttl_step;
        let short = (step * 10).max(Duration::from_millis(10));
        let (unit, slack) = if real_time {
            (Duration::from_secs(3_600), Duration::from_secs(300))
        } else {
            (short, step.max(Duration::from_millis(1)))
        };
        Self {
            backend: Arc::clone(&context.backend),
            clock: context.place.clock.clone(),
            real_time,
            namespace: context.namespace.clone(),
            runs: AtomicU64::new(0),
            unit,
            slack,
        }
    }

    pub(super) async fn check(&self, operations: &[Operation]) -> Outcome {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let namespace = self.namespace.child(&number.to_string())?;
        let group = Group::new("g")?;
        let keys = (0..KEYS).map(|key| Key::new(&namespace, &group, &key.to_string()));
        let keys = keys.collect::<Result<_, _>>()?;
        let mut run =
            Run { checker: self, keys, namespace, model: Model::default(), last: BTreeMap::new() };
        for operation in operations {
            run.operate(operation).await?;
        }
        run.read(&(0..KEYS).collect::<Vec<_>>()).await
    }
}

/// One run, in a namespace of its own.
struct Run<'a> {
    checker: &'a Checker,
    namespace: Namespace,
    keys: Vec<Key>,
    model: Model,
    /// The highest version that each key has had.
    last: BTreeMap<Key, Version>,
}

impl Run<'_> {
    fn now_us(&self) -> u64 {
        self.checker.clock.now_us()
    }

    async fn operate(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Advance { units } => {
                if !self.checker.real_time {
                    self.checker.clock.advance(self.checker.unit * u32::from(*units));
                }
                Ok(())
            }
            Operation::Batch(changes) => self.batch(changes).await,
            Operation::Get(key) => self.read(&[*key]).await,
            Operation::GetMany(keys) => self.read(keys).await,
            Operation::Scan => self.scan().await,
            Operation::Sweep => {
                self.checker.backend.sweep().await?;
                Ok(())
            }
            Operation::Transact(changes) => self.transact(changes).await,
            Operation::Write(change) => {
                let write = self.resolve(change)?;
                let written = self.checker.backend.write(&write.clone()).await?;
                self.judge(write, written)
            }
        }
    }

    async fn batch(&mut self, changes: &[Change]) -> Outcome {
        let writes = self.resolve_all(changes)?;
        let answers = self.checker.backend.write_many(&writes).await?;
        ensure_eq!(answers.len(), writes.len(), "the number of answers");
        for (write, answer) in writes.into_iter().zip(answers) {
            self.judge(write, answer?)?;
        }
        Ok(())
    }

    async fn transact(&mut self, changes: &[Change]) -> Outcome {
        let writes = self.resolve_all(changes)?;
        let answer = self.checker.backend.transact(&writes.clone()).await;
        if self.checker.backend.info().capabilities.transactions == Transactions::None {
            return ensure_kind(answer, ErrorKind::Unsupported, "a transaction");
        }
        let keys: BTreeSet<&Key> = writes.iter().map(Write::key).collect();
        if keys.len() < writes.len() {
            return ensure_kind(answer, ErrorKind::Invalid, "a key twice");
        }
        let now_us = self.now_us();
        match (writes.iter().position(|write| !self.model.admits(write, now_us)), answer?) {
            (None, Transacted::Applied { versions }) => {
                ensure_eq!(versions.len(), writes.len(), "the number of versions");
                for (write, version) in writes.into_iter().zip(versions) {
                    self.apply(write, version)?;
                }
                Ok(())
            }
            (Some(expected), Transacted::Refused { index, current }) => {
                ensure_eq!(index, expected, "the write that refuses the transaction");
                self.compare(writes[index].key(), current, "in a refused transaction")
            }
            (expected, answer) => {
                crate::failure::fail!("refused at {expected:?} by the model; {answer:?} by it")
            }
        }
    }

    async fn read(&self, keys: &[usize]) -> Outcome {
        let keys: Vec<Key> = keys.iter().map(|key| self.keys[*key].clone()).collect();
        let entries = self.checker.backend.get_many(&keys).await?;
        ensure_eq!(entries.len(), keys.len(), "the number of answers");
        for (key, entry) in keys.iter().zip(entries) {
            self.compare(key, entry, "in get_many")?;
            self.compare(key, self.checker.backend.get(key).await?, "in get")?;
            if let Some(ready) = self.checker.backend.get_ready(key) {
                self.compare(key, ready, "in get_ready")?;
            }
        }
        Ok(())
    }

    async fn scan(&self) -> Outcome {
        if !self.checker.backend.info().capabilities.scan {
            return Ok(());
        }
        let (namespace, limit) = (self.namespace.clone(), NonZeroUsize::MIN.saturating_add(1));
        let mut request = ScanRequest { namespace, after: None, limit };
        let mut listed = BTreeSet::new();
        loop {
            let page = self.checker.backend.scan(request.clone()).await?;
            listed.extend(page.keys);
            match page.next {
                None => break,
                next => request.after = next,
            }
        }
        let live = |key: &Key| self.model.version(key, self.now_us()).is_some();
        let expected = self.model.keys(&self.namespace, live).cloned().collect();
        ensure_eq!(listed, expected, "the keys of a scan");
        Ok(())
    }

    fn judge(&mut self, write: Write, written: Written) -> Outcome {
        match (self.model.admits(&write, self.now_us()), written) {
            (true, Written::Applied { version }) => self.apply(write, version),
            (false, Written::Refused { current }) => {
                self.compare(write.key(), current, "in a refused write")
            }
            (admitted, answer) => crate::failure::fail!(
                "{write:?} is {} by the model; the answer was {answer:?}",
                if admitted { "applied" } else { "refused" }
            ),
        }
    }

    /// Makes the change in the model too, with the version that the backend chose.
    fn apply(&mut self, write: Write, version: Option<Version>) -> Outcome {
        let (key, now_us) = (write.key().clone(), self.now_us());
        if let (Write::Put { .. }, Some(version)) = (&write, version) {
            let last = self.last.insert(key.clone(), version);
            ensure!(Some(version) > last, "version {version:?} follows {last:?} of {key:?}");
        }
        let text = format!("{write:?}");
        // Only a put looks at the version, and a put without one fails in the next line.
        let made = version.unwrap_or(MIN_VERSION);
        self.model.apply(write, now_us, made);
        ensure_eq!(version, self.model.version(&key, now_us), "the version after {text}");
        Ok(())
    }

    fn compare(&self, key: &Key, found: Option<Entry>, place: &str) -> Outcome {
        let expected = self.model.entry(key, self.now_us());
        let plain = |entry: &Option<Entry>| entry.as_ref().map(|it| (it.value.clone(), it.version));
        ensure_eq!(plain(&found), plain(&expected), "the entry of {} {place}", key.name());
        let (Some(found), Some(expected)) = (found, expected) else { return Ok(()) };
        let slack = self.checker.slack;
        let close = |a: Duration, b: Duration| a.abs_diff(b) <= slack;
        ensure!(close(found.age, expected.age), "{place}: age {found:?}, expected {expected:?}");
        let left = match (found.left, expected.left) {
            (Some(found), Some(expected)) => close(found, expected),
            (found, expected) => found == expected,
        };
        ensure!(left, "{place}: time left of {found:?}, expected {expected:?}");
        Ok(())
    }

    fn resolve_all(&self, changes: &[Change]) -> Outcome<Vec<Write>> {
        changes.iter().map(|change| self.resolve(change)).collect()
    }

    fn resolve(&self, change: &Change) -> Outcome<Write> {
        let key = self.keys[change.key].clone();
        let last = self.last.get(&key).copied().unwrap_or(MIN_VERSION);
        let condition = match change.on {
            On::Absent => Condition::Absent,
            On::Always => Condition::Always,
            On::LastVersion => Condition::VersionIs(last),
            On::OtherVersion => {
                Condition::VersionIs(Version::new(last.get() ^ 1).unwrap_or(MIN_VERSION))
            }
            On::Present => Condition::Present,
        };
        let write = match &change.verb {
            Verb::Check => Write::check(key, condition),
            Verb::Delete => Write::delete(key),
            Verb::Put { len, ttl_units } => {
                let put = Write::put(key, vec![b'v'; *len]);
                self.ttl(*ttl_units)?.map_or(put.clone(), |ttl| put.expiring(ttl))
            }
            Verb::Touch { ttl_units } => Write::touch(key, self.ttl(*ttl_units)?),
        };
        Ok(write.only_if(condition))
    }

    fn ttl(&self, units: Option<u8>) -> Outcome<Option<Ttl>> {
        let unit = self.checker.unit;
        let ttl = units.map(|units| Ttl::new(unit * u32::from(units) + unit / 2));
        Ok(ttl.transpose()?)
    }
}

const MIN_VERSION: Version = match Version::new(1) {
    Some(version) => version,
    None => unreachable!(),
};
