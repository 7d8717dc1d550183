//! Callers that write and read all the time and know what they may find, while a fault comes and
//! goes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steadfast_backend::{
    Backend, Condition, Entry, Error, ErrorKind, Group, Key, Namespace, Version, Write, Written,
};
use tokio::time::Instant;

/// How many callers there are, each with a key of its own.
const CALLERS: usize = 16;
/// A server that is back must be in use again after this.
const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// A caller that is not served by then, on however busy a machine, never will be.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);

/// What the servers may lose when the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing that was acknowledged, nor what a read has shown.
    Nothing,
    /// Nothing that was acknowledged; a read may show what is not confirmed yet.
    Unconfirmed,
    /// Everything, or what was written last.
    Anything,
}

/// What the callers met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) answers: u64,
    pub(crate) ambiguous: u64,
    pub(crate) kinds: BTreeSet<String>,
    slowest: Duration,
    first_after_fault: Option<Instant>,
}

impl Report {
    pub(crate) fn met(&self, kind: ErrorKind) -> bool {
        self.kinds.contains(&format!("{kind:?}"))
    }
}

/// Runs the callers; the fault begins and ends within `fault`. Checks that no promise was broken,
/// that every call ended in time, and that everybody was served again soon.
pub(crate) async fn under_load(
    backend: &Arc<dyn Backend>,
    timeout: Duration,
    loss: Loss,
    fault: impl Future<Output = ()>,
) -> Report {
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, served) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
    let lateness = tokio::spawn(lateness(Arc::clone(&stop)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let caller = Caller::new(Arc::clone(backend), number, loss);
            tokio::spawn(caller.run(Arc::clone(&stop), Arc::clone(&ended), Arc::clone(&served)))
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    fault.await;
    let fault_ended = *ended.get_or_init(Instant::now);
    tokio::time::sleep(RECOVERY_MAX).await;
    while served.load(Ordering::SeqCst) < CALLERS && fault_ended.elapsed() < GIVEN_UP_AFTER {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut all = Report::default();
    let mut last_served = fault_ended;
    for caller in callers {
        let report = caller.await.unwrap();
        let first = report.first_after_fault.expect("a caller was never served again");
        last_served = last_served.max(first);
        all.answers += report.answers;
        all.ambiguous += report.ambiguous;
        all.kinds.extend(report.kinds);
        all.slowest = all.slowest.max(report.slowest);
    }
    // What a bare timer was late is the machine's doing.
    let late = lateness.await.unwrap();
    let allowed = timeout.mul_f64(1.1) + late;
    assert!(all.slowest <= allowed, "a call took {:?}, allowed are {allowed:?}", all.slowest);
    let recovery = last_served - fault_ended;
    assert!(recovery <= RECOVERY_MAX + late, "all were served again only after {recovery:?}");
    println!("{all:?}; served again after {recovery:?}; timers were late by {late:?}");
    all
}

/// By how much a timer was late at worst.
async fn lateness(stop: Arc<AtomicBool>) -> Duration {
    let mut worst = Duration::ZERO;
    while !stop.load(Ordering::SeqCst) {
        let due = Instant::now() + Duration::from_millis(5);
        tokio::time::sleep_until(due).await;
        worst = worst.max(due.elapsed());
    }
    worst
}

/// One caller and what it knows of its key.
struct Caller {
    backend: Arc<dyn Backend>,
    key: Key,
    loss: Loss,
    number: usize,
    writes: u64,
    known: Option<(u64, Version)>,
    /// The last write that was acknowledged.
    acknowledged: u64,
    /// Writes that may have been made, on top of what is known.
    maybe: BTreeSet<u64>,
    /// Writes that were not made.
    never: BTreeSet<u64>,
    report: Report,
}

impl Caller {
    fn new(backend: Arc<dyn Backend>, number: usize, loss: Loss) -> Self {
        let namespace = Namespace::new("faults").unwrap();
        let group = Group::new(&format!("caller-{number}")).unwrap();
        let key = Key::new(&namespace, &group, "register").unwrap();
        let (known, maybe, never) = (None, BTreeSet::new(), BTreeSet::new());
        let (acknowledged, report) = (0, Report::default());
        Self { backend, key, loss, number, writes: 0, known, acknowledged, maybe, never, report }
    }

    async fn run(
        mut self,
        stop: Arc<AtomicBool>,
        ended: Arc<OnceLock<Instant>>,
        again: Arc<AtomicUsize>,
    ) -> Report {
        while !stop.load(Ordering::SeqCst) {
            let served = self.write().await & self.read().await;
            if served && ended.get().is_some() && self.report.first_after_fault.is_none() {
                self.report.first_after_fault = Some(Instant::now());
                again.fetch_add(1, Ordering::SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.report
    }

    /// One more conditional write. True if it was answered.
    async fn write(&mut self) -> bool {
        self.writes += 1;
        let number = self.writes;
        let only_if =
            self.known.map_or(Condition::Absent, |(_, known)| Condition::VersionIs(known));
        let value = format!("{} {number}", self.number);
        let write = Write::put(self.key.clone(), value).only_if(only_if);
        let started = Instant::now();
        let answer = self.backend.write(&write).await;
        self.took(started);
        match answer {
            Ok(Written::Applied { version }) => {
                self.known = Some((number, version.unwrap()));
                self.acknowledged = number;
                self.maybe.clear();
            }
            Ok(Written::Refused { current }) => {
                self.never.insert(number);
                self.found(current, "a refused write shows");
            }
            Err(error) => {
                if error.is_ambiguous() {
                    self.maybe.insert(number);
                    self.report.ambiguous += 1;
                } else {
                    self.never.insert(number);
                }
                self.failed(&error);
                return false;
            }
        }
        self.report.answers += 1;
        true
    }

    async fn read(&mut self) -> bool {
        let started = Instant::now();
        let answer = self.backend.get(&self.key).await;
        self.took(started);
        match answer {
            Ok(entry) => self.found(entry, "a read shows"),
            Err(error) => {
                assert!(!error.is_ambiguous(), "a read is ambiguous: {error:?}");
                self.failed(&error);
                return false;
            }
        }
        self.report.answers += 1;
        true
    }

    /// What is there must be what is known, or a write that may have been made.
    fn found(&mut self, entry: Option<Entry>, what: &str) {
        let Some(entry) = entry else {
            assert!(self.known.is_none() || self.may_lose_to(0), "{what} nothing; {}", self.told());
            self.known = None;
            return;
        };
        let text = String::from_utf8(entry.value.to_vec()).unwrap();
        let (owner, number) = text.split_once(' ').unwrap();
        assert_eq!(owner, self.number.to_string(), "{what} the value of another key");
        let number: u64 = number.parse().unwrap();
        assert!(!self.never.contains(&number), "{what} write {number}, which was not made");
        if self.known == Some((number, entry.version)) {
            return;
        }
        let older = self.known.is_some_and(|(known, _)| number < known);
        if older && self.may_lose_to(number) {
            self.known = Some((number, entry.version));
            return;
        }
        assert!(self.maybe.contains(&number), "{what} write {number}; {}", self.told());
        if let Some((_, known)) = self.known.filter(|_| self.loss == Loss::Nothing) {
            assert!(entry.version > known, "{what} a version that went back");
        }
        self.known = Some((number, entry.version));
        self.maybe.clear();
    }

    /// Whether what is known may have been lost, so that this write is the last one again.
    fn may_lose_to(&self, number: u64) -> bool {
        match self.loss {
            Loss::Nothing => false,
            Loss::Unconfirmed => number >= self.acknowledged,
            Loss::Anything => true,
        }
    }

    fn told(&self) -> String {
        let Self { known, acknowledged, maybe, .. } = self;
        format!("{known:?} is known, {acknowledged} acknowledged, {maybe:?} are possible")
    }

    fn took(&mut self, started: Instant) {
        self.report.slowest = self.report.slowest.max(started.elapsed());
    }

    fn failed(&mut self, error: &Error) {
        let kind = error.kind();
        assert!(
            error.is_outage()
                || matches!(kind, ErrorKind::Busy | ErrorKind::Full | ErrorKind::Unconfirmed),
            "not an outage: {error:?}"
        );
        self.report.kinds.insert(format!("{kind:?}"));
    }
}
