use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::backend::{
    Condition, Entry, Error, ErrorKind, Key, Result, Ttl, Version, Write, Written,
};
use crate::observe::Replay;
use crate::session::lookup::{Looked, Verdict};
use crate::session::record::{Live, SessionHead};
use crate::session::{Ended, SessionId, Sessions};
use crate::store::{self, Opened, Reads};
use crate::supervise::Supervised;
use crate::{State, random};

use super::waiting::{Queued, Waiting};

/// How often one replay starts anew because the session changed meanwhile.
const ATTEMPTS_MAX: usize = 16;
/// About how long after an attempt in vain the next one is made.
const PAUSE: Duration = Duration::from_millis(200);

/// Changes that were queued and are not saved: [`Sessions::merge_unsaved`] makes what is left of
/// them. `Debug` does not show them.
#[derive(Clone)]
#[non_exhaustive]
pub struct Unsaved<T> {
    /// Eight characters that stand for the session, as in
    /// [`SessionEvent`](crate::session::SessionEvent).
    pub session: String,
    /// The name of its principal, if it has one.
    pub principal: Option<String>,
    /// Why they are not saved.
    pub why: WhyUnsaved,
    /// The state as it would have been; `None` if the session is past its absolute end.
    pub state: Option<T>,
    /// Of the session. The journal has a hash of the id, never the id.
    pub(super) key: Key,
}

/// Why changes that were queued are not saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyUnsaved {
    /// Somebody else changed the session meanwhile; theirs stands.
    Changed,
    /// It ended, or goes on under another id.
    Ended(Ended),
    /// The last of them waited for longer than [`age_max`](super::JournalConfig::age_max), or than
    /// the session lives unless it is used.
    TooOld,
}

pub(in crate::session) type OnUnsaved<T> = Arc<dyn Fn(&Unsaved<T>) + Send + Sync>;

/// Saves what waits when the store is back, for as long as somebody has it.
#[derive(Debug)]
pub(in crate::session) struct Replayer(
    #[expect(dead_code, reason = "ends when dropped")] Supervised,
);

/// What is to become of changes that wait.
enum Course {
    /// They are written on this.
    Write {
        on: Version,
        left: Duration,
        guard: Option<Write>,
    },
    /// They were written already.
    Done,
    Lost(WhyUnsaved),
}

impl Replayer {
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) outside of a Tokio runtime.
    pub(in crate::session) fn start<T: State>(sessions: &Sessions<T>) -> Result<Self> {
        // The task keeps no task.
        let sessions = Sessions { replayer: None, ..sessions.clone() };
        let replay = move || {
            let sessions = sessions.clone();
            async move { sessions.replay_always().await }
        };
        Supervised::start("session journal", replay).map(Self)
    }
}

impl<T: State> Sessions<T> {
    async fn replay_always(&self) {
        let Some(journal) = &self.journal else { return };
        loop {
            match self.replay_waiting(journal).await {
                Ok(()) => journal.more.notified().await,
                Err(error) if may_pass(&error) => {
                    tracing::debug!(%error, "what waits in the journal is not saved yet");
                    sleep(random::about(PAUSE)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "some of what waits in the journal cannot be saved");
                    sleep(random::about(PAUSE * 50)).await;
                }
            }
        }
    }

    /// Saves all that waits, one session after the other. What cannot be saved holds up nothing
    /// else: the servers of the store fail apart, and so do records.
    async fn replay_waiting(&self, journal: &Waiting) -> Result<()> {
        let mut failed = None;
        for (group, name) in journal.sessions().await? {
            let key = self.digest_key(&group, &name)?;
            if let Err(error) = self.store.one_call(self.replay(journal, &key)).await {
                // One that may pass soon is tried again soon.
                failed = failed.filter(may_pass).or(Some(error));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Saves what waits for a session that is to get another id: it would not find it any more.
    ///
    /// # Errors
    ///
    /// As [`replay`](Self::replay).
    pub(in crate::session) async fn save_waiting(&self, id: &SessionId) -> Result<()> {
        match &self.journal {
            Some(journal) => self.replay(journal, &self.session_key(id)?).await,
            None => Ok(()),
        }
    }

    /// Saves what waits for one session, or tells that it cannot be saved.
    ///
    /// # Errors
    ///
    /// What the store or the journal says; it waits on then.
    pub(in crate::session) async fn replay(&self, journal: &Waiting, key: &Key) -> Result<()> {
        for _attempt in 0..ATTEMPTS_MAX {
            let Some(queued) = journal.get(key).await? else { return Ok(()) };
            let ours = self.queued_head(key, &queued)?;
            let signed_in = ours.is_some_and(|ours| ours.head.owner.is_some());
            let looked = self.look(key.clone(), signed_in, Reads::default()).await?;
            // More may have come meanwhile.
            let Some(queued) = journal.get(key).await? else { return Ok(()) };
            let seen = looked.version();
            let course = self.course(journal, key, &queued, looked)?;
            // What waits is kept until what takes its place is confirmed.
            if !matches!(course, Course::Write { .. }) && !self.store.confirm(key, seen).await? {
                continue;
            }
            match course {
                Course::Done => return self.settled(journal, key, &queued).await,
                Course::Lost(why) => return self.lost(journal, key, &queued, why).await,
                Course::Write { on, left, guard } => {
                    let put = Write::put(key.clone(), queued.stored.value.clone());
                    let put = put.expiring(Ttl::new(left)?).only_if(Condition::VersionIs(on));
                    let written = self.store.write_guarded(guard.as_ref(), &put).await?;
                    if let Written::Applied { .. } = written {
                        return self.settled(journal, key, &queued).await;
                    }
                }
            }
        }
        Err(store::contended(ATTEMPTS_MAX))
    }

    fn course(
        &self,
        journal: &Waiting,
        key: &Key,
        queued: &Queued,
        looked: Looked,
    ) -> Result<Course> {
        let Some(ours) = self.queued_head(key, queued)? else {
            return Ok(Course::Lost(WhyUnsaved::TooOld));
        };
        let now = match looked.verdict {
            Verdict::Live(now) => now,
            Verdict::Moved(_) => return Ok(Course::Lost(WhyUnsaved::Ended(Ended::RotatedOut))),
            Verdict::Ended(ended) => return Ok(Course::Lost(WhyUnsaved::Ended(ended))),
        };
        let kept = self.kept_of(&now.head)?.as_duration();
        let (ours, theirs) = (ours.head.marks, now.head.marks);
        Ok(if theirs.has(ours.newest()) {
            Course::Done
        } else if queued.age >= journal.age_max().min(kept) {
            Course::Lost(WhyUnsaved::TooOld)
        } else if queued.stored.goes_on_from(&now) {
            let left = kept.saturating_sub(queued.age);
            // It may have been used elsewhere since.
            let left = left.max(now.left.unwrap_or_default());
            Course::Write { on: now.version, left, guard: looked.guard }
        } else {
            Course::Lost(WhyUnsaved::Changed)
        })
    }

    /// What waits, opened; `None` if the session is past its absolute end.
    fn queued_head(&self, key: &Key, queued: &Queued) -> Result<Option<Opened<Live>>> {
        let entry = Entry { value: queued.stored.value.clone(), ..queued.entry.clone() };
        let Some(opened) = self.store.open::<SessionHead>(key, &entry)? else { return Ok(None) };
        let (head, rest) = opened.take();
        Ok(head.live().ok().map(|live| rest.with(live)))
    }

    async fn settled(&self, journal: &Waiting, key: &Key, queued: &Queued) -> Result<()> {
        // Two may have saved the same: one of them removes it.
        if journal.remove(key, queued.version).await? {
            journal.meters.replay(Replay::Saved);
        }
        Ok(())
    }

    /// Tells before it forgets: a crash in between tells twice rather than never.
    async fn lost(
        &self,
        journal: &Waiting,
        key: &Key,
        queued: &Queued,
        why: WhyUnsaved,
    ) -> Result<()> {
        // First of all: what cannot be read is neither told nor forgotten.
        let opened = self.queued_head(key, queued)?;
        let state = opened.as_ref().map(Opened::value).transpose()?;
        if !journal.is_to_tell(key, queued.version).await? {
            return journal.remove(key, queued.version).await.map(drop);
        }
        let session = key.name().chars().take(8).collect();
        tracing::warn!(session, ?why, "changes that waited in the journal are not saved");
        if let Some(tell) = &self.on_unsaved {
            let principal = opened.and_then(|opened| opened.head.owner).map(|owner| owner.name);
            tell(&Unsaved { session, principal, why, state, key: key.clone() });
        }
        journal.meters.replay(match why {
            WhyUnsaved::Changed => Replay::Conflict,
            WhyUnsaved::Ended(_) => Replay::Ended,
            WhyUnsaved::TooOld => Replay::TooOld,
        });
        journal.remove(key, queued.version).await.map(drop)
    }
}

fn may_pass(error: &Error) -> bool {
    error.is_outage() || error.kind() == ErrorKind::Unconfirmed
}

impl<T> fmt::Debug for Unsaved<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsaved")
            .field("session", &self.session)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}
