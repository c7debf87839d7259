//! Tests that run in a process of their own: those that fork, or change what belongs to the process.

use std::path::{Path, PathBuf};
use std::process::Command;

const DIR: &str = "PERENNIAL_ALONE_TEST_DIR";

/// Runs a test, named by its path in the crate, in a process of its own and a new directory.
pub(super) fn run_alone(test: &str) {
    run_alone_in(tempfile::tempdir().unwrap().path(), test);
}

/// As [`run_alone`], in a directory of the caller's.
pub(super) fn run_alone_in(dir: &Path, test: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("running 1 test\n"), "there is no test {test}: {said}");
}

/// Returns the directory that the other process is to work in; `None` in the first one.
pub(super) fn alone() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}
