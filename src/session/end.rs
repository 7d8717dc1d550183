//! How sessions end, and the list of those that have not.

use crate::backend::{Condition, Result, Transacted, Write, Written};
use crate::store;
use crate::{Principal, State};

use super::lookup::Verdict;
use super::roster::Roster;
use super::sign_in::ATTEMPTS_MAX;
use super::{Device, Happening, SessionId, Sessions};

impl<T: State> Sessions<T> {
    /// Ends a session at once, under whatever id it has now, and takes it off the list of devices.
    /// Ending one that is gone is fine. Two trips.
    ///
    /// # Errors
    ///
    /// What the store says; the session then may still be live.
    pub async fn destroy(&self, id: &SessionId) -> Result<()> {
        let mut id = id.clone();
        for _attempt in 0..ATTEMPTS_MAX {
            let key = self.session_key(&id)?;
            let keys = std::slice::from_ref(&key);
            let (roster, entry) = if id.is_signed_in() {
                let (roster, mut others) = self.roster(&id.group(), keys).await?;
                (Some(roster), others.pop().flatten())
            } else {
                (None, self.store.entry(&key).await?)
            };
            let generation = roster.as_ref().map(Roster::generation);
            let opened = match self.judge(&key, entry.as_ref(), generation)? {
                Verdict::Live(opened) => opened,
                Verdict::Ended(_) => return Ok(()),
                Verdict::Moved(successor) => {
                    id = id.unpad(successor.padded_secret);
                    continue;
                }
            };
            let delete = Write::delete(key).only_if(Condition::VersionIs(opened.version));
            let digest = id.digest();
            if self.strike(roster, delete, |device| device.digest == digest).await? {
                let owner = opened.head.owner.as_ref().map(|owner| owner.name.as_str());
                self.tell(Happening::Destroyed, Some(&id), owner);
                return Ok(());
            }
        }
        Err(store::contended(ATTEMPTS_MAX))
    }

    /// Ends the session that [`devices`](Sessions::devices) shows under a short id. False if there
    /// is none (any more). Three trips.
    ///
    /// # Errors
    ///
    /// What the store says; the session then may still be live.
    pub async fn destroy_device(&self, principal: &Principal, short_id: &str) -> Result<bool> {
        for _attempt in 0..ATTEMPTS_MAX {
            let (roster, _) = self.roster(&principal.group(), &[]).await?;
            let listed = roster.list.devices.iter().find(|device| device.short_id == short_id);
            let Some(device) = listed.cloned() else { return Ok(false) };
            // While it is on the list under this id it has not been rotated: both change at once.
            let delete = Write::delete(self.digest_key(&roster.group, &device.digest)?);
            if self.strike(Some(roster), delete, |other| other.short_id == short_id).await? {
                self.tell_of(Happening::Destroyed, &[device], Some(principal.name()));
                return Ok(true);
            }
        }
        Err(store::contended(ATTEMPTS_MAX))
    }

    /// Makes a delete, and takes the session off its principal's list, if it has one. False if
    /// somebody changed either meanwhile; nothing is changed then.
    async fn strike(
        &self,
        roster: Option<Roster>,
        delete: Write,
        is_it: impl Fn(&super::user::DeviceRecord) -> bool,
    ) -> Result<bool> {
        let Some(mut roster) = roster else {
            return Ok(self.store.write(delete).await?.is_applied());
        };
        roster.list.devices.retain(|device| !is_it(device));
        let writes = vec![self.list_write(&roster)?, delete];
        Ok(matches!(self.store.transact(writes).await?, Transacted::Applied { .. }))
    }

    /// Ends all sessions of a principal at once. One trip, whatever their number.
    ///
    /// # Errors
    ///
    /// What the store says; the sessions then may still be live.
    pub async fn destroy_all(&self, principal: &Principal) -> Result<()> {
        // Every session names the generation of the principal's record, and a new record draws a
        // new one.
        let group = principal.group();
        let both = [self.user_key(&group)?, self.list_key(&group)?];
        let deleted = self.store.transact(both.map(Write::delete).into()).await?;
        // Unconditional, so it cannot be refused.
        debug_assert!(matches!(deleted, Transacted::Applied { .. }));
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
        let current = current.map(SessionId::digest);
        for _attempt in 0..ATTEMPTS_MAX {
            let (mut roster, _) = self.roster(&principal.group(), &[]).await?;
            let live = self.drop_dead(&mut roster).await?;
            // What is not there may go on under an id that the list got after it was read.
            if !self.forget_dead(&roster, principal).await {
                continue;
            }
            let devices = roster.list.devices.into_iter().zip(&live);
            let devices = devices.map(|(device, opened)| {
                let whole = opened.carried.limit.map_or(self.absolute, |limit| limit.life);
                Device {
                    age: whole.as_duration().saturating_sub(opened.limit_left.unwrap_or_default()),
                    idle_left: self.idle_left(opened, false),
                    current: current.as_ref() == Some(&device.digest),
                    short_id: device.short_id,
                    label: device.label,
                }
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
        match self.store.write(write).await {
            Ok(Written::Applied { .. }) => {
                self.tell_of(Happening::Expired, &roster.over, Some(principal.name()));
                true
            }
            Ok(Written::Refused { .. }) => false,
            Err(_failed) => true,
        }
    }
}
