//! Real failures of the file system: a process that checkpoints runs with `shim.c` preloaded, which makes its writes
//! short, interrupted, failing or out of space. Nothing it acknowledged may be lost, and it must be told of what failed.
//!
//! Needs a C compiler; where there is none, nothing is tested.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::HashMap;
use crate::store::{Error, Options, Store};

const VICTIM: &str = "PERENNIAL_SHIM_TEST_DIR";
const CHECKPOINTS: u32 = 30;

fn open(path: &Path) -> Store {
    Options::new().segment_bytes(16 << 10).block_bytes(512).open(path).unwrap()
}

/// The state of a tick.
fn state(tick: u32) -> HashMap<u32, [u32; 8]> {
    (0..200).map(|n| (n, [if n <= tick { tick } else { 0 }; 8])).collect()
}

/// Checkpoints, says what was acknowledged, and what went wrong.
#[test]
fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let path = Path::new(&path);
    let store = match Options::new().segment_bytes(16 << 10).block_bytes(512).open(path) {
        Ok(store) => store,
        Err(error) => return println!("failed {error}"),
    };
    let first = store.latest::<HashMap<u32, [u32; 8]>>().unwrap().map_or(0, |state| state[&0][0] + 1);
    for tick in first..first + CHECKPOINTS {
        match store.checkpoint(&state(tick)) {
            Ok(_) => println!("acknowledged {tick}"),
            Err(error) => {
                println!("failed {error}");
                // Reads go on, writes do not, and the state is as it was.
                let again = store.checkpoint(&0u8);
                let is_full = matches!(&again, Err(Error::Io { source, .. }) if source.kind() == ErrorKind::StorageFull);
                assert!(is_full || matches!(again, Err(Error::Poisoned { .. })), "{again:?}");
                if let Some(newest) = store.latest::<HashMap<u32, [u32; 8]>>().unwrap() {
                    assert_eq!(newest, state(tick - 1));
                }
                break;
            }
        }
    }
    println!("ended");
}

/// Runs the victim under a shim; the last tick it acknowledged, and what failed.
fn run(path: &Path, shim: &Path, spec: &str) -> (Option<u32>, Option<String>) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["tests::shim::victim", "--exact", "--nocapture", "--test-threads=1"])
        .env(VICTIM, path)
        .env("LD_PRELOAD", shim)
        .env("PERENNIAL_SHIM", spec)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut acknowledged = None;
    let mut failed = None;
    for line in text.lines() {
        if let Some((_, tick)) = line.split_once("acknowledged ") {
            acknowledged = tick.parse().ok();
        }
        if let Some((_, error)) = line.split_once("failed ") {
            failed = Some(error.to_owned());
        }
    }
    assert!(output.status.success() && (text.contains("ended") || failed.is_some()), "{spec}: {text}");
    (acknowledged, failed)
}

#[test]
fn short_writes_interruptions_errors_and_full_disks_lose_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (source, shim) = (dir.path().join("shim.c"), dir.path().join("shim.so"));
    std::fs::write(&source, include_str!("shim.c")).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).arg("-ldl").status();
    if !built.is_ok_and(|status| status.success()) || !cfg!(target_os = "linux") {
        println!("no C compiler: nothing was tested");
        return;
    }
    let harmless = ["short:0", "short:100", "short:5000", "eintr:0"].map(str::to_owned);
    let harmful = (0..12).flat_map(|n| ["eio", "full", "sync"].map(|kind| format!("{kind}:{}", n * 3)));
    let mut failures = 0;
    for (number, spec) in harmless.into_iter().chain(harmful).enumerate() {
        let path = dir.path().join(format!("store {number}"));
        let (acknowledged, failed) = run(&path, &shim, &spec);
        if number < 4 {
            assert_eq!((acknowledged, &failed), (Some(CHECKPOINTS - 1), &None), "{spec}");
        }
        failures += usize::from(failed.is_some());
        let store = open(&path);
        let found = store.latest::<HashMap<u32, [u32; 8]>>().unwrap();
        let tick = found.as_ref().map(|found| found[&0][0]);
        assert!(
            tick >= acknowledged,
            "{spec}: {tick:?} after {acknowledged:?} was acknowledged ({failed:?})"
        );
        if let (Some(found), Some(tick)) = (found, tick) {
            assert_eq!(found, state(tick), "{spec}");
        }
        assert!(store.verify().unwrap().is_clean(), "{spec}");
        drop(store);
        // It goes on, with the failure gone.
        let (again, failed) = run(&path, &shim, "none:0");
        assert_eq!(
            (again, failed),
            (Some(tick.map_or(0, |tick| tick + 1) + CHECKPOINTS - 1), None),
            "{spec}"
        );
    }
    println!("{failures} real failures");
    assert!(failures >= 24, "{failures} failures were real");
}
