//! Directories that cannot be used: in use, foreign, damaged. Each is an error that says so.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steadfast_backend::{Backend, Error, ErrorKind, ManualClock, Ttl, Write};
use steadfast_sled::{Options, SledBackend, SledConfig};

#[path = "../../embedded/testing/damage.rs"]
mod damage;

use damage::{KEYS, damages, fill, look, unwritable};

fn refusal(path: &Path) -> Error {
    let error = SledBackend::open(path).unwrap_err();
    assert_eq!(error.backend(), "sled");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    error
}

#[cfg(unix)]
#[test]
fn a_new_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(SledBackend::open(&*path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn missing_directories_are_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/state");
    fill(SledBackend::open(&*path).unwrap()).await;
    assert_eq!(look(SledBackend::open(path), "reopened").await.right, KEYS);
}

#[tokio::test]
async fn a_directory_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let backend = SledBackend::open(&*path).unwrap();
    let error = refusal(&path);
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("another process"), "{error}");
    backend.close().await.unwrap();
    for _ in 0..20 {
        drop(SledBackend::open(&*path).unwrap());
    }
}

#[test]
fn a_place_that_cannot_hold_it_is_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(refusal(&file).kind(), ErrorKind::Config);
    let below = SledBackend::open(file.join("state")).unwrap_err();
    assert_eq!(below.kind(), ErrorKind::Config, "{below:?}");
    let error = refusal(&unwritable().join("state"));
    assert!(matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Config), "{error:?}");
}

#[test]
fn a_foreign_directory_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    assert_eq!(refusal(dir.path()).kind(), ErrorKind::Config);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let path = dir.path().join("other");
    let database = sled::open(&path).unwrap();
    database.insert("theirs", "kept").unwrap();
    drop(database);
    assert_eq!(refusal(&path).kind(), ErrorKind::Config);
    assert_eq!(sled::open(&path).unwrap().get("theirs").unwrap().unwrap(), "kept");
}

/// sled takes a damaged part of its log for a torn end; the mark tells.
#[tokio::test]
async fn a_damaged_directory_serves_what_was_written_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    fill(SledBackend::open(&*path).unwrap()).await;
    damage_each_part_of(&path).await;
}

/// As above, as a process leaves it that is killed: a copy of what is on the disk while it runs.
#[tokio::test]
async fn so_does_the_directory_of_a_killed_process() {
    let dir = tempfile::tempdir().unwrap();
    let (path, killed) = (dir.path().join("state"), dir.path().join("killed"));
    let backend = SledBackend::open(&*path).unwrap();
    let puts = (0..KEYS).map(|name| Write::put(damage::key(name), damage::value(name)));
    for written in backend.write_many(&puts.collect::<Vec<_>>()).await.unwrap() {
        assert!(written.unwrap().is_applied());
    }
    copy_dir(&path, &killed);
    damage_each_part_of(&killed).await;
}

async fn damage_each_part_of(path: &Path) {
    let (mut refused, mut right) = (0, 0);
    for file in ["db", "conf"] {
        let file = path.join(file);
        let good = fs::read(&file).unwrap();
        for (what, bytes) in damages(&good) {
            let copy = tempfile::tempdir().unwrap();
            let copied = copy.path().join("state");
            copy_dir(path, &copied);
            fs::write(copied.join(file.file_name().unwrap()), bytes).unwrap();
            let outcome = look(SledBackend::open(copied), &what).await;
            assert_eq!(outcome.absent, 0, "{what}: entries are missing: {outcome:?}");
            refused += usize::from(outcome.refused);
            right += usize::from(outcome.right == KEYS);
        }
    }
    println!("{refused} refused, {right} served in full");
    assert!(right > 0);
}

#[tokio::test]
async fn a_disk_down_to_its_reserve_takes_deletes_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    fill(SledBackend::open(&*path).unwrap()).await;
    let config = SledConfig::new(&path).reserve_bytes(u64::MAX);
    let backend = SledBackend::open(config).unwrap();
    let put = backend.write(&Write::put(damage::key(0), "more")).await.unwrap_err();
    assert_eq!(put.kind(), ErrorKind::Full);
    assert!(!put.is_ambiguous());
    let warnings = backend.check().await.unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("reserve")), "{warnings:?}");
    assert_eq!(backend.get(&damage::key(0)).await.unwrap().unwrap().value, damage::value(0));
    assert!(backend.write(&Write::delete(damage::key(0))).await.unwrap().is_applied());
    assert!(backend.get(&damage::key(0)).await.unwrap().is_none());
    drop(backend);
    assert_eq!(look(SledBackend::open(path), "with room again").await.right, KEYS - 1);
}

/// Whoever goes on putting must not keep the others from removing, nor the sweep.
#[tokio::test]
async fn at_the_reserve_steady_puts_keep_nobody_from_removing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let clock = ManualClock::at_us(1_000_000);
    let options = || Options { clock: clock.clone(), sweep_every: None };
    let backend = SledBackend::open_with(&*path, options()).unwrap();
    let ttl = Ttl::new(Duration::from_secs(1)).unwrap();
    let brief = (0..KEYS).map(|name| Write::put(damage::key(name), "brief").expiring(ttl));
    backend.write_many(&brief.collect::<Vec<_>>()).await.unwrap();
    for session in [KEYS, KEYS + 1] {
        let put = Write::put(damage::key(session), "session");
        assert!(backend.write(&put).await.unwrap().is_applied());
    }
    backend.close().await.unwrap();

    let config = SledConfig::new(&path).reserve_bytes(u64::MAX);
    let backend = Arc::new(SledBackend::open_with(config, options()).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let putters = (0..16).map(|name| {
        let (backend, stop) = (Arc::clone(&backend), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let put = Write::put(damage::key(1_000 + name), "more");
                assert_eq!(backend.write(&put).await.unwrap_err().kind(), ErrorKind::Full);
            }
        })
    });
    let putters: Vec<_> = putters.collect();
    clock.advance(Duration::from_secs(1));
    assert_eq!(backend.sweep().await.unwrap(), KEYS);
    assert!(backend.write(&Write::delete(damage::key(KEYS))).await.unwrap().is_applied());
    let with_a_put = vec![Write::put(damage::key(1), "more"), Write::delete(damage::key(KEYS + 1))];
    let done = backend.write_many(&with_a_put).await.unwrap();
    assert!(done[0].is_err() && done[1].is_ok());
    assert!(backend.get(&damage::key(KEYS + 1)).await.unwrap().is_none());
    stop.store(true, Ordering::SeqCst);
    for putter in putters {
        putter.await.unwrap();
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
