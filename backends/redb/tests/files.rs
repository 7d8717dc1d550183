//! Files that cannot be used: in use, foreign, damaged, newer. Each is an error that says so, and
//! is left as it is.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{fs, io};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition};
use steadfast_backend::{Backend, Error, ErrorKind, Write};
use steadfast_redb::{RedbBackend, RedbConfig};

#[path = "../../embedded/testing/damage.rs"]
mod damage;

use damage::{KEYS, damages, fill, look, unwritable};

const META: TableDefinition<&[u8], &[u8]> = TableDefinition::new("steadfast_meta");

fn refusal(path: &Path) -> Error {
    let error = RedbBackend::open(path).unwrap_err();
    assert_eq!(error.backend(), "redb");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    error
}

#[tokio::test]
async fn missing_directories_are_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/state.redb");
    fill(RedbBackend::open(&*path).unwrap()).await;
    assert_eq!(look(RedbBackend::open(path), "reopened").await.right, KEYS);
}

#[tokio::test]
async fn a_file_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let backend = RedbBackend::open(&*path).unwrap();
    let error = refusal(&path);
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("another process"), "{error}");
    backend.close().await.unwrap();
    let again = RedbBackend::open(&*path).unwrap();
    drop(again);
    RedbBackend::open(&*path).unwrap();
}

#[test]
fn a_place_that_cannot_hold_it_is_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(refusal(dir.path()).kind(), ErrorKind::Config);
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let below = RedbBackend::open(file.join("state.redb")).unwrap_err();
    assert_eq!(below.kind(), ErrorKind::Config, "{below:?}");
    let error = refusal(&unwritable().join("state.redb"));
    assert!(matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Config), "{error:?}");
}

#[test]
fn a_foreign_file_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let zeros_first = [&[0; 9][..], &[b'x'; 4_000]].concat();
    for (name, bytes) in [
        ("short", &b"x"[..]),
        ("text", &[b'x'; 5_000]),
        ("zip", b"PK\x03\x04"),
        ("zeros", &[0; 4_096]),
        ("zeros first", &zeros_first),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(refusal(&path).kind(), ErrorKind::Config, "{name}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let path = dir.path().join("other.redb");
    let other: TableDefinition<u64, u64> = TableDefinition::new("other");
    let database = Database::create(&path).unwrap();
    let changes = database.begin_write().unwrap();
    changes.open_table(other).unwrap().insert(1, 2).unwrap();
    changes.commit().unwrap();
    drop(database);
    assert_eq!(refusal(&path).kind(), ErrorKind::Config);
    let database = Database::open(&path).unwrap();
    let snapshot = database.begin_read().unwrap();
    assert_eq!(snapshot.open_table(other).unwrap().get(1).unwrap().unwrap().value(), 2);
}

/// A disk that a creation gets no further on than its first sync.
#[derive(Clone, Debug)]
struct CutShort(Arc<FileBackend>);

impl StorageBackend for CutShort {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::Error::other("the power went"))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

#[tokio::test]
async fn a_file_whose_creation_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let file = fs::File::options().read(true).write(true).create(true).truncate(true).clone();
    let disk = CutShort(Arc::new(FileBackend::new(file.open(&path).unwrap()).unwrap()));
    drop(Database::builder().create_with_backend(disk).unwrap_err());
    let begun = fs::read(&path).unwrap();
    assert!(begun.iter().any(|byte| *byte != 0), "its header is there");
    for begun in [vec![0; begun.len()], begun] {
        fs::write(&path, begun).unwrap();
        fill(RedbBackend::open(&*path).unwrap()).await;
        assert_eq!(look(RedbBackend::open(&*path), "begun again").await.right, KEYS);
    }
}

#[tokio::test]
async fn a_newer_format_is_told_from_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    fill(RedbBackend::open(&*path).unwrap()).await;
    let database = Database::open(&path).unwrap();
    let changes = database.begin_write().unwrap();
    changes.open_table(META).unwrap().insert(&b"steadfast"[..], &[2; 30][..]).unwrap();
    changes.commit().unwrap();
    drop(database);
    let error = RedbBackend::open(&*path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("newer"), "{error}");

    // A newer redb: its format number is the first byte of each commit slot.
    let mut bytes = fs::read(&path).unwrap();
    (bytes[64], bytes[192]) = (4, 4);
    fs::write(&path, &bytes).unwrap();
    let error = refusal(&path);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("newer redb"), "{error}");
    (bytes[64], bytes[192]) = (2, 2);
    fs::write(&path, &bytes).unwrap();
    assert!(refusal(&path).to_string().contains("upgrade it with redb 2.6"));
}

#[cfg(unix)]
#[test]
fn a_new_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    drop(RedbBackend::open(&*path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_of_a_mebibyte_beside_the_database_keeps_room_for_removals() {
    let dir = tempfile::tempdir().unwrap();
    let (path, reserve) = (dir.path().join("state.redb"), dir.path().join("state.redb.reserve"));
    let backend = RedbBackend::open(&*path).unwrap();
    assert!(backend.write(&Write::put(damage::key(0), "v")).await.unwrap().is_applied());
    let kept = fs::metadata(&reserve).unwrap();
    assert_eq!(kept.len(), 1 << 20);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    }
}

/// A copy of a file that is open is what a crash leaves.
#[tokio::test]
async fn only_after_an_unclean_stop_is_the_whole_file_checked_and_the_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("state.redb"), dir.path().join("copy.redb"));
    let backend = RedbBackend::open(&*path).unwrap();
    assert!(backend.write(&Write::put(damage::key(0), "v")).await.unwrap().is_applied());
    fs::copy(&path, &copy).unwrap();
    backend.close().await.unwrap();
    drop(backend);
    let opened = |path: &Path| log_of(|| drop(RedbBackend::open(path).unwrap()));
    assert_eq!(opened(&path), "", "it was closed cleanly");
    let log = opened(&copy);
    assert!(log.contains("copy.redb") && log.contains("not closed cleanly"), "{log}");
    assert!(log.contains("percent=0") && log.contains("size_bytes="), "{log}");
}

/// What is logged meanwhile on this thread.
fn log_of(work: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt().with_writer(Log(Arc::clone(&log))).finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(log.lock().unwrap().clone()).unwrap()
}

#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_damaged_file_serves_what_was_written_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    fill(RedbBackend::open(&*path).unwrap()).await;
    let good = fs::read(&path).unwrap();
    let (mut refused, mut right) = (0, 0);
    for (what, bytes) in damages(&good) {
        // An empty file is a new one; nothing else may lose an entry.
        if bytes.is_empty() {
            continue;
        }
        fs::write(&path, bytes).unwrap();
        let config = RedbConfig::new(&path).verify_on_open(true);
        let outcome = look(RedbBackend::open(config), &what).await;
        assert_eq!(outcome.absent, 0, "{what}: an entry is missing: {outcome:?}");
        refused += usize::from(outcome.refused);
        right += usize::from(outcome.right == KEYS);
    }
    println!("{refused} refused, {right} served in full");
    assert!(refused > 100);
}

/// Without the check at the opening, entries carry their own checksum.
#[tokio::test]
async fn an_unverified_file_serves_no_wrong_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    fill(RedbBackend::open(&*path).unwrap()).await;
    let good = fs::read(&path).unwrap();
    let mut corrupt = 0;
    for (what, bytes) in damages(&good) {
        fs::write(&path, bytes).unwrap();
        corrupt += look(RedbBackend::open(&*path), &what).await.corrupt;
    }
    assert!(corrupt > 0);
}
