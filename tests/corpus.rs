//! Every input that fuzzing has saved, again: on the stable compiler, and with every test run.
//!
//! The checks are those of the fuzz targets in `tests/fuzz/`.

#![cfg(all(
    feature = "bincode",
    feature = "encrypt",
    feature = "json",
    feature = "jwt-asymmetric",
    feature = "memory",
    feature = "poem"
))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[expect(unreachable_pub, reason = "to the fuzz targets it is a library")]
#[path = "fuzz/checks/mod.rs"]
mod checks;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use checks::CHECKS;

/// One test, because the checks measure what is allocated meanwhile.
#[test]
fn every_saved_input_passes_its_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let known = CHECKS.iter().map(|(name, _check)| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(&folder.join("fuzz_targets")), known, "each target has a check, and a file");
    assert_eq!(names(&folder.join("corpus")), known, "each target has a saved corpus");
    for name in known {
        let files = files(&folder.join("corpus").join(&name));
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        for file in files {
            // If a check fails, this is what the output ends with.
            println!("{}", file.display());
            checks::run(&name, &fs::read(&file).unwrap());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let stem = |path: PathBuf| path.file_stem().and_then(OsStr::to_str).unwrap().to_owned();
    files(folder).into_iter().map(stem).collect()
}
