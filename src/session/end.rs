//! How sessions end, and the list of those that have not.

use crate::backend::{Condition, Error, ErrorKind, Key, Result, Transacted, Write, Written};
use crate::store;
use crate::{Principal, State};

use super::lookup::Verdict;
use super::roster::{Nowhere, Roster};
use super::sign_in::ATTEMPTS_MAX;
use super::user::DeviceRecord;
use super::{Device, Ended, Happening, SessionError, SessionId, Sessions};

impl<T: State> Sessions<T> {
    /// Ends a session at once, also if its id was renewed within the grace, and takes it off the
    /// list of devices. Ending one that is gone is fine, and is
    /// [confirmed](crate::backend::Capabilities::shows_unconfirmed) as its end is. On a store that
    /// is full it ends, too; the list then names it until somebody looks at it. Two trips; more
    /// [without transactions](super#without-transactions), where the store is full, and by an id
    /// that was renewed.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] with [`Ended::RotatedOut`] if the session goes on under an id that
    /// this one does not lead to: it is not ended. Otherwise what the store says; the session then
    /// may still be live.
    pub async fn destroy(&self, id: &SessionId) -> std::result::Result<(), SessionError> {
        self.store.one_call(self.end(id)).await
    }

    async fn end(&self, id: &SessionId) -> std::result::Result<(), SessionError> {
        self.forget(id)?;
        for _attempt in 0..ATTEMPTS_MAX {
            let place = match self.place(id).await? {
                Ok(place) => place,
                Err(Nowhere { why: Ended::RotatedOut, .. }) => {
                    return Err(SessionError::Gone(Ended::RotatedOut));
                }
                Err(Nowhere { keys, .. }) => return Ok(self.stay_ended(keys).await?),
            };
            let owner = place.owner().map(str::to_owned);
            let only_if = Condition::VersionIs(place.opened.version);
            let mut deletes = vec![Write::delete(place.key).only_if(only_if)];
            if let Some(roster) = &place.roster {
                let listed = roster.list.devices.iter().find(|device| device.is(&place.id));
                // A rotation that is under way, or was cut off, has made these.
                for digest in listed.iter().flat_map(|device| device.after(&place.id)) {
                    deletes.push(Write::delete(self.digest_key(&roster.group, digest)?));
                }
            }
            let is_it = |device: &DeviceRecord| device.is(&place.id);
            let struck = self.strike(place.roster, deletes, is_it, owner.as_deref()).await?;
            if struck != Struck::Neither {
                self.tell(Happening::Destroyed, Some(&place.id), owner.as_deref());
                return Ok(self.stay_ended(place.before).await?);
            }
        }
        Err(store::contended(ATTEMPTS_MAX).into())
    }

    /// What is kept of a session is not given any more: it is to end, whether or not the store can
    /// be asked. That holds for the ids, too, to which this one led when it was last looked at.
    pub(super) fn forget(&self, id: &SessionId) -> Result<()> {
        let mut id = id.clone();
        for _hop in 0..ATTEMPTS_MAX {
            let key = self.session_key(&id)?;
            self.store.forget(&key);
            // All ids of one that is signed in are in one group.
            let entry = if id.is_signed_in() { None } else { self.store.last_kept(&key) };
            match self.judge(&key, entry.as_ref(), None) {
                Ok(Verdict::Moved(successor)) => id = id.unpad(successor.padded_secret),
                Ok(Verdict::Live(_) | Verdict::Ended(_)) | Err(_) => break,
            }
        }
        Ok(())
    }

    /// What is gone under these keys may have been ended, or left, by a call that was not
    /// confirmed, and come back in a failover. Each key may be on a server of its own.
    async fn stay_ended(&self, keys: Vec<Key>) -> Result<()> {
        if !self.store.info().capabilities.shows_unconfirmed() {
            return Ok(());
        }
        // The last one first: if that is all, the others still tell a retry where it is.
        for key in keys.iter().rev() {
            self.store.delete(key).await?;
        }
        Ok(())
    }

    /// Ends the session that [`devices`](Sessions::devices) shows under a short id. False if there
    /// is none (any more). Two trips; more [without transactions](super#without-transactions).
    ///
    /// # Errors
    ///
    /// What the store says; the session then may still be live.
    pub async fn destroy_device(&self, principal: &Principal, short_id: &str) -> Result<bool> {
        self.store.one_call(self.end_device(principal, short_id)).await
    }

    async fn end_device(&self, principal: &Principal, short_id: &str) -> Result<bool> {
        let (mut ended, owner) = (false, Some(principal.name()));
        self.store.forget(&self.list_key(&principal.group())?);
        for _attempt in 0..ATTEMPTS_MAX {
            let told = |error| half_done(error, ended);
            let (roster, _) = self.roster(&principal.group(), &[]).await.map_err(told)?;
            let listed = roster.list.devices.iter().find(|device| device.short_id == short_id);
            let Some(device) = listed.cloned() else {
                let seen = roster.list_entry.as_ref().map(|entry| entry.version);
                if self.store.confirm(&roster.list_key, seen).await.map_err(told)? {
                    return Ok(ended);
                }
                continue;
            };
            // While it is on the list under these names it has no other: a rotation changes both
            // at once, or the list first.
            let key = |digest: &String| self.digest_key(&roster.group, digest);
            // The last one first: if that is all, the others still tell where the session went.
            let keys = device.digests.iter().rev().map(key).collect::<Result<Vec<_>>>()?;
            let deletes = keys.into_iter().map(Write::delete).collect();
            let is_it = |other: &DeviceRecord| other.short_id == short_id;
            let struck = self.strike(Some(roster), deletes, is_it, owner).await.map_err(told)?;
            if struck != Struck::Neither && !ended {
                self.tell_of(Happening::Destroyed, &[device], owner);
                ended = true;
            }
            if matches!(struck, Struck::Both | Struck::Listed) {
                return Ok(true);
            }
        }
        Err(store::contended(ATTEMPTS_MAX))
    }

    /// Ends a session by deletes, the first of which decides, and takes it off its principal's
    /// list, if it has one.
    async fn strike(
        &self,
        roster: Option<Roster>,
        deletes: Vec<Write>,
        is_it: impl Fn(&DeviceRecord) -> bool,
        owner: Option<&str>,
    ) -> Result<Struck> {
        let list = match roster {
            None => None,
            Some(mut roster) => {
                roster.list.devices.retain(|device| !is_it(device));
                Some((self.list_write(&roster)?, roster.over))
            }
        };
        let struck = match &list {
            Some((list, _)) if self.store.transacts() => self.strike_at_once(list, deletes).await?,
            _ => self.strike_in_order(list.as_ref().map(|(list, _)| list), deletes).await?,
        };
        if let (Struck::Both, Some((_, over))) = (struck, list) {
            self.tell_of(Happening::Expired, &over, owner);
        }
        Ok(struck)
    }

    /// All or nothing. But a store that is full must not keep anybody signed in: what cannot be
    /// written there is left.
    async fn strike_at_once(&self, list: &Write, deletes: Vec<Write>) -> Result<Struck> {
        let with = |first: Write| [vec![first], deletes.clone()].concat();
        let (answer, struck) = match self.store.transact(&with(list.clone())).await {
            Err(error) if error.kind() == ErrorKind::Full => {
                (self.store.transact(&with(unchanged(list))).await?, Struck::Listed)
            }
            answer => (answer?, Struck::Both),
        };
        Ok(match answer {
            Transacted::Applied { .. } => struck,
            Transacted::Refused { .. } => Struck::Neither,
        })
    }

    /// The session first: on the list it may stay for a while, but not off the list.
    async fn strike_in_order(&self, list: Option<&Write>, deletes: Vec<Write>) -> Result<Struck> {
        for (made, delete) in deletes.into_iter().enumerate() {
            let answer = self.store.settle(delete).await;
            if !answer.map_err(|error| half_done(error, made > 0))?.is_applied() {
                return Ok(Struck::Neither);
            }
        }
        let Some(list) = list else { return Ok(Struck::Both) };
        // If that fails, the next look at the list finds that the session is over.
        let (written, struck) = match self.store.write(list).await {
            Err(error) if error.kind() == ErrorKind::Full => {
                (self.store.write(&unchanged(list)).await, Struck::Listed)
            }
            written => (written, Struck::Both),
        };
        Ok(match written {
            Ok(Written::Applied { .. }) => struck,
            Ok(Written::Refused { .. }) | Err(_) => Struck::Session,
        })
    }

    /// Ends all sessions of a principal at once. One trip, whatever their number.
    ///
    /// # Errors
    ///
    /// What the store says; the sessions then may still be live.
    pub async fn destroy_all(&self, principal: &Principal) -> Result<()> {
        self.store.one_call(self.end_all(principal)).await
    }

    async fn end_all(&self, principal: &Principal) -> Result<()> {
        // Every session names the generation of the principal's record, and a new record draws a
        // new one.
        let group = principal.group();
        let (user, list) = (self.user_key(&group)?, self.list_key(&group)?);
        // Unconditional, so neither can be refused.
        if self.store.transacts() {
            drop(self.store.transact(&[Write::delete(user), Write::delete(list)]).await?);
        } else {
            // A list of another generation counts for nothing.
            self.store.delete(&user).await?;
        }
        self.tell_short(Happening::Revoked, None, Some(principal.name()));
        Ok(())
    }

    /// The live sessions of a principal, oldest first; `current` marks the one that asks. Two
    /// trips, three when a session is found to have expired.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn devices(
        &self,
        principal: &Principal,
        current: Option<&SessionId>,
    ) -> Result<Vec<Device>> {
        self.store.one_call(self.list_devices(principal, current)).await
    }

    async fn list_devices(
        &self,
        principal: &Principal,
        current: Option<&SessionId>,
    ) -> Result<Vec<Device>> {
        for _attempt in 0..ATTEMPTS_MAX {
            let (mut roster, _) = self.roster(&principal.group(), &[]).await?;
            let records = self.drop_dead(&mut roster).await?;
            // What is not there may go on under an id that the list got after it was read.
            if !self.forget_dead(&roster, principal).await {
                continue;
            }
            let devices = roster.list.devices.into_iter().zip(&records);
            let devices = devices.filter_map(|(device, records)| {
                let opened = records.first()?;
                let whole = opened.carried.limit.map_or(self.absolute, |limit| limit.life);
                Some(Device {
                    age: whole.as_duration().saturating_sub(opened.limit_left.unwrap_or_default()),
                    idle_left: self.idle_left(opened, false),
                    current: current.is_some_and(|current| device.is(current)),
                    short_id: device.short_id,
                    label: device.label,
                })
            });
            return Ok(devices.collect());
        }
        Err(store::contended(ATTEMPTS_MAX))
    }

    /// Takes dead sessions off the stored list. If that fails, the next look at it tries again.
    /// False if somebody has changed the list since it was read.
    async fn forget_dead(&self, roster: &Roster, principal: &Principal) -> bool {
        if roster.over.is_empty() {
            return true;
        }
        let Ok(write) = self.list_write(roster) else { return true };
        match self.store.write(&write).await {
            Ok(Written::Applied { .. }) => {
                self.tell_of(Happening::Expired, &roster.over, Some(principal.name()));
                true
            }
            Ok(Written::Refused { .. }) => false,
            Err(_failed) => true,
        }
    }
}

/// Holds while nobody has changed the list that this would write.
fn unchanged(list: &Write) -> Write {
    Write::check(list.key().clone(), list.condition())
}

/// An error is ambiguous if something was done before it.
fn half_done(error: Error, done: bool) -> Error {
    if done { error.ambiguous() } else { error }
}

/// How far the end of a session got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Struck {
    Neither,
    /// It is over, but its principal's list has changed meanwhile, or could not be written.
    Session,
    /// It is over. Its principal's list has not changed, and the store is too full to write it: the
    /// next look at it finds that the session is over.
    Listed,
    /// It is over, and off the list.
    Both,
}
