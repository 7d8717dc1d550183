use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use sled::{Batch, Db};
use steadfast_backend::{BackendInfo, Bytes, Capabilities, Durability, ErrorKind, Transactions};
use steadfast_embedded::{Embedded, Engine, Fault, Op, Slot, Span, Table, create_dir, fault_of_io};

use crate::SledConfig;
use crate::error::{fault, foreign};
use crate::mark::{self, Mark};

/// The sled backend. The [crate] page has an example, [`Embedded`] its methods.
pub type SledBackend = Embedded<SledEngine>;

/// sled as an [`Engine`]: what [`SledBackend`] is made of.
#[derive(Debug)]
pub struct SledEngine {
    database: Slot<Db>,
    /// sled shows a batch before it is flushed, and to a reader of several keys half done. Readers
    /// hold this shared, the commit alone.
    visible: RwLock<()>,
    mark: Mark,
    path: PathBuf,
    reserve_bytes: u64,
}

/// sled's own threads keep the lock for a moment after the last handle was dropped.
const UNLOCK_WAIT: Duration = Duration::from_millis(500);

/// All tables live in one tree, because a batch of sled is atomic within one tree only.
fn prefix(table: Table) -> u8 {
    match table {
        Table::Data => b'd',
        Table::Expiry => b'e',
        Table::Meta => b'm',
    }
}

fn prefixed(table: Table, key: &[u8]) -> Vec<u8> {
    [&[prefix(table)], key].concat()
}

impl Engine for SledEngine {
    type Config = SledConfig;

    const INFO: BackendInfo = BackendInfo {
        name: "sled",
        capabilities: Capabilities {
            transactions: Transactions::Any,
            scan: true,
            shared: false,
            evicts: false,
            invalidations: false,
            durability: Durability::Crash,
            ttl_step: Duration::from_millis(1),
            // A value is held in memory several times on its way to the disk, and delays the
            // commit that others share.
            value_len_max: 16 << 20,
            batch_len_max: 1024,
        },
    };

    fn open(config: SledConfig) -> Result<Self, Fault> {
        let (path, reserve_bytes) = (config.path.clone(), config.reserve_bytes);
        let database = Slot::open(move |_| open_database(&config))?;
        let mark = Mark::open(&path)?;
        Ok(Self { database, visible: RwLock::new(()), mark, path, reserve_bytes })
    }

    fn read(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Fault> {
        let _shared = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        self.with(|database| {
            let get = |key: &&[u8]| {
                let value = database.get(prefixed(table, key))?;
                Ok(value.map(|value| Bytes::copy_from_slice(&value)))
            };
            keys.iter().map(get).collect()
        })
    }

    fn span(&self, table: Table, span: Span<'_>) -> Result<Vec<(Bytes, Bytes)>, Fault> {
        if span.after >= span.end {
            return Ok(Vec::new());
        }
        let _shared = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        let after = Bound::Excluded(prefixed(table, span.after));
        let end = Bound::Excluded(prefixed(table, span.end));
        self.with(|database| {
            let found = database.range::<Vec<u8>, _>((after, end)).take(span.limit).map(|found| {
                let (key, value) = found?;
                let head = &value[..value.len().min(span.head_len)];
                Ok((Bytes::copy_from_slice(&key[1..]), Bytes::copy_from_slice(head)))
            });
            found.collect()
        })
    }

    fn commit(&self, ops: Vec<Op>) -> Result<(), Fault> {
        self.check_room(&ops)?;
        let own = ops.iter().rfind(|op| op.table == Table::Meta);
        let own = own.and_then(|op| op.value.clone());
        let mut batch = Batch::default();
        for Op { table, key, value } in ops {
            match value {
                Some(value) => batch.insert(prefixed(table, &key), value),
                None => batch.remove(prefixed(table, &key)),
            }
        }
        let _alone = self.visible.write().unwrap_or_else(PoisonError::into_inner);
        self.with(|database| {
            database.apply_batch(batch)?;
            database.flush().map(|_| ())
        })?;
        if let Some(record) = own {
            self.mark.note(&record);
        }
        Ok(())
    }

    fn len(&self, _table: Table) -> Result<Option<u64>, Fault> {
        Ok(None)
    }

    fn size_bytes(&self) -> Result<u64, Fault> {
        self.with(Db::size_on_disk)
    }

    fn close(&self) -> Result<(), Fault> {
        self.database.close(|database| self.mark.sync(database, &self.path))
    }
}

impl SledEngine {
    /// Refuses to grow while the disk still has room, because sled does not survive a full one.
    /// What removes entries may use the reserve.
    fn check_room(&self, ops: &[Op]) -> Result<(), Fault> {
        let data = ops.iter().filter(|op| op.table == Table::Data);
        let grows_by: usize = data.filter_map(|op| op.value.as_ref().map(Vec::len)).sum();
        if grows_by == 0 && ops.iter().any(|op| op.value.is_none()) {
            return Ok(());
        }
        let room = fs2::available_space(&self.path);
        let room = room.map_err(|error| fault_of_io(&error, &self.path))?;
        let grows_by = u64::try_from(grows_by).unwrap_or(u64::MAX);
        if room >= self.reserve_bytes.saturating_add(grows_by.saturating_mul(2)) {
            return Ok(());
        }
        let detail = format!(
            "the disk of {} has {room} bytes left and {} are kept in reserve; free some space",
            self.path.display(),
            self.reserve_bytes
        );
        Err(Fault::new(ErrorKind::Full, detail))
    }

    fn with<T>(&self, work: impl FnOnce(&Db) -> sled::Result<T>) -> Result<T, Fault> {
        self.database.with(|database| work(database).map_err(|error| fault(&error, &self.path)))
    }
}

fn open_database(config: &SledConfig) -> Result<Db, Fault> {
    let path = &config.path;
    let is_missing = !path.exists();
    create_dir(path)?;
    if is_missing {
        keep_to_owner(path)?;
    }
    refuse_foreign(path)?;
    let open = || -> sled::Result<_> {
        let database = sled::Config::new().path(path).cache_capacity(config.cache_bytes).open()?;
        let is_ours = database.scan_prefix([prefix(Table::Meta)]).next().transpose()?.is_some();
        let is_new = database.iter().next().is_none() && database.tree_names().len() == 1;
        Ok((database, is_ours || is_new))
    };
    let started = Instant::now();
    loop {
        match open().map_err(|error| fault(&error, path)) {
            Err(busy) if busy.kind() == ErrorKind::Busy && started.elapsed() < UNLOCK_WAIT => {
                thread::sleep(UNLOCK_WAIT / 50);
            }
            Err(fault) => return Err(fault),
            Ok((database, true)) => return mark::check(&database, path).map(|()| database),
            Ok(_) => return Err(foreign(path)),
        }
    }
}

/// Sessions are nobody else's business, and sled's own files can be read by all.
#[cfg(unix)]
fn keep_to_owner(dir: &Path) -> Result<(), Fault> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(dir, mode).map_err(|error| fault_of_io(&error, dir))
}

#[cfg(not(unix))]
fn keep_to_owner(_dir: &Path) -> Result<(), Fault> {
    Ok(())
}

/// sled would put its files beside what is there. Its own first file may be missing if its
/// creation was cut short.
fn refuse_foreign(path: &Path) -> Result<(), Fault> {
    if path.join("conf").is_file() {
        return Ok(());
    }
    for name in fs::read_dir(path).map_err(|error| fault_of_io(&error, path))? {
        let name = name.map_err(|error| fault_of_io(&error, path))?;
        if name.file_name() != "blobs" {
            return Err(foreign(path));
        }
    }
    Ok(())
}
