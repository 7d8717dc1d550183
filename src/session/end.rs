//! How sessions end, and the list of those that have not.

use crate::backend::{Condition, Result, Transacted, Write, Written};
use crate::store;
use crate::{Principal, State};

use super::roster::Roster;
use super::sign_in::ATTEMPTS_MAX;
use super::user::DeviceRecord;
use super::{Device, Ended, Happening, SessionError, SessionId, Sessions};

impl<T: State> Sessions<T> {
    /// Ends a session at once, also if its id was renewed within the grace, and takes it off the
    /// list of devices. Ending one that is gone is fine. Two trips.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] with [`Ended::RotatedOut`] if the session goes on under an id that
    /// this one does not lead to: it is not ended. Otherwise what the store says; the session then
    /// may still be live.
    pub async fn destroy(&self, id: &SessionId) -> std::result::Result<(), SessionError> {
        for _attempt in 0..ATTEMPTS_MAX {
            let place = match self.place(id).await? {
                Ok(place) => place,
                Err(Ended::RotatedOut) => return Err(SessionError::Gone(Ended::RotatedOut)),
                Err(Ended::Missing | Ended::Revoked) => return Ok(()),
            };
            let owner = place.owner().map(str::to_owned);
            let only_if = Condition::VersionIs(place.opened.version);
            let delete = Write::delete(place.key).only_if(only_if);
            let digest = place.id.digest();
            let is_it = |device: &DeviceRecord| device.digest == digest;
            if self.strike(place.roster, delete, is_it, owner.as_deref()).await? {
                self.tell(Happening::Destroyed, Some(&place.id), owner.as_deref());
                return Ok(());
            }
        }
        Err(store::contended(ATTEMPTS_MAX).into())
    }

    /// Ends the session that [`devices`](Sessions::devices) shows under a short id. False if there
    /// is none (any more). Two trips.
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
            let is_it = |other: &DeviceRecord| other.short_id == short_id;
            let owner = Some(principal.name());
            if self.strike(Some(roster), delete, is_it, owner).await? {
                self.tell_of(Happening::Destroyed, &[device], owner);
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
        is_it: impl Fn(&DeviceRecord) -> bool,
        owner: Option<&str>,
    ) -> Result<bool> {
        let Some(mut roster) = roster else {
            return Ok(self.store.write(delete).await?.is_applied());
        };
        roster.list.devices.retain(|device| !is_it(device));
        let writes = vec![self.list_write(&roster)?, delete];
        let struck = matches!(self.store.transact(writes).await?, Transacted::Applied { .. });
        if struck {
            self.tell_of(Happening::Expired, &roster.over, owner);
        }
        Ok(struck)
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
