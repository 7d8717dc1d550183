use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{
    Builder, Database, Error, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTableMetadata, RepairSession, StorageBackend, TableDefinition, TableError, TableHandle,
};
use steadfast_backend::{BackendInfo, Bytes, Capabilities, Durability, ErrorKind, Transactions};
use steadfast_embedded::{
    Embedded, Engine, Fault, Op, Slot, Span, Table, create_dir, fault_of_io, sync_dir,
};

use crate::RedbConfig;
use crate::creation::is_cut_short;
use crate::error::{fault, foreign};
use crate::reserve::Reserve;

/// The durable embedded backend. The [crate] page has an example, [`Embedded`] its methods.
pub type RedbBackend = Embedded<RedbEngine>;

/// redb as an [`Engine`]: what [`RedbBackend`] is made of.
#[derive(Debug)]
pub struct RedbEngine {
    database: Slot<Database>,
    reserve: Reserve,
    path: PathBuf,
}

/// The mode of a new file: sessions are nobody else's business.
#[cfg(unix)]
const OWNER_ONLY: u32 = 0o600;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type ReadTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

const DATA: Definition = TableDefinition::new("steadfast_data");
const EXPIRY: Definition = TableDefinition::new("steadfast_expiry");
const META: Definition = TableDefinition::new("steadfast_meta");

fn definition(table: Table) -> Definition {
    match table {
        Table::Data => DATA,
        Table::Expiry => EXPIRY,
        Table::Meta => META,
    }
}

impl Engine for RedbEngine {
    type Config = RedbConfig;

    const INFO: BackendInfo = BackendInfo {
        name: "redb",
        capabilities: Capabilities {
            transactions: Transactions::Any,
            scan: true,
            shared: false,
            evicts: false,
            invalidations: false,
            durability: Durability::Durable,
            ttl_step: Duration::from_millis(1),
            // A value is held in memory several times on its way to the disk, and delays the
            // commit that others share.
            value_len_max: 16 << 20,
            batch_len_max: 1024,
        },
    };

    fn open(config: RedbConfig) -> Result<Self, Fault> {
        let path = config.path.clone();
        #[cfg(test)]
        let disk = config.disk.clone();
        let database = Slot::open(move |lost_to| open_database(&config, lost_to))?;
        #[cfg(test)]
        if let Some(disk) = disk {
            return Ok(Self { database, reserve: Reserve::On(disk), path });
        }
        let reserve = Reserve::beside(&path);
        Ok(Self { database, reserve, path })
    }

    fn read(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Fault> {
        self.with(|database| {
            let snapshot = database.begin_read()?;
            let Some(table) = open_table(&snapshot, table)? else {
                return Ok(vec![None; keys.len()]);
            };
            let get = |key: &&[u8]| -> Result<_, Error> {
                Ok(table.get(*key)?.map(|value| Bytes::copy_from_slice(value.value())))
            };
            keys.iter().map(get).collect()
        })
    }

    fn span(&self, table: Table, span: Span<'_>) -> Result<Vec<(Bytes, Bytes)>, Fault> {
        self.with(|database| {
            let snapshot = database.begin_read()?;
            let Some(table) = open_table(&snapshot, table)? else { return Ok(Vec::new()) };
            if span.after >= span.end {
                return Ok(Vec::new());
            }
            let bounds = (Bound::Excluded(span.after), Bound::Excluded(span.end));
            let found = table.range::<&[u8]>(bounds)?.take(span.limit).map(|found| {
                let (key, value) = found?;
                let value = value.value();
                let head = &value[..value.len().min(span.head_len)];
                Ok((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(head)))
            });
            found.collect()
        })
    }

    fn commit(&self, ops: Vec<Op>) -> Result<(), Fault> {
        let stores = |op: &Op| op.table == Table::Data && op.value.is_some();
        let removes = ops.iter().any(|op| op.value.is_none()) && !ops.iter().any(stores);
        if !removes {
            self.reserve.fill();
        }
        loop {
            match self.commit_once(&ops) {
                Err(fault) if removes && fault.kind() == ErrorKind::Full && self.reserve.give() => {
                }
                committed => return committed,
            }
        }
    }

    fn len(&self, table: Table) -> Result<Option<u64>, Fault> {
        self.with(|database| {
            let snapshot = database.begin_read()?;
            let table = open_table(&snapshot, table)?;
            Ok(Some(table.map_or(Ok(0), |table| table.len())?))
        })
    }

    fn size_bytes(&self) -> Result<u64, Fault> {
        let size = fs::metadata(&self.path).map(|file| file.len());
        size.map_err(|error| fault_of_io(&error, &self.path))
    }

    fn close(&self) -> Result<(), Fault> {
        self.database.close(|_| Ok(()))
    }
}

impl RedbEngine {
    fn commit_once(&self, ops: &[Op]) -> Result<(), Fault> {
        self.with(|database| {
            // A transaction of redb syncs its file before `commit` returns, unless told otherwise.
            let changes = database.begin_write()?;
            for table in [Table::Data, Table::Expiry, Table::Meta] {
                let mut open = changes.open_table(definition(table))?;
                for op in ops.iter().filter(|op| op.table == table) {
                    match &op.value {
                        Some(value) => open.insert(&*op.key, &**value)?,
                        None => open.remove(&*op.key)?,
                    };
                }
            }
            Ok(changes.commit()?)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Fault> {
        self.database.with(|database| work(database).map_err(|error| fault(error, &self.path)))
    }
}

/// `None` for a table that nothing was written to yet.
fn open_table(snapshot: &ReadTransaction, table: Table) -> Result<Option<ReadTable>, Error> {
    match snapshot.open_table(definition(table)) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `lost_to` is what the file was lost to, if it was open before.
fn open_database(config: &RedbConfig, lost_to: Option<ErrorKind>) -> Result<Database, Fault> {
    let verify = config.verifies(lost_to);
    #[cfg(test)]
    if let Some(disk) = &config.disk {
        return open_storage(config, verify, disk.clone());
    }
    let path = &config.path;
    let dir = path.parent().unwrap_or(Path::new(""));
    if !dir.as_os_str().is_empty() {
        create_dir(dir)?;
    }
    let file = open_or_create(path).map_err(|error| fault_of_io(&error, path))?;
    let is_new = clear_unfinished(&file, path)?;
    let storage = FileBackend::new(file).map_err(|error| fault(error, path))?;
    let database = open_storage(config, verify, storage)?;
    if is_new {
        sync_dir(dir)?;
    }
    Ok(database)
}

/// What is new is its owner's alone.
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, OWNER_ONLY);
    options.open(path)
}

fn open_storage(
    config: &RedbConfig,
    verify: bool,
    storage: impl StorageBackend,
) -> Result<Database, Fault> {
    let mut builder = Builder::new();
    builder.set_cache_size(config.cache_bytes).set_check_integrity_on_open(verify);
    builder.set_repair_callback(check_progress(&config.path, storage.len().unwrap_or_default()));
    let open = || -> Result<_, Error> {
        let database = builder.create_with_backend(storage)?;
        let snapshot = database.begin_read()?;
        let tables = snapshot.list_tables()?;
        let names: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
        Ok((database, names))
    };
    let (database, tables) = open().map_err(|error| fault(error, &config.path))?;
    if !tables.is_empty() && !tables.iter().any(|name| name == META.name()) {
        return Err(foreign(&config.path));
    }
    Ok(database)
}

/// Says in the log that the whole file is checked, and how far that is: a large one takes minutes.
fn check_progress(path: &Path, size_bytes: u64) -> impl Fn(&mut RepairSession) + 'static {
    let path = path.to_owned();
    move |session| {
        // Of 0 to 1.
        let percent = (session.progress() * 100.0).round();
        tracing::info!(
            path = %path.display(),
            size_bytes,
            percent,
            "checking the whole file: it was not closed cleanly, or the check was asked for"
        );
    }
}

/// Empties a file whose creation was cut short. Returns whether the file is empty now.
fn clear_unfinished(file: &File, path: &Path) -> Result<bool, Fault> {
    let io = |error| fault_of_io(&error, path);
    if file.metadata().map_err(io)?.len() == 0 {
        return Ok(true);
    }
    if !is_cut_short(file).map_err(io)? {
        return Ok(false);
    }
    // Whoever creates the file now holds this lock.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(fault(Error::DatabaseAlreadyOpen, path)),
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    // Whoever held it before may have finished meanwhile.
    let unfinished = is_cut_short(file).map_err(io)?;
    if unfinished {
        file.set_len(0).map_err(io)?;
    }
    file.unlock().map_err(io)?;
    Ok(unfinished)
}
