//! A principal's records: what makes its sessions valid, and the list of them.

use std::time::Duration;

use crate::State;
use crate::backend::{Condition, Entry, Group, Key, Result, Ttl, Write};
use crate::store::{Carried, Opened};

use super::lookup::Verdict;
use super::record::{Live, Owner};
use super::sign_in::ATTEMPTS_MAX;
use super::user::{DeviceList, DeviceRecord, UserHead};
use super::{AtLimit, Ended, Happening, SessionError, SessionId, Sessions};

/// A principal's records as they were read, and as they are to be written.
pub(super) struct Roster {
    pub(super) group: Group,
    pub(super) user_key: Key,
    user: UserHead,
    user_entry: Option<Entry>,
    pub(super) list_key: Key,
    pub(super) list: DeviceList,
    pub(super) list_entry: Option<Entry>,
    /// Listed sessions that are over without having been ended.
    pub(super) over: Vec<DeviceRecord>,
}

/// A live session and its principal's records, as they were at one moment.
pub(super) struct Place {
    /// The id it has now.
    pub(super) id: SessionId,
    pub(super) key: Key,
    /// `None` for an anonymous session.
    pub(super) roster: Option<Roster>,
    pub(super) opened: Opened<Live>,
    /// The keys of the ids that led to this one, the oldest first.
    pub(super) before: Vec<Key>,
}

/// There is no live session behind an id.
pub(super) struct Nowhere {
    pub(super) why: Ended,
    /// Of the id that was asked for, and of those it led to, the oldest first.
    pub(super) keys: Vec<Key>,
}

impl Place {
    pub(super) fn owner(&self) -> Option<&str> {
        self.opened.head.owner.as_ref().map(|owner| owner.name.as_str())
    }
}

impl Roster {
    pub(super) fn owner(&self, name: &str) -> Owner {
        Owner { name: name.to_owned(), generation: self.user.generation }
    }

    pub(super) fn generation(&self) -> u64 {
        self.user.generation
    }

    /// The session stays on the list when it gets a new id. Where it gets that by a later write,
    /// it is listed under both: whichever it has then, it can be found and ended.
    pub(super) fn rename(&mut self, old: &SessionId, new: &SessionId, at_once: bool) {
        for device in self.list.devices.iter_mut().filter(|device| device.is(old)) {
            // What it was called before leads nowhere.
            let mut digests = if at_once { vec![] } else { vec![old.digest()] };
            digests.extend_from_slice(device.after(old));
            device.digests = digests;
            device.digests.push(new.digest());
        }
    }
}

impl<T: State> Sessions<T> {
    /// Reads a principal's records, and other keys in the same trip.
    pub(super) async fn roster(
        &self,
        group: &Group,
        others: &[Key],
    ) -> Result<(Roster, Vec<Option<Entry>>)> {
        let (user_key, list_key) = (self.user_key(group)?, self.list_key(group)?);
        let mut keys = vec![user_key.clone(), list_key.clone()];
        keys.extend_from_slice(others);
        let mut entries = self.store.entries(&keys).await?.into_iter();
        let (user_entry, list_entry) = (entries.next().flatten(), entries.next().flatten());
        let user = user_entry.as_ref().map(|entry| self.store.open::<UserHead>(&user_key, entry));
        let user = match user.transpose()?.flatten() {
            Some(user) => user.head,
            None => UserHead::fresh()?,
        };
        let (list, over) =
            DeviceList::read(&self.store, &list_key, list_entry.as_ref(), user.generation)?;
        let group = group.clone();
        let roster = Roster { group, user_key, user, user_entry, list_key, list, list_entry, over };
        Ok((roster, entries.collect()))
    }

    /// The live session behind an id, with its principal's records. One trip; one more for each
    /// rotation it was missing.
    pub(super) async fn place(
        &self,
        id: &SessionId,
    ) -> Result<std::result::Result<Place, Nowhere>> {
        let (mut id, mut before) = (id.clone(), Vec::new());
        for _hop in 0..ATTEMPTS_MAX {
            let key = self.session_key(&id)?;
            let (roster, entry) = if id.is_signed_in() {
                let keys = std::slice::from_ref(&key);
                let (roster, mut others) = self.roster(&id.group(), keys).await?;
                (Some(roster), others.pop().flatten())
            } else {
                (None, self.store.entry(&key).await?)
            };
            let generation = roster.as_ref().map(Roster::generation);
            match self.judge(&key, entry.as_ref(), generation)? {
                Verdict::Live(opened) => return Ok(Ok(Place { id, key, roster, opened, before })),
                Verdict::Ended(why) => {
                    before.push(key);
                    return Ok(Err(Nowhere { why, keys: before }));
                }
                Verdict::Moved(successor) => {
                    before.push(key);
                    id = id.unpad(successor.padded_secret);
                }
            }
        }
        Ok(Err(Nowhere { why: Ended::RotatedOut, keys: before }))
    }

    /// The write that goes with a new session on the list: the principal's record stays, or is
    /// made.
    pub(super) fn user_write(&self, roster: &Roster) -> Result<Write> {
        let key = &roster.user_key;
        let (entry, ttl) = (roster.user_entry.as_ref(), self.outliving(None)?);
        let Some(entry) = entry else {
            let put = self.store.compose::<_, ()>(key, &roster.user, None, Carried::default())?;
            return Ok(put.expiring(ttl).only_if(Condition::Absent));
        };
        // What is left may be more than is told: who has enough is left alone.
        let lives = entry.left.is_none_or(|left| left >= ttl.as_duration());
        let stays = if lives {
            Write::check(key.clone(), Condition::Always)
        } else {
            Write::touch(key.clone(), Some(ttl))
        };
        Ok(stays.only_if(Condition::VersionIs(entry.version)))
    }

    /// The write that stores the list as it is now, if nobody else has changed it.
    pub(super) fn list_write(&self, roster: &Roster) -> Result<Write> {
        let entry = roster.list_entry.as_ref();
        let put = self.store.compose::<_, ()>(
            &roster.list_key,
            &roster.list,
            None,
            Carried::default(),
        )?;
        let only_if = entry.map_or(Condition::Absent, |entry| Condition::VersionIs(entry.version));
        Ok(put.expiring(self.outliving(entry)?).only_if(only_if))
    }

    /// A time to live that covers every session there is, even one from before a shorter timeout,
    /// and one that is about to be made.
    fn outliving(&self, entry: Option<&Entry>) -> Result<Ttl> {
        let left = entry.and_then(|entry| entry.left).unwrap_or_default();
        let head_start = if self.store.transacts() { Duration::ZERO } else { HEAD_START };
        let whole = self.absolute.as_duration() + head_start;
        Ttl::new(left.max(whole).min(Ttl::MAX.as_duration()))
    }

    /// At the limit: takes dead sessions off the list, then the oldest live ones, which it gives
    /// with their records.
    pub(super) async fn make_room(
        &self,
        roster: &mut Roster,
    ) -> std::result::Result<Vec<(DeviceRecord, Vec<Opened<Live>>)>, SessionError> {
        if roster.list.devices.len() < self.per_principal_max {
            return Ok(Vec::new());
        }
        let records = self.drop_dead(roster).await?;
        let live = roster.list.devices.len();
        let excess = (live + 1).saturating_sub(self.per_principal_max);
        match self.at_limit {
            AtLimit::Refuse if excess > 0 => Err(SessionError::LimitReached { live }),
            AtLimit::Refuse | AtLimit::EvictOldest => {
                Ok(roster.list.devices.drain(..excess).zip(records).collect())
            }
        }
    }

    /// Takes the sessions off the list that are gone without having been ended, and names that
    /// lead nowhere; gives the records of the others, one for each name.
    pub(super) async fn drop_dead(&self, roster: &mut Roster) -> Result<Vec<Vec<Opened<Live>>>> {
        let digests = roster.list.devices.iter().flat_map(|device| &device.digests);
        let key = |digest: &String| self.digest_key(&roster.group, digest);
        let keys = digests.map(key).collect::<Result<Vec<_>>>()?;
        let mut found = keys.iter().zip(self.store.entries(&keys).await?);
        let devices = std::mem::take(&mut roster.list.devices);
        let mut records = Vec::with_capacity(devices.len());
        for mut device in devices {
            let (mut names, mut live) = (Vec::new(), Vec::new());
            for (digest, (key, entry)) in device.digests.iter().zip(&mut found) {
                let verdict = self.judge(key, entry.as_ref(), Some(roster.generation()))?;
                if let Verdict::Live(opened) = verdict {
                    names.push(digest.clone());
                    live.push(opened);
                }
            }
            if live.is_empty() {
                roster.over.push(device);
            } else {
                device.digests = names;
                roster.list.devices.push(device);
                records.push(live);
            }
        }
        Ok(records)
    }

    pub(super) fn tell_of(
        &self,
        what: Happening,
        devices: &[DeviceRecord],
        principal: Option<&str>,
    ) {
        for device in devices {
            let short = device.digests.last().map(|digest| digest[..8].to_owned());
            self.tell_short(what, short, principal);
        }
    }
}

/// One write after the other, a principal's record may be this much older than the session that it
/// makes valid.
const HEAD_START: Duration = Duration::from_secs(60);
