//! What nobody will come back for.

use crate::State;
use crate::backend::{Condition, ErrorKind, Group, Result, Write, Written};

use super::sessions::{DEVICES, KIND};
use super::{Happening, Sessions};

impl<T: State> Sessions<T> {
    /// Takes sessions that are over off the lists of their principals, and removes lists that list
    /// none, as [`devices`](Sessions::devices) does for one principal: for those who do not come
    /// back. Tells how many entries that were; none where the store does not list its keys. Two or
    /// three trips for each principal; run it seldom, or let a [`Cleanup`](crate::Cleanup) do it.
    ///
    /// # Errors
    ///
    /// What the store says; what was done until then stays done. [`ErrorKind::Corrupt`] if there is
    /// a list that this build cannot read; all others were looked through.
    pub async fn sweep(&self) -> Result<usize> {
        let (mut removed, mut after, mut unreadable) = (0, None, None);
        loop {
            let (keys, next) = self.store.own_keys(KIND, after).await?;
            for key in keys.iter().filter(|key| key.name() == DEVICES) {
                let group = Group::new(key.group())?;
                match self.store.one_call(self.sweep_list(&group)).await {
                    Ok(count) => removed += count,
                    // It stays as it is, and the others are looked through.
                    Err(error) if error.kind() == ErrorKind::Corrupt => unreadable = Some(error),
                    Err(error) => return Err(error),
                }
            }
            after = next;
            if after.is_none() {
                return unreadable.map_or(Ok(removed), Err);
            }
        }
    }

    async fn sweep_list(&self, group: &Group) -> Result<usize> {
        let (mut roster, _) = self.roster(group, &[]).await?;
        self.drop_dead(&mut roster).await?;
        let Some(entry) = &roster.list_entry else { return Ok(0) };
        let write = if roster.list.devices.is_empty() {
            let only_if = Condition::VersionIs(entry.version);
            Write::delete(roster.list_key.clone()).only_if(only_if)
        } else if roster.over.is_empty() {
            return Ok(0);
        } else {
            self.list_write(&roster)?
        };
        // Whoever changes it meanwhile looks through it, too.
        let Written::Applied { .. } = self.store.write(&write).await? else { return Ok(0) };
        self.tell_of(Happening::Expired, &roster.over, None);
        Ok(roster.over.len().max(usize::from(roster.list.devices.is_empty())))
    }
}
