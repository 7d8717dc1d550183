//! Damages a store's files in many ways and looks at what is served then: what was written, or a
//! typed error. Included by the file tests of the engines.

use std::path::Path;

use steadfast_backend::{Backend, ErrorKind, Group, Key, Namespace, Result, Write};

pub(crate) const KEYS: usize = 300;

pub(crate) fn key(name: usize) -> Key {
    let (namespace, group) = (Namespace::new("damage").unwrap(), Group::new("g").unwrap());
    Key::new(&namespace, &group, &name.to_string()).unwrap()
}

pub(crate) fn value(name: usize) -> String {
    format!("{name} {}", "v".repeat(name))
}

/// Writes all keys and closes.
pub(crate) async fn fill(backend: impl Backend) {
    let writes: Vec<_> = (0..KEYS).map(|name| Write::put(key(name), value(name))).collect();
    for written in backend.write_many(&writes).await.unwrap() {
        assert!(written.unwrap().is_applied());
    }
    backend.close().await.unwrap();
}

/// What became of a damaged store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) refused: bool,
    pub(crate) right: usize,
    pub(crate) corrupt: usize,
    pub(crate) absent: usize,
}

/// Reads all keys; what is served must be right.
pub(crate) async fn look(opened: Result<impl Backend>, what: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let backend = match opened {
        Ok(backend) => backend,
        Err(error) => {
            let kinds = [ErrorKind::Corrupt, ErrorKind::Config, ErrorKind::Unavailable];
            assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
            outcome.refused = true;
            return outcome;
        }
    };
    for name in 0..KEYS {
        match backend.get(&key(name)).await {
            Ok(Some(entry)) => {
                assert_eq!(entry.value, value(name), "{what}: a wrong value");
                outcome.right += 1;
            }
            Ok(None) => outcome.absent += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
                outcome.corrupt += 1;
            }
        }
    }
    outcome
}

/// Ways to damage bytes: single bits all over, most of them near the start, and truncations.
pub(crate) fn damages(good: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    let count = used.len();
    let near = (0..count.min(320)).step_by(3);
    let far = (1..240).map(move |n| n * 7919 % count);
    let flips = near.chain(far).map(move |nth| {
        let (at, bit) = (used[nth], nth % 8);
        let mut bytes = good.to_vec();
        bytes[at] ^= 1 << bit;
        (format!("bit {bit} of byte {at} flipped"), bytes)
    });
    let cuts = (0..60).map(move |n| {
        let len = (good.len() * n / 60 + n % 7).min(good.len());
        (format!("cut to {len} bytes"), good[..len].to_vec())
    });
    flips.chain(cuts)
}

/// A directory in which nobody can create anything, the superuser included.
pub(crate) fn unwritable() -> &'static Path {
    Path::new(if cfg!(target_os = "linux") { "/proc/self" } else { "/dev/null" })
}
