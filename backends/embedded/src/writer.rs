use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use steadfast_backend::StoreClock;

use crate::frame::{META_KEY, Meta};
use crate::group::Group;
use crate::job::{Accepted, Job, Reply};
use crate::{Engine, Fault, Op, Table};

/// The most that one group takes; more waits for the next, so that no commit takes long.
const GROUP_JOBS_MAX: usize = 1024;
const GROUP_KIB_MAX: usize = 8 * 1024;

/// Gives a caller its answer, once the fate of the group is known: the time, or what failed.
type Answer = Box<dyn FnOnce(Result<u64, &Fault>)>;

/// The only one who writes. Runs on a thread of its own until its queue is closed.
pub(crate) struct Writer<E> {
    pub(crate) engine: Arc<E>,
    pub(crate) clock: Arc<StoreClock>,
    pub(crate) jobs: Receiver<Accepted>,
    /// What was committed last; `None` if that is to be read again after a failure.
    pub(crate) meta: Option<Meta>,
    pub(crate) sweep_every: Option<Duration>,
    pub(crate) pace: Pace,
}

/// How the last group went. Callers that were answered together tend to come back together, so a
/// small part of a commit's time is given to those still on their way.
#[derive(Default)]
pub(crate) struct Pace {
    jobs: usize,
    took: Duration,
}

impl<E: Engine> Writer<E> {
    pub(crate) fn run(mut self) {
        let mut sweep_at = Instant::now();
        loop {
            let first = match self.wait(sweep_at) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break self.finish(Vec::new()),
            };
            let jobs = self.take_waiting(first);
            let swept = match self.sweep_every {
                Some(every) if sweep_at <= Instant::now() => Some(every),
                _ => None,
            };
            let (closing, more) = self.run_group(jobs, swept.is_some());
            if !closing.is_empty() {
                break self.finish(closing);
            }
            if let Some(every) = swept {
                sweep_at = if more { Instant::now() } else { Instant::now() + every };
            }
        }
    }

    fn wait(&self, sweep_at: Instant) -> Result<Accepted, RecvTimeoutError> {
        match self.sweep_every {
            Some(_) => self.jobs.recv_timeout(sweep_at.saturating_duration_since(Instant::now())),
            None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Adds to the first job those that wait behind it.
    fn take_waiting(&self, first: Option<Accepted>) -> Vec<Accepted> {
        let mut size_kib = 0;
        let mut taken = Vec::new();
        let until = Instant::now() + self.pace.took / 4;
        let mut next = first;
        while let Some(accepted) = next {
            size_kib += accepted.job.size_kib();
            taken.push(accepted);
            let full = taken.len() >= GROUP_JOBS_MAX || size_kib >= GROUP_KIB_MAX;
            next = if full {
                None
            } else if taken.len() < self.pace.jobs {
                self.jobs.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
            } else {
                self.jobs.try_recv().ok()
            };
        }
        taken
    }

    /// Decides all jobs, commits once, then answers them. Returns who waits for the close, and
    /// whether there is more to sweep.
    fn run_group(&mut self, jobs: Vec<Accepted>, sweep: bool) -> (Vec<Reply<()>>, bool) {
        let (started, count) = (Instant::now(), jobs.len());
        let mut group = Group::default();
        let mut closing = Vec::new();
        let mut more = false;
        if sweep && let Ok(swept) = group.sweep(&*self.engine, self.clock.now_us()) {
            // A sweep that fails has no caller; the next check or write meets the same fault.
            more = swept.more;
        }
        let forced = jobs.iter().any(|accepted| matches!(accepted.job, Job::Check(_)));
        let loaded =
            group.load(&*self.engine, jobs.iter().flat_map(|accepted| accepted.job.keys()));
        // The room in the queue comes back only after the answers, when the values are gone.
        let (jobs, room): (Vec<_>, Vec<_>) = jobs.into_iter().map(Accepted::split).unzip();
        let answers: Vec<Answer> =
            jobs.into_iter().filter_map(|job| self.decide(job, &mut group, &mut closing)).collect();
        let committed = loaded.and_then(|()| self.commit(&group, forced));
        let now_us = self.clock.now_us();
        for answer in answers {
            answer(committed.as_ref().map(|()| now_us));
        }
        drop(room);
        self.pace = Pace { jobs: count, took: started.elapsed() };
        (closing, more && committed.is_ok())
    }

    fn decide(&self, job: Job, group: &mut Group, closing: &mut Vec<Reply<()>>) -> Option<Answer> {
        let clock = &*self.clock;
        Some(match job {
            Job::Write(write, reply) => {
                let decided = group.write(write, clock);
                answer(reply, decided, |decided, end| match end {
                    Ok(now_us) => Ok(decided.answer(now_us)),
                    Err(fault) => Err(decided.failed(fault)),
                })
            }
            Job::WriteMany(writes, reply) => {
                let decided: Vec<_> =
                    writes.into_iter().map(|write| group.write(write, clock)).collect();
                answer(reply, Ok(decided), |decided, end| {
                    let each = decided.into_iter().map(|decided| match (decided?, end) {
                        (decided, Ok(now_us)) => Ok(decided.answer(now_us)),
                        (decided, Err(fault)) => Err(decided.failed(fault)),
                    });
                    Ok(each.collect())
                })
            }
            Job::Transact(writes, reply) => {
                let decided = group.transact(writes, clock);
                answer(reply, decided, |decided, end| match end {
                    Ok(now_us) => Ok(decided.answer(now_us)),
                    Err(fault) => Err(decided.failed(fault)),
                })
            }
            Job::Sweep(reply) => {
                let swept = group.sweep(&*self.engine, clock.now_us());
                answer(reply, swept, |swept, end| end.map(|_| swept).map_err(Fault::clone))
            }
            Job::Check(reply) => {
                answer(reply, Ok(()), |(), end| end.map(|_| ()).map_err(Fault::clone))
            }
            Job::Close(reply) => {
                closing.push(reply);
                return None;
            }
        })
    }

    /// Commits what the group changed; nothing if it changed nothing, unless it is `forced`.
    fn commit(&mut self, group: &Group, forced: bool) -> Result<(), Fault> {
        let mut ops = group.ops();
        if ops.is_empty() && !forced {
            return Ok(());
        }
        let before = match self.meta {
            Some(meta) => meta,
            None => read_meta(&*self.engine)?.unwrap_or_default(),
        };
        let floor_us = before.floor_us.max(self.clock.now_us()).max(group.version_max());
        let after = Meta { floor_us, commits: before.commits + 1 };
        ops.push(meta_op(after));
        let committed = self.engine.commit(ops);
        self.meta = committed.is_ok().then_some(after);
        committed.map_err(|fault| if fault.is_lost() { self.settle(fault, before) } else { fault })
    }

    /// Looks whether a commit that lost its handle was made. Only "no" is certain: a commit that shows
    /// may still be lost with the power, if it was the sync that failed.
    fn settle(&mut self, fault: Fault, before: Meta) -> Fault {
        match read_meta(&*self.engine) {
            Ok(found) if found.unwrap_or_default() == before => {
                self.meta = Some(before);
                fault.sure()
            }
            _ => fault.unsure(),
        }
    }

    /// Does what was accepted until now, then closes the engine and tells everyone.
    fn finish(mut self, mut closing: Vec<Reply<()>>) {
        loop {
            let first = self.jobs.try_recv().ok();
            if first.is_none() {
                break;
            }
            let jobs = self.take_waiting(first);
            closing.append(&mut self.run_group(jobs, false).0);
        }
        // The time of the close is kept, so that what has expired by now stays expired.
        let behind = self.meta.is_none_or(|meta| meta.floor_us < self.clock.now_us());
        let kept = if behind { self.commit(&Group::default(), true) } else { Ok(()) };
        let closed = self.engine.close().and(kept);
        for reply in closing {
            // Whoever dropped the call does not wait for the answer.
            let _ = reply.send(closed.clone());
        }
    }
}

/// The answer to a job: its own fault at once, or what `end` makes of the group's fate.
fn answer<D: 'static, T: 'static>(
    reply: Reply<T>,
    decided: Result<D, Fault>,
    end: impl FnOnce(D, Result<u64, &Fault>) -> Result<T, Fault> + 'static,
) -> Answer {
    // A caller that is gone needs no answer; its write stands all the same.
    Box::new(move |fate| {
        let _ = reply.send(decided.and_then(|decided| end(decided, fate)));
    })
}

/// The store's own record; `None` in a new file.
pub(crate) fn read_meta<E: Engine>(engine: &E) -> Result<Option<Meta>, Fault> {
    let found = engine.read(Table::Meta, &[META_KEY])?.into_iter().next().flatten();
    found.map(|bytes| Meta::decode(&bytes)).transpose()
}

/// The change that writes the store's own record.
pub(crate) fn meta_op(meta: Meta) -> Op {
    Op { table: Table::Meta, key: META_KEY.to_vec(), value: Some(meta.encode()) }
}
