use std::collections::HashMap;

use steadfast_backend::Key;

use crate::frame::{Record, index_key};
use crate::{Engine, Fault, Op, Table};

/// What one group of jobs sees and changes: the committed state, and over it what the jobs before
/// have done. Nobody else sees it until it is committed as a whole.
#[derive(Default)]
pub(crate) struct Group {
    cells: HashMap<Key, Cell>,
    /// Index entries that belong to no record; found by a sweep.
    strays: Vec<Vec<u8>>,
    /// Why nothing more can be stored.
    full: Option<Fault>,
}

struct Cell {
    /// What the engine holds, expired or not. A fault if that cannot be read.
    committed: Result<Option<Record>, Fault>,
    /// What it shall hold.
    current: Option<Record>,
    changed: bool,
}

impl Group {
    /// A group that stores nothing more, for this reason; what removes or only looks goes on.
    pub(crate) fn full(why: Option<Fault>) -> Self {
        Self { full: why, ..Self::default() }
    }

    /// Fails if nothing more can be stored.
    pub(crate) fn check_room(&self) -> Result<(), Fault> {
        self.full.clone().map_or(Ok(()), Err)
    }

    /// Reads the keys that the group does not know yet, in one go.
    pub(crate) fn load<E: Engine>(
        &mut self,
        engine: &E,
        keys: impl Iterator<Item = Key>,
    ) -> Result<(), Fault> {
        let mut keys: Vec<Key> = keys.filter(|key| !self.cells.contains_key(key)).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        let names: Vec<&[u8]> = keys.iter().map(|key| key.as_str().as_bytes()).collect();
        let frames = engine.read(Table::Data, &names)?;
        for (key, frame) in keys.into_iter().zip(frames) {
            let committed = frame.map(|frame| Record::decode(&key, &frame)).transpose();
            let current = committed.as_ref().ok().cloned().flatten();
            self.cells.insert(key, Cell { committed, current, changed: false });
        }
        Ok(())
    }

    /// What the key holds now, expired or not.
    pub(crate) fn stored(&self, key: &Key) -> Result<Option<&Record>, Fault> {
        match self.cells.get(key) {
            Some(Cell { committed: Err(fault), .. }) => Err(fault.clone()),
            Some(cell) => Ok(cell.current.as_ref()),
            None => Ok(None),
        }
    }

    /// What the key holds now, if that is live.
    pub(crate) fn live(&self, key: &Key, now_us: u64) -> Result<Option<&Record>, Fault> {
        Ok(self.stored(key)?.filter(|record| record.is_live(now_us)))
    }

    /// Changes what the key holds. Removing what is not there changes nothing.
    pub(crate) fn set(&mut self, key: Key, record: Option<Record>) {
        let unknown = || Cell { committed: Ok(None), current: None, changed: false };
        let cell = self.cells.entry(key).or_insert_with(unknown);
        cell.changed |= cell.current.is_some() || record.is_some();
        cell.current = record;
    }

    /// Removes an index entry, unless it is the one of the committed record under that key, which
    /// goes when the record goes.
    pub(crate) fn unindex_stray(&mut self, deadline_us: u64, key: &Key, index_key: &[u8]) {
        let committed = self.cells.get(key).map(|cell| &cell.committed);
        let known =
            matches!(committed, Some(Ok(Some(record))) if record.deadline_us == deadline_us);
        if !known {
            self.strays.push(index_key.to_vec());
        }
    }

    /// Removes an index entry that names no key.
    pub(crate) fn unindex_unreadable(&mut self, index_key: &[u8]) {
        self.strays.push(index_key.to_vec());
    }

    /// True if anything was changed, even if it was changed back: a version that was given out must
    /// be recorded.
    pub(crate) fn is_changed(&self) -> bool {
        !self.strays.is_empty() || self.cells.values().any(|cell| cell.changed)
    }

    /// The changes to commit, with the expiry index kept in step.
    pub(crate) fn ops(&self) -> Vec<Op> {
        let strays = self.strays.iter().cloned();
        let mut ops: Vec<Op> = strays.map(|key| op(Table::Expiry, key, None)).collect();
        for (key, cell) in &self.cells {
            let (Ok(old), new, true) = (&cell.committed, &cell.current, cell.changed) else {
                continue;
            };
            let old_deadline = old.as_ref().map_or(0, |record| record.deadline_us);
            let new_deadline = new.as_ref().map_or(0, |record| record.deadline_us);
            if old_deadline != new_deadline && old_deadline > 0 {
                ops.push(op(Table::Expiry, index_key(old_deadline, key), None));
            }
            if old_deadline != new_deadline && new_deadline > 0 {
                ops.push(op(Table::Expiry, index_key(new_deadline, key), Some(Vec::new())));
            }
            let frame = new.as_ref().map(|record| record.encode(key));
            if frame.is_some() || old.is_some() {
                ops.push(op(Table::Data, key.as_str().as_bytes().to_vec(), frame));
            }
        }
        ops
    }
}

fn op(table: Table, key: Vec<u8>, value: Option<Vec<u8>>) -> Op {
    Op { table, key, value }
}
