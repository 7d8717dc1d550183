use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use steadfast_backend::{ErrorKind, StoreClock};

use crate::decide::Decided;
use crate::frame::{META_KEY, Meta};
use crate::group::Group;
use crate::job::{Accepted, Job, Later, Reply};
use crate::pace::Pace;
use crate::sweep::Swept;
use crate::{Engine, Fault, Op, Table};

/// The most that one group takes; more waits for the next, so that no commit takes long.
const GROUP_JOBS_MAX: usize = 1024;
const GROUP_KIB_MAX: usize = 8 * 1024;

/// What became of each part of each job, and of the commit.
type Attempt = (Vec<Vec<Result<Decided, Fault>>>, Result<(), Fault>);

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

impl<E: Engine> Writer<E> {
    pub(crate) fn run(mut self) {
        let mut sweep_at = Instant::now();
        loop {
            match self.wait(sweep_at) {
                Ok(first) => {
                    let jobs = self.take_waiting(first);
                    let closing = self.run_group(jobs);
                    if !closing.is_empty() {
                        break self.finish(closing);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break self.finish(Vec::new()),
            }
            if let Some(every) = self.sweep_every
                && sweep_at <= Instant::now()
            {
                // A sweep that fails has no caller; the next check or write meets the same fault.
                let more = self.sweep().is_ok_and(|swept| swept.more);
                sweep_at = Instant::now() + if more { Duration::ZERO } else { every };
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
    fn take_waiting(&self, first: Accepted) -> Vec<Accepted> {
        let mut size_kib = 0;
        let mut taken = Vec::new();
        let until = Instant::now() + self.pace.company_wait();
        let mut next = Some(first);
        while let Some(accepted) = next {
            size_kib += accepted.job.size_kib();
            taken.push(accepted);
            let full = taken.len() >= GROUP_JOBS_MAX || size_kib >= GROUP_KIB_MAX;
            next = if full {
                None
            } else if taken.len() < self.pace.company_len() {
                self.jobs.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
            } else {
                self.jobs.try_recv().ok()
            };
        }
        taken
    }

    /// Decides all jobs, commits once, then answers them. Returns who waits for the close.
    fn run_group(&mut self, jobs: Vec<Accepted>) -> Vec<Reply<()>> {
        let (started, count) = (Instant::now(), jobs.len());
        let (decided, fate) = match self.attempt(&jobs, None) {
            // Whoever wants to store something must not keep the others from removing.
            (_, Err(full)) if full.kind() == ErrorKind::Full && !full.is_unsure() => {
                self.attempt(&jobs, Some(full))
            }
            attempt => attempt,
        };
        let now_us = self.clock.now_us();
        let mut later = Later::default();
        for (Accepted { job, room }, decided) in jobs.into_iter().zip(decided) {
            let each = decided.into_iter().map(|decided| decided?.committed(&fate));
            job.answer(each, now_us, &mut later);
            // Only now, when the job's values are gone.
            drop(room);
        }
        self.pace = Pace::of(count, started.elapsed());
        for reply in later.sweeps {
            let _ = reply.send(self.sweep());
        }
        later.closing
    }

    /// Decides the jobs by what is committed and commits their changes. With a reason why nothing
    /// more can be stored, the parts that would store something fail with it.
    fn attempt(&mut self, jobs: &[Accepted], full: Option<Fault>) -> Attempt {
        let check = |accepted: &Accepted| matches!(accepted.job, Job::Check(_));
        let forced = full.is_none() && jobs.iter().any(check);
        let mut group = Group::full(full);
        let loaded =
            group.load(&*self.engine, jobs.iter().flat_map(|accepted| accepted.job.keys()));
        let decide = |accepted: &Accepted| accepted.job.decide(&mut group, &self.clock);
        let decided = jobs.iter().map(decide).collect();
        (decided, loaded.and_then(|()| self.commit(&group, forced)))
    }

    /// Removes a piece of what is due. In a commit of its own: it must go on where the callers'
    /// writes fail.
    fn sweep(&mut self) -> Result<Swept, Fault> {
        let mut group = Group::default();
        let swept = group.sweep(&*self.engine, self.clock.now_us())?;
        self.commit(&group, false)?;
        Ok(swept)
    }

    /// Commits what the group changed; nothing if it changed nothing, unless it is `forced`.
    fn commit(&mut self, group: &Group, forced: bool) -> Result<(), Fault> {
        if !group.is_changed() && !forced {
            return Ok(());
        }
        let before = match self.meta {
            Some(meta) => meta,
            None => read_meta(&*self.engine)?.unwrap_or_default(),
        };
        let after = Meta { floor_us: self.clock.floor_us(), commits: before.commits + 1 };
        let mut ops = group.ops();
        ops.push(meta_op(after));
        let committed = self.engine.commit(ops);
        self.meta = committed.is_ok().then_some(after);
        committed.map_err(|fault| if fault.is_lost() { self.settle(fault, before) } else { fault })
    }

    /// Looks whether a commit that lost its handle was made. Only "no" is certain: a commit that
    /// shows may still be lost with the power, if it was the sync that failed.
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
        while let Ok(first) = self.jobs.try_recv() {
            let jobs = self.take_waiting(first);
            closing.append(&mut self.run_group(jobs));
        }
        // The time of the close is kept, so that what has expired by now stays expired.
        let behind = self.meta.is_none_or(|meta| meta.floor_us < self.clock.floor_us());
        let kept = if behind { self.commit(&Group::default(), true) } else { Ok(()) };
        let closed = self.engine.close().and(kept);
        for reply in closing {
            // Whoever dropped the call does not wait for the answer.
            let _ = reply.send(closed.clone());
        }
    }
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
