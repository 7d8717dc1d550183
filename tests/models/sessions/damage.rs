//! P10: a record that cannot be read is reported by every call that needs it, and stays.

use steadfast::backend::{Bytes, ErrorKind, Key, Write};
use steadfast::session::SessionId;

use crate::turns::block_on;

use super::call::{Call, Told};
use super::generate::{Change, Damage, Record, Verb};
use super::run::{History, block_on_turns};
use super::world::{End, Leads};

impl History<'_> {
    /// Damages a record, sees what everybody says, and removes it.
    pub(super) fn damage(
        &mut self,
        record: Record,
        at: usize,
        damage: Damage,
    ) -> Result<(), String> {
        self.look_at_lists()?;
        let Some((id, life)) = self.live_id(at) else { return Ok(()) };
        let owner = self.worlds[0].lives[&life].owner;
        let Some(key) = self.key_of(record, &id, owner) else { return Ok(()) };
        if record != Record::Session && damage == Damage::NewerSchema {
            return Ok(());
        }
        let backend = self.place.backend();
        let entry = block_on(backend.get(&key)).unwrap().unwrap();
        let damaged = damaged(&entry.value, damage);
        assert!(block_on(backend.write(&Write::put(key.clone(), damaged.clone()))).is_ok());
        for verb in readers(record, damage) {
            let who = owner.unwrap_or(0);
            let call =
                Call { verb, number: 0, id: Some(id.clone()), who, device: None, refuses: false };
            let told = block_on_turns(call.make(&self.replicas[0]));
            let Told::Failed { kind: ErrorKind::Corrupt, .. } = told else {
                return Err(format!("{damage:?} of {record:?}: {call:?} told {told:?}"));
            };
            if block_on(backend.get(&key)).unwrap().map(|entry| entry.value)
                != Some(damaged.clone())
            {
                return Err(format!("{damage:?} of {record:?}: {call:?} changed the record"));
            }
        }
        assert!(block_on(backend.write(&Write::delete(key))).is_ok());
        for world in &mut self.worlds {
            match (record, owner) {
                (Record::User, Some(owner)) => world.end_all(owner),
                (Record::Devices, Some(owner)) => world.lists[owner].clear(),
                _ => world.end(life, End::Expired),
            }
        }
        Ok(())
    }

    /// One of the ids that lead straight to a live session, in every world.
    fn live_id(&self, at: usize) -> Option<(SessionId, u32)> {
        let life_of = |id: &SessionId| {
            let name = Some(id.expose());
            let mut worlds = self.worlds.iter().map(|world| {
                let id = world.ids.values().find(|other| other.name == name)?;
                let Leads::To(life) = id.leads else { return None };
                world.lives[&life].end.is_none().then_some(life)
            });
            let first = worlds.next()??;
            worlds.all(|life| life == Some(first)).then(|| (id.clone(), first))
        };
        let live: Vec<_> = self.ids.iter().filter_map(life_of).collect();
        (!live.is_empty()).then(|| live[at % live.len()].clone())
    }

    fn key_of(&self, record: Record, id: &SessionId, owner: Option<usize>) -> Option<Key> {
        let short = format!("{id:?}").replace("SessionId(#", "").replace(')', "");
        let group = owner.map(|owner| super::call::principal(owner).group());
        let is_group = |key: &Key| group.as_ref().is_some_and(|g| g.as_str() == key.group());
        let is_it = |key: &Key| match record {
            Record::Session => key.name().starts_with(&short),
            Record::User => is_group(key) && key.name() == "user",
            Record::Devices => is_group(key) && key.name() == "devices",
        };
        self.place.keys(&self.namespace).into_iter().find(is_it)
    }
}

/// The calls that cannot do their work without a record. `destroy_all` can: what revokes must not
/// depend on what can be read. So can a logout with a session whose content alone is too new.
fn readers(record: Record, damage: Damage) -> Vec<Verb> {
    let (update, edit) = (Verb::Update(true), Verb::Edit(vec![Change::Clear]));
    let rotations = [Verb::Rotate(true), Verb::Rotate(false), Verb::Elevate];
    let mut readers: Vec<_> = match record {
        Record::Devices => vec![Verb::SignIn, Verb::Devices],
        Record::User => vec![Verb::Find, Verb::Peek, update, edit, Verb::SignIn, Verb::Devices],
        Record::Session => vec![Verb::Find, Verb::Peek, update, edit],
    };
    readers.extend(rotations);
    if damage != Damage::NewerSchema {
        readers.push(Verb::Destroy);
    }
    readers
}

/// The bytes as another build, or a bad disk, would leave them.
fn damaged(bytes: &Bytes, damage: Damage) -> Bytes {
    let mut bytes = bytes.to_vec();
    match damage {
        Damage::CutOff => bytes.truncate(bytes.len() / 2),
        Damage::Flip(at) => {
            let at = at % bytes.len();
            bytes[at] ^= 0x40;
        }
        Damage::NewerFormat => bytes[2] = 9,
        Damage::NewerLayout => bytes[7] += 1,
        Damage::NewerSchema => bytes[5] += 1,
    }
    if !matches!(damage, Damage::CutOff | Damage::Flip(_)) {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&bytes[..28]);
        checksum.update(&bytes[32..]);
        bytes[28..32].copy_from_slice(&checksum.finalize().to_be_bytes());
    }
    bytes.into()
}
