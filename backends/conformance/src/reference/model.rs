use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_backend::{Condition, Entry, Key, Namespace, Ttl, Version, Write};

/// What a store holds, and what each write does to it. Time and versions come from outside.
///
/// It says in its own words what conditions mean, so that it also judges the contract's own.
#[derive(Default)]
pub(crate) struct Model {
    records: BTreeMap<Key, Record>,
}

struct Record {
    value: Bytes,
    version: Version,
    written_us: u64,
    deadline_us: Option<u64>,
}

impl Model {
    pub(crate) fn entry(&self, key: &Key, now_us: u64) -> Option<Entry> {
        let record = self.live(key, now_us)?;
        Some(Entry {
            value: record.value.clone(),
            version: record.version,
            written_us: record.written_us,
            age: Duration::from_micros(now_us - record.written_us),
            left: record.deadline_us.map(|deadline_us| Duration::from_micros(deadline_us - now_us)),
        })
    }

    pub(crate) fn version(&self, key: &Key, now_us: u64) -> Option<Version> {
        self.live(key, now_us).map(|record| record.version)
    }

    pub(crate) fn admits(&self, write: &Write, now_us: u64) -> bool {
        let present = self.live(write.key(), now_us);
        if matches!(write, Write::Touch { .. }) && present.is_none() {
            return false;
        }
        match write.condition() {
            Condition::Always => true,
            Condition::Absent => present.is_none(),
            Condition::Present => present.is_some(),
            Condition::VersionIs(version) => {
                present.is_some_and(|record| record.version == version)
            }
        }
    }

    /// Makes a change that is admitted; `version` is the one a put gets.
    pub(crate) fn apply(&mut self, write: Write, now_us: u64, version: Version) {
        match write {
            Write::Put { key, value, ttl, .. } => {
                let deadline_us = deadline_us(ttl, now_us);
                self.records
                    .insert(key, Record { value, version, written_us: now_us, deadline_us });
            }
            Write::Touch { key, ttl, .. } => {
                if let Some(record) = self.records.get_mut(&key) {
                    record.deadline_us = deadline_us(ttl, now_us);
                }
            }
            Write::Delete { key, .. } => {
                self.records.remove(&key);
            }
            Write::Check { .. } => {}
        }
    }

    /// The keys in a namespace that are to be listed, in order.
    pub(crate) fn keys(
        &self,
        namespace: &Namespace,
        listed: impl Fn(&Key) -> bool,
    ) -> impl Iterator<Item = &Key> {
        self.records.keys().filter(move |key| namespace.contains(key) && listed(key))
    }

    fn live(&self, key: &Key, now_us: u64) -> Option<&Record> {
        let record = self.records.get(key)?;
        match record.deadline_us {
            Some(deadline_us) if deadline_us <= now_us => None,
            _ => Some(record),
        }
    }
}

fn deadline_us(ttl: Option<Ttl>, now_us: u64) -> Option<u64> {
    ttl.map(|ttl| now_us + ttl.as_millis() * 1_000)
}
