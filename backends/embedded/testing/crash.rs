//! Kills a process that writes, at random moments, and looks at what it left behind. Included by
//! the crash tests of the engines.
//!
//! The moment is counted from the first acknowledgement, so that a busy machine does not spend it
//! on starting the child; in each eighth round from the start, so that openings are hit too.
//!
//! The test runs itself again as the child. Each task of the child changes keys of its own, one
//! change after the other, and prints a line for each that was acknowledged. After the kill every
//! task's keys must be as after its last acknowledged change, or as after the one under way.
//!
//! `STEADFAST_CRASH_ROUNDS` sets how often, `STEADFAST_SEED` repeats the moments.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use steadfast_backend::{Backend, Entry, Group, Key, Namespace, Transacted, Ttl, Write, Written};

const TASKS: usize = 16;
const SLOTS: usize = 3;
const ROUNDS: usize = 200;
/// Each such round may be over before anything is acknowledged.
const EARLY_ROUND: usize = 8;
const KILL_AFTER_MAX: Duration = Duration::from_millis(120);
const ACK: &str = "ack ";
const DIR: &str = "STEADFAST_CRASH_DIR";
const FROM: &str = "STEADFAST_CRASH_FROM";

type Open = fn(&Path) -> steadfast_backend::Result<Arc<dyn Backend>>;
/// The number of the change that each slot shows; `None`: absent.
type Slots = [Option<u64>; SLOTS];

/// Runs the whole test; `name` is the name of the calling test.
pub(crate) fn run(name: &str, open: Open) {
    match std::env::var_os(DIR) {
        Some(dir) => child(open, dir.as_ref()),
        None => Parent::new(name, open).run(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn key(task: usize, slot: usize) -> Key {
    let group = Group::new(&format!("t{task}")).unwrap();
    Key::new(&Namespace::new("crash").unwrap(), &group, &format!("s{slot}")).unwrap()
}

/// The value of a change: its number, then bytes that follow from it, so that a torn value shows.
fn value(task: usize, number: u64) -> String {
    let len = usize::try_from(number * 97 % 3_000).unwrap();
    let byte = char::from(b'a' + u8::try_from(number % 26).unwrap());
    format!("{task} {number} {}", byte.to_string().repeat(len))
}

/// The changes that a task makes, by number: puts, deletes, and all slots together.
fn writes(task: usize, number: u64) -> Vec<Write> {
    let put = |slot| {
        let write = Write::put(key(task, slot), value(task, number));
        let day = Ttl::new(Duration::from_secs(86_400)).unwrap();
        if number.is_multiple_of(2) { write.expiring(day) } else { write }
    };
    let slot = usize::try_from(number).unwrap() % SLOTS;
    match number % 5 {
        3 => vec![Write::delete(key(task, slot))],
        4 => (0..SLOTS).map(put).collect(),
        _ => vec![put(slot)],
    }
}

/// What the slots show after a change.
fn after(mut slots: Slots, number: u64) -> Slots {
    let slot = usize::try_from(number).unwrap() % SLOTS;
    match number % 5 {
        3 => slots[slot] = None,
        4 => slots = [Some(number); SLOTS],
        _ => slots[slot] = Some(number),
    }
    slots
}

fn child(open: Open, dir: &Path) {
    let from = std::env::var(FROM).unwrap();
    let backend = open(dir).unwrap();
    runtime().block_on(async {
        let tasks = from.split(',').enumerate().map(|(task, from)| {
            let (backend, from) = (Arc::clone(&backend), from.parse().unwrap());
            tokio::spawn(async move { write_on(&*backend, task, from).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

/// Writes until it is killed.
async fn write_on(backend: &dyn Backend, task: usize, from: u64) {
    for number in from.. {
        let mut writes = writes(task, number);
        let versions = if writes.len() == 1 {
            match backend.write(&writes.remove(0)).await.unwrap() {
                Written::Applied { version } => vec![version],
                Written::Refused { .. } => unreachable!("there was no condition"),
            }
        } else {
            match backend.transact(&writes).await.unwrap() {
                Transacted::Applied { versions } => versions,
                Transacted::Refused { .. } => unreachable!("there was no condition"),
            }
        };
        let versions = versions.into_iter().flatten().map(|version| format!(" {}", version.get()));
        let line = format!("{ACK}{task} {number}{}\n", versions.collect::<String>());
        // One call, so that a line is whole or absent too.
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

/// Collects the child's lines, and tells when the first write is acknowledged.
fn read(output: ChildStdout, first: &mpsc::Sender<()>) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if line.starts_with(ACK) {
            // Only the first is waited for.
            let _ = first.send(());
        }
        lines.push(line);
    }
    lines
}

struct Parent {
    name: String,
    open: Open,
    dir: tempfile::TempDir,
    random: u64,
    /// Per task: the last change acknowledged, and what the slots show.
    tasks: Vec<(u64, Slots)>,
    versions: HashSet<u64>,
    /// No version of a round may be at or below those of the rounds before.
    version_max: u64,
    acknowledged: usize,
    landed: usize,
}

impl Parent {
    fn new(name: &str, open: Open) -> Self {
        let seed = std::env::var("STEADFAST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
        println!("STEADFAST_SEED={seed}");
        Self {
            name: name.to_owned(),
            open,
            dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            random: seed,
            tasks: vec![(0, [None; SLOTS]); TASKS],
            versions: HashSet::new(),
            version_max: 0,
            acknowledged: 0,
            landed: 0,
        }
    }

    fn run(mut self) {
        let rounds = std::env::var("STEADFAST_CRASH_ROUNDS").ok();
        let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
        let runtime = runtime();
        for round in 0..rounds {
            let unacknowledged: Vec<u64> = self.tasks.iter().map(|(last, _)| last + 1).collect();
            let mut running = self.spawn(&unacknowledged);
            let (first, acknowledged) = mpsc::channel();
            let output = running.stdout.take().unwrap();
            let reader = thread::spawn(move || read(output, &first));
            if round % EARLY_ROUND != 0 {
                // An error: the child ended before it wrote anything.
                acknowledged.recv().unwrap();
            }
            // The moment of the kill is what the test varies; nothing is waited for.
            thread::sleep(self.moment());
            running.kill().unwrap();
            running.wait().unwrap();
            let lines = reader.join().unwrap();
            let version_max = self.version_max;
            for line in lines.iter().filter_map(|line| line.strip_prefix(ACK)) {
                self.acknowledge(line, version_max);
            }
            runtime.block_on(self.verify(round, version_max));
        }
        println!(
            "{rounds} kills, {} writes acknowledged, {} found that were not",
            self.acknowledged, self.landed
        );
        assert!(self.acknowledged >= rounds - rounds.div_ceil(EARLY_ROUND));
    }

    fn spawn(&self, from: &[u64]) -> Child {
        let from: Vec<String> = from.iter().map(u64::to_string).collect();
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &self.name, "--nocapture"])
            .env(DIR, self.dir.path().join("store"))
            .env(FROM, from.join(","))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn moment(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        KILL_AFTER_MAX.mul_f64(f64::from(u32::try_from(self.random >> 32).unwrap()) / 2f64.powi(32))
    }

    fn acknowledge(&mut self, line: &str, version_max: u64) {
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>().unwrap());
        let task = usize::try_from(numbers.next().unwrap()).unwrap();
        let number = numbers.next().unwrap();
        let (last, slots) = self.tasks[task];
        assert_eq!(number, last + 1, "task {task} writes one after the other");
        self.tasks[task] = (number, after(slots, number));
        self.acknowledged += 1;
        for version in numbers {
            assert!(self.versions.insert(version), "version {version} was used twice");
            assert!(version > version_max, "a version of an earlier round came again");
            self.version_max = self.version_max.max(version);
        }
    }

    async fn verify(&mut self, round: usize, version_max: u64) {
        let backend = (self.open)(&self.dir.path().join("store"))
            .unwrap_or_else(|error| panic!("round {round}: it does not open again: {error:?}"));
        for task in 0..TASKS {
            let keys: Vec<Key> = (0..SLOTS).map(|slot| key(task, slot)).collect();
            let entries = backend.get_many(&keys).await.unwrap();
            let found = std::array::from_fn(|slot| shown(task, entries[slot].as_ref()));
            let (last, slots) = self.tasks[task];
            if found == slots {
                continue;
            }
            let expected = after(slots, last + 1);
            assert_eq!(found, expected, "round {round}, task {task}: not as after {last} or next");
            let new = entries
                .iter()
                .flatten()
                .filter(|entry| !self.versions.contains(&entry.version.get()));
            let new: Vec<u64> = new.map(|entry| entry.version.get()).collect();
            assert!(new.iter().all(|version| *version > version_max));
            self.version_max = self.version_max.max(new.iter().copied().max().unwrap_or(0));
            self.versions.extend(new);
            self.tasks[task] = (last + 1, expected);
            self.landed += 1;
        }
        backend.check().await.unwrap();
        backend.close().await.unwrap();
    }
}

/// The number of the change that an entry shows; the entry must be whole.
fn shown(task: usize, entry: Option<&Entry>) -> Option<u64> {
    let text = std::str::from_utf8(&entry?.value).unwrap();
    let number = text.split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(text, value(task, number), "a torn value");
    Some(number)
}
