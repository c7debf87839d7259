//! Two processes at one store: the second writer is refused with the pid of the first, readers are not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::store::{Error, Options, Store};

const DIR: &str = "PERENNIAL_LOCK_TEST_DIR";

/// Opens the store, says so, and writes a checkpoint whenever it is told to.
#[test]
fn holder() {
    let Some(path) = std::env::var_os(DIR) else { return };
    let store = Store::open(path).unwrap();
    println!("holds the lock");
    let mut count = store.latest::<u32>().unwrap().unwrap_or(0);
    for _ in std::io::stdin().lines().map_while(Result::ok) {
        count += 1;
        store.checkpoint(&count).unwrap();
        println!("wrote {count}");
    }
}

fn spawn(path: &Path) -> (Child, impl FnMut(&str)) {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["tests::locks::holder", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let mut wait_for = move |text: &str| {
        assert!(lines.any(|line| line.unwrap().contains(text)), "it ended before it said {text:?}");
    };
    wait_for("holds the lock");
    (holder, wait_for)
}

#[test]
fn a_second_writer_is_refused_with_the_pid_of_the_first_and_readers_follow_it() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    Store::open(&path).unwrap().checkpoint(&0u32).unwrap();
    let (mut holder, mut wait_for) = spawn(&path);
    for _ in 0..3 {
        let refused = Store::open(&path);
        assert!(matches!(refused, Err(Error::Locked { pid, .. }) if pid == holder.id()), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains(&holder.id().to_string()));
    }
    let mut reader = Options::new().read_only(true).open(&path).unwrap();
    assert_eq!(reader.latest::<u32>().unwrap(), Some(0));
    for count in 1..=3 {
        holder.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        wait_for(&format!("wrote {count}"));
        assert_eq!(reader.latest::<u32>().unwrap(), Some(count - 1));
        assert!(reader.refresh().unwrap());
        assert_eq!(reader.latest::<u32>().unwrap(), Some(count));
    }
    // The lock dies with the process, however that ends.
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(Store::open(&path).unwrap().latest::<u32>().unwrap(), Some(3));
}
