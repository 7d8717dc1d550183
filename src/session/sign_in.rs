//! Sessions of a principal: how they come to be.

use crate::backend::{Condition, Key, Ttl, Version, Write};
use crate::store::{self, Carried};
use crate::{Principal, State};

use super::lifetime::Span;
use super::lookup::Verdict;
use super::record::{Live, SessionHead, Successor};
use super::roster::Roster;
use super::sessions::new_life;
use super::user::DeviceRecord;
use super::{Attributes, Edit, Happening, Rotation, Session, SessionError, SessionId, Sessions};

/// How often a sign-in is tried again when others sign in, or out, as the same principal.
pub(super) const ATTEMPTS_MAX: usize = 256;

impl<T: State> Sessions<T> {
    /// Creates a session of a principal and enters it in the list of devices, both or neither. At
    /// the limit the oldest session ends, or the new one is refused. Two trips, three at the
    /// limit; more [without transactions](super#without-transactions).
    ///
    /// # Errors
    ///
    /// As [`create`](Sessions::create), [`SessionError::LimitReached`], and
    /// [`ErrorKind::Contended`](crate::ErrorKind::Contended) if others kept signing in as the same
    /// principal.
    pub async fn sign_in(
        &self,
        principal: &Principal,
        label: &str,
        state: T,
    ) -> Result<Session<T>, SessionError> {
        let span = self.whole_span();
        let call = self.sign_in_with(principal, label, state, Attributes::default(), span);
        self.store.one_call(call).await
    }

    /// As [`sign_in`](Sessions::sign_in), with attributes from the start.
    pub(super) async fn sign_in_with(
        &self,
        principal: &Principal,
        label: &str,
        state: T,
        attributes: Attributes,
        span: Span,
    ) -> Result<Session<T>, SessionError> {
        let id = SessionId::generate(Some(principal))?;
        let mut turn = None;
        for _attempt in 0..ATTEMPTS_MAX {
            let (mut roster, _) = self.roster(&principal.group(), &[]).await?;
            let owner = Some(roster.owner(principal.name()));
            let attributes = attributes.clone();
            let live = Live { attributes, own: span.own, ..Live::new(owner) };
            let birth = self.birth(&id, &live, &state, new_life(span))?;
            let born = birth.key().clone();
            let device = DeviceRecord::new(&id, label, span.absolute)?;
            let (writes, evicted) = self.enter(&mut roster, &id, device, birth).await?;
            if let Some(version) = self.store.bear(&born, writes).await? {
                self.tell_entered(&roster, &evicted, principal.name());
                self.tell(Happening::Created, Some(&id), Some(principal.name()));
                return Ok(self.newborn(id, live, state, version, span.absolute.as_duration()));
            }
            if turn.is_none() {
                turn = Some(self.store.turn(&roster.list_key).await?);
            }
        }
        Err(store::contended(ATTEMPTS_MAX).into())
    }

    /// Signs in whoever has an anonymous session: what it holds goes on, under a new id and with
    /// the same absolute end. The old id is worth nothing from then on, so that nobody who planted
    /// it gets in. If the session is signed in as this principal already, it gets a new id.
    ///
    /// Two trips, three at the limit or where the backend has no transactions across groups; more
    /// [without transactions](super#without-transactions).
    ///
    /// # Errors
    ///
    /// As [`sign_in`](Sessions::sign_in), [`SessionError::Gone`] if there is no such session, and
    /// [`SessionError::SomebodyElse`] if it is signed in as another principal: end it, and
    /// [`sign_in`](Sessions::sign_in).
    pub async fn elevate(
        &self,
        id: &SessionId,
        principal: &Principal,
        label: &str,
    ) -> Result<Session<T>, SessionError> {
        let edit = Edit::new();
        self.store.one_call(self.elevate_with(id, principal, label, &edit, None)).await
    }

    /// As [`elevate`](Sessions::elevate), with an edit in the same step: both or neither. A span
    /// takes the place of the one before.
    pub(super) async fn elevate_with(
        &self,
        id: &SessionId,
        principal: &Principal,
        label: &str,
        edit: &Edit,
        span: Option<Span>,
    ) -> Result<Session<T>, SessionError> {
        if id.is_signed_in() {
            return self.step_up(id, principal, edit, span).await;
        }
        let (mut old, id) = (id.clone(), SessionId::generate(Some(principal))?);
        let mut turn = None;
        for _attempt in 0..ATTEMPTS_MAX {
            self.save_waiting(&old).await?;
            let old_key = self.session_key(&old)?;
            let keys = std::slice::from_ref(&old_key);
            let (mut roster, others) = self.roster(&principal.group(), keys).await?;
            let opened =
                match self.judge(&old_key, others.first().and_then(Option::as_ref), None)? {
                    Verdict::Live(opened) => opened,
                    Verdict::Ended(ended) => return Err(SessionError::Gone(ended)),
                    Verdict::Moved(successor) => {
                        old = old.unpad(successor.padded_secret);
                        continue;
                    }
                };
            let state = opened.value::<T>()?;
            let owner = Some(roster.owner(principal.name()));
            let mut live = Live { owner, named_us: 0, ..opened.head.clone() };
            edit.apply(&mut live.attributes)?;
            let (carried, left) = self.go_on_for(&mut live, &opened, span);
            let birth = self.birth(&id, &live, &state, carried)?;
            let born = birth.key().clone();
            let device = DeviceRecord::new(&id, label, Ttl::new(left)?)?;
            let (mut writes, evicted) = self.enter(&mut roster, &id, device, birth).await?;
            writes.push(self.bury(&old_key, opened.version, None)?);
            if let Some(version) = self.store.bear(&born, writes).await? {
                self.tell_entered(&roster, &evicted, principal.name());
                self.tell(Happening::Rotated, Some(&id), Some(principal.name()));
                return Ok(self.newborn(id, live, state, version, left));
            }
            if turn.is_none() {
                turn = Some(self.store.turn(&roster.list_key).await?);
            }
        }
        Err(store::contended(ATTEMPTS_MAX).into())
    }

    async fn step_up(
        &self,
        id: &SessionId,
        principal: &Principal,
        edit: &Edit,
        span: Option<Span>,
    ) -> Result<Session<T>, SessionError> {
        if id.group() != principal.group() {
            return Err(SessionError::SomebodyElse);
        }
        self.rotate_with(id, Rotation::PrivilegeChange, edit, span).await
    }

    /// Puts a new session on a principal's list, and makes room for it: the writes, with the birth
    /// among them, and who has to go.
    ///
    /// In this order each may be the last: the session is not listed before it is there, nor handed
    /// out before it is listed, and nothing that is alive is off the list.
    async fn enter(
        &self,
        roster: &mut Roster,
        id: &SessionId,
        device: DeviceRecord,
        birth: Write,
    ) -> Result<(Vec<Write>, Vec<DeviceRecord>), SessionError> {
        let (evicted, records): (Vec<_>, Vec<_>) =
            self.make_room(roster).await?.into_iter().unzip();
        // It is there if an elevation was begun before, and overtaken at its last write.
        roster.list.devices.retain(|device| !device.is(id));
        roster.list.devices.push(device);
        let mut writes = vec![self.user_write(roster)?, birth];
        let digests = evicted.iter().flat_map(|device: &DeviceRecord| &device.digests);
        for (digest, record) in digests.zip(records.iter().flatten()) {
            let delete = Write::delete(self.digest_key(&roster.group, digest)?);
            // It may have got a new id meanwhile, which has to be met first.
            writes.push(delete.only_if(Condition::VersionIs(record.version)));
        }
        writes.push(self.list_write(roster)?);
        Ok((writes, evicted))
    }

    fn tell_entered(&self, roster: &Roster, evicted: &[DeviceRecord], principal: &str) {
        self.tell_of(Happening::Expired, &roster.over, Some(principal));
        self.tell_of(Happening::Evicted, evicted, Some(principal));
    }

    /// The write that ends an id whose session goes on under another one.
    pub(super) fn bury(
        &self,
        key: &Key,
        version: Version,
        successor: Option<Successor>,
    ) -> crate::Result<Write> {
        let successor = successor.map_or_else(Successor::nobody, Ok)?;
        let head = SessionHead::Moved(Some(successor));
        let put = self.store.compose::<_, ()>(key, &head, None, Carried::default())?;
        Ok(put.expiring(self.evidence()?).only_if(Condition::VersionIs(version)))
    }
}
