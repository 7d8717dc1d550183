use std::slice;
use std::sync::Arc;
use std::sync::mpsc;

use steadfast_backend::{Key, StoreClock, Transacted, Write, Written};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::Fault;
use crate::decide::Decided;
use crate::group::Group;
use crate::sweep::Swept;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Fault>>;

/// What the writer thread is asked to do.
pub(crate) enum Job {
    Write(Write, Reply<Written>),
    WriteMany(Vec<Write>, Reply<Vec<Result<Written, Fault>>>),
    Transact(Vec<Write>, Reply<Transacted>),
    /// A commit even if there is nothing to commit.
    Check(Reply<()>),
    Sweep(Reply<Swept>),
    Close(Reply<()>),
}

impl Job {
    pub(crate) fn writes(&self) -> &[Write] {
        match self {
            Self::Write(write, _) => slice::from_ref(write),
            Self::WriteMany(writes, _) | Self::Transact(writes, _) => writes,
            Self::Check(_) | Self::Sweep(_) | Self::Close(_) => &[],
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.writes().iter().map(|write| write.key().clone())
    }

    /// How much of the queue's room it takes.
    pub(crate) fn size_kib(&self) -> usize {
        let value_len = |write: &Write| match write {
            Write::Put { value, .. } => value.len(),
            _ => 0,
        };
        self.writes().iter().map(|write| 1 + value_len(write) / 1024).sum::<usize>().max(1)
    }

    /// Decides what is decided alone: a write, each write of a batch, a transaction.
    pub(crate) fn decide(
        &self,
        group: &mut Group,
        clock: &StoreClock,
    ) -> Vec<Result<Decided, Fault>> {
        match self {
            Self::Write(write, _) => vec![group.decide(slice::from_ref(write), clock)],
            Self::WriteMany(writes, _) => {
                writes.iter().map(|write| group.decide(slice::from_ref(write), clock)).collect()
            }
            Self::Transact(writes, _) => vec![group.decide(writes, clock)],
            Self::Check(_) => vec![group.check_room().map(|()| Decided::Applied(Vec::new()))],
            Self::Sweep(_) | Self::Close(_) => Vec::new(),
        }
    }

    /// Tells the caller, or puts the job off. A caller that is gone needs no answer; its write
    /// stands all the same.
    pub(crate) fn answer(
        self,
        mut decided: impl Iterator<Item = Result<Decided, Fault>>,
        now_us: u64,
        later: &mut Later,
    ) {
        let mut one = || decided.next().unwrap_or_else(|| Err(Fault::closed()));
        match self {
            Self::Write(_, reply) => drop(reply.send(one().map(|one| one.written(now_us)))),
            Self::WriteMany(_, reply) => {
                let each = decided.map(|one| one.map(|one| one.written(now_us)));
                drop(reply.send(Ok(each.collect())));
            }
            Self::Transact(_, reply) => drop(reply.send(one().map(|one| one.transacted(now_us)))),
            Self::Check(reply) => drop(reply.send(one().map(|_| ()))),
            Self::Sweep(reply) => later.sweeps.push(reply),
            Self::Close(reply) => later.closing.push(reply),
        }
    }
}

/// What is done once a group is answered.
#[derive(Default)]
pub(crate) struct Later {
    pub(crate) sweeps: Vec<Reply<Swept>>,
    pub(crate) closing: Vec<Reply<()>>,
}

/// A job that was accepted. It gives its room back once it is answered.
pub(crate) struct Accepted {
    pub(crate) job: Job,
    pub(crate) room: OwnedSemaphorePermit,
}

/// The queue of the writer thread, bounded by the bytes of the values that wait in it.
#[derive(Debug)]
pub(crate) struct Queue {
    jobs: mpsc::Sender<Accepted>,
    room: Arc<Semaphore>,
    room_kib: usize,
}

impl Queue {
    pub(crate) fn new(room_kib: usize) -> (Self, mpsc::Receiver<Accepted>) {
        let (jobs, accepted) = mpsc::channel();
        (Self { jobs, room: Arc::new(Semaphore::new(room_kib)), room_kib }, accepted)
    }

    /// Hands a job over and waits for its answer. While the queue is full it waits for room; from
    /// the moment it has some, the job is done whether or not anyone still waits.
    pub(crate) async fn run<T>(&self, make: impl FnOnce(Reply<T>) -> Job) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let job = make(reply);
        let size_kib = u32::try_from(job.size_kib().min(self.room_kib)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(size_kib).await;
        let accepted = Accepted { job, room: room.map_err(|_| Fault::closed())? };
        self.jobs.send(accepted).map_err(|_| Fault::closed())?;
        // A job without an answer met the end of the writer before it was begun.
        answer.await.unwrap_or_else(|_| Err(Fault::closed()))
    }
}
