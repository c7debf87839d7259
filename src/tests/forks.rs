//! Processes that fork with a store open, and threads that spawn others meanwhile.
//!
//! Each test runs itself in a process of its own, which forks: the runner of the tests has threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::alone::{alone, run_alone, run_alone_in};
use crate::retention::keep_last;
use crate::store::{Error, Options, Store};
use crate::{Checkpointer, HashMap, State};

type World = HashMap<u32, u32>;

mod system {
    #![expect(unsafe_code, reason = "the standard library cannot fork")]
    unsafe extern "C" {
        pub(super) fn fork() -> i32;
        pub(super) fn _exit(code: i32) -> !;
    }
}

/// Forks; the child does this alone, and ends without unwinding into the tests.
fn fork(child: impl FnOnce()) -> Pid {
    #[expect(unsafe_code, reason = "the standard library cannot fork")]
    // SAFETY: the child has this thread alone. It takes no lock that another thread of the parent may have held, but for
    // those under test and those of the allocator, which the C library takes care of; and it ends by `_exit`.
    let child_id = unsafe { system::fork() };
    if child_id == 0 {
        let done = catch_unwind(AssertUnwindSafe(child));
        #[expect(unsafe_code, reason = "no destructor of the parent's is to run in the child")]
        // SAFETY: it only ends the process.
        unsafe {
            system::_exit(i32::from(done.is_err()))
        }
    }
    Pid::from_raw(child_id).expect("a child")
}

/// Waits for a child, but not for ever.
fn expect_end(child: Pid) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some((_, status)) = waitpid(Some(child), WaitOptions::NOHANG).unwrap() {
            return assert_eq!(status.exit_status(), Some(0), "the child failed: {status:?}");
        }
        if Instant::now() > end {
            kill_process(child, Signal::KILL).unwrap();
            waitpid(Some(child), WaitOptions::empty()).unwrap();
            panic!("the child waits for ever");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Opens a copy of the files as a process that is killed now leaves them.
fn after_a_kill(path: &Path, to: &Path) -> Store {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(path).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
    Store::open(to).unwrap()
}

fn is_forked<T, E: std::fmt::Display>(refused: Result<T, E>, what: &str) {
    match refused {
        Ok(_) => panic!("{what} was done in a fork"),
        Err(error) => assert!(error.to_string().contains("fork"), "{what}: {error}"),
    }
}

#[test]
fn a_child_that_drops_its_store_changes_nothing() {
    run_alone("tests::forks::dropping");
}

#[test]
fn dropping() {
    let Some(dir) = alone() else { return };
    let path = dir.join("s");
    for options in [Options::new(), Options::new().keep(keep_last(100))] {
        let store = options.open(&path).unwrap();
        store.checkpoint(&0u32).unwrap();
        let mut store = Some(store);
        let before = std::fs::read(path.join("MANIFEST")).unwrap();
        expect_end(fork(|| drop(store.take())));
        expect_end(fork(|| is_forked(store.take().unwrap().close(), "close")));
        assert_eq!(std::fs::read(path.join("MANIFEST")).unwrap(), before, "the child wrote a manifest");
        let store = store.unwrap();
        for tick in 1..=20u32 {
            store.checkpoint(&tick).unwrap();
        }
        // The lock is still the parent's.
        assert!(matches!(Store::open(&path), Err(Error::Locked { pid, .. }) if pid == std::process::id()));
        let copy = dir.join("killed");
        assert_eq!(after_a_kill(&path, &copy).latest::<u32>().unwrap(), Some(20));
        std::fs::remove_dir_all(copy).unwrap();
        store.close().unwrap();
        assert_eq!(Store::open(&path).unwrap().latest::<u32>().unwrap(), Some(20));
    }
}

#[test]
fn a_child_writes_nothing_and_reads_on() {
    run_alone("tests::forks::calling");
}

#[test]
fn calling() {
    let Some(dir) = alone() else { return };
    let path = dir.join("s");
    for options in [Options::new().cache_bytes(0), Options::new().keep(keep_last(100))] {
        let mut store = Some(options.open(&path).unwrap());
        let world: World = (0..5000).map(|n| (n, n)).collect();
        let store_of = |store: &Option<Store>| store.as_ref().unwrap().checkpoint(&world).unwrap();
        store_of(&store);
        // Opened again, so that nothing is in memory.
        drop(store.take());
        let store = options.open(&path).unwrap();
        let id = store.checkpoint(&7u32).unwrap().id;
        let first = store.checkpoints().last().unwrap().unwrap().id;
        let mut lazy: World = store.restore(first).unwrap();
        let files = || {
            let files = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            let mut files: Vec<_> = files.map(|file| (file.clone(), std::fs::read(file).unwrap())).collect();
            files.sort();
            files
        };
        let before = files();
        let mut held = Some(store);
        expect_end(fork(|| {
            let store = held.take().unwrap();
            is_forked(store.checkpoint(&8u32), "checkpoint");
            is_forked(store.commit().roots(&[("a", &1u32), ("b", &2u32)]).write(), "commit");
            is_forked(store.sync(), "sync");
            is_forked(store.retain(&keep_last(1)), "retain");
            is_forked(store.compact(), "compact");
            is_forked(store.verify(), "verify");
            is_forked(store.backup(dir.join("backup")), "backup");
            is_forked(store.migrate(dir.join("new"), |_, world: World| Ok(world)), "migrate");
            assert!(!dir.join("backup").exists() && !dir.join("new").exists());
            // Reading goes on.
            assert_eq!(lazy.len(), 5000);
            assert_eq!(lazy.iter().map(|(_, value)| u64::from(*value)).sum::<u64>(), 4999 * 2500);
            lazy.insert(5000, 5000);
            assert_eq!(store.restore::<u32>(id).unwrap(), 7);
            assert_eq!(store.checkpoints().count(), 2);
            // The parent has it.
            let refused = Store::open(&path);
            assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
            // Another store is the child's own.
            let own = Store::open(dir.join("own")).unwrap();
            own.checkpoint(&1u32).unwrap();
            own.close().unwrap();
            drop((store, lazy));
        }));
        let store = held.unwrap();
        assert_eq!(files(), before);
        assert_eq!(store.latest::<u32>().unwrap(), Some(7));
        store.checkpoint(&9u32).unwrap();
        store.close().unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_dir_all(dir.join("own")).unwrap();
    }
}

#[test]
fn a_checkpointer_waits_for_nothing_in_a_child() {
    run_alone("tests::forks::in_the_background");
}

#[test]
fn in_the_background() {
    let Some(dir) = alone() else { return };
    for (number, options) in [
        Checkpointer::options(),
        Checkpointer::options().every(Duration::from_millis(5)),
        Checkpointer::options().every_updates(1).unsaved_bytes(1, 2).max_pause(Duration::from_secs(1)),
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.join(number.to_string());
        let store = Arc::new(Store::options().keep(keep_last(10)).open(&path).unwrap());
        let state = Arc::new(State::new(World::new()));
        let mut checkpointer = Some(options.start(&state, &store).unwrap());
        let answered = checkpointer.as_ref().unwrap().request();
        answered.wait().unwrap();
        let mut held = Some((store, state));
        expect_end(fork(|| {
            let checkpointer = checkpointer.take().unwrap();
            let (store, state) = held.take().unwrap();
            assert!(answered.wait().is_ok(), "it was answered before");
            is_forked(checkpointer.request().wait(), "request");
            let began = Instant::now();
            for n in 0..100 {
                state.update(|world| world.insert(n, n));
            }
            assert!(began.elapsed() < Duration::from_secs(2), "updates wait for a thread that is not there");
            assert_eq!(checkpointer.step(Instant::now()), crate::checkpointer::Step::Idle(None));
            checkpointer.begin_close();
            is_forked(checkpointer.close(), "close");
            drop((store, state));
        }));
        // One that is only dropped.
        expect_end(fork(|| drop((checkpointer.take(), held.take()))));
        let (store, state) = held.unwrap();
        state.update(|world| world.insert(1, 2));
        let checkpointer = checkpointer.unwrap();
        checkpointer.request().wait().unwrap();
        checkpointer.close().unwrap();
        assert_eq!(store.latest::<World>().unwrap(), Some(World::from([(1, 2)])));
    }
}

#[test]
fn a_ticket_of_before_the_fork_is_answered_in_the_child() {
    run_alone("tests::forks::unanswered");
}

#[test]
fn unanswered() {
    let Some(dir) = alone() else { return };
    let store = Arc::new(Store::open(dir.join("s")).unwrap());
    let state = Arc::new(State::new(1u32));
    // Nobody runs the steps: it stays open.
    let checkpointer = Checkpointer::options().manual(&state, &store);
    let ticket = checkpointer.request();
    expect_end(fork(|| {
        is_forked(ticket.wait(), "a ticket");
        is_forked(ticket.wait_for(Duration::from_secs(60)).expect("an answer"), "a ticket");
    }));
    let mut checkpointer = Some(checkpointer);
    expect_end(fork(|| is_forked(checkpointer.take().unwrap().close(), "close")));
    checkpointer.unwrap().close().unwrap();
    ticket.wait().unwrap();
    assert_eq!(store.latest::<u32>().unwrap(), Some(1));
}

#[test]
fn versions_that_nobody_holds_are_dropped_in_a_child_too() {
    run_alone("tests::forks::letting_go");
}

#[test]
fn letting_go() {
    struct Tell(Arc<AtomicBool>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    if alone().is_none() {
        return;
    }
    let let_go = || {
        let dropped = Arc::new(AtomicBool::new(false));
        let state = State::new(Some(Arc::new(Tell(Arc::clone(&dropped)))));
        let snapshot = state.snapshot();
        drop((state.replace(None), snapshot));
        dropped
    };
    // The thread that drops them is the parent's.
    let_go();
    expect_end(fork(|| assert!(let_go().load(Ordering::Relaxed), "it is held for ever")));
}

#[test]
fn a_daemon_opens_its_store_again_when_its_parent_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    for test in ["daemon", "daemon_with_threads"] {
        run_alone_in(dir.path(), &format!("tests::forks::{test}"));
        let said = dir.path().join(test);
        let end = Instant::now() + Duration::from_secs(20);
        while !said.exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(std::fs::read_to_string(said).unwrap_or_default(), "opened", "{test}");
    }
}

#[test]
fn daemon() {
    daemonize("daemon", Options::new());
}

/// The threads of the parent held the store; in the child they are not there to let go of it.
#[test]
fn daemon_with_threads() {
    daemonize("daemon_with_threads", Options::new().keep(keep_last(3)));
}

fn daemonize(name: &str, options: Options) {
    let Some(dir) = alone() else { return };
    let path = dir.join("s");
    let store = Arc::new(options.open(&path).unwrap());
    let state = Arc::new(State::new(5u32));
    let checkpointer = Checkpointer::start(&state, &store).unwrap();
    checkpointer.request().wait().unwrap();
    let parent = rustix::process::getpid();
    let mut all = Some((checkpointer, store, state));
    fork(|| {
        drop(all.take());
        let end = Instant::now() + Duration::from_secs(10);
        while rustix::process::getppid() == Some(parent) {
            assert!(Instant::now() < end, "the parent stays");
            std::thread::sleep(Duration::from_millis(1));
        }
        let opened = Store::open(&path).and_then(|store| {
            assert_eq!(store.latest::<u32>()?, Some(5));
            store.checkpoint(&6u32)
        });
        let text = opened.map_or_else(|error| error.to_string(), |_| "opened".to_owned());
        std::fs::write(dir.join(format!("{name}.part")), text).unwrap();
        std::fs::rename(dir.join(format!("{name}.part")), dir.join(name)).unwrap();
    });
    #[expect(unsafe_code, reason = "a parent that ends at once, as a daemon's does")]
    // SAFETY: it only ends the process.
    unsafe {
        system::_exit(0)
    }
}

#[test]
fn a_store_that_was_closed_can_be_opened_while_others_spawn_processes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    Command::new("/bin/true").status().unwrap();
                }
            });
        }
        let opened = catch_unwind(|| {
            for round in 0..500u32 {
                let store = Store::open(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
                if round.is_multiple_of(10) {
                    store.checkpoint(&round).unwrap();
                }
                if round.is_multiple_of(2) { store.close().unwrap() } else { drop(store) }
            }
        });
        is_over.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}

#[test]
fn a_fork_may_ask_for_stats_while_a_thread_of_the_parent_notes_what_it_scrubbed() {
    let Some(dir) = alone() else {
        return run_alone(
            "tests::forks::a_fork_may_ask_for_stats_while_a_thread_of_the_parent_notes_what_it_scrubbed",
        );
    };
    let options = Options::new().scrub_bytes_per_second(Some(1 << 30)).keep(keep_last(2));
    let store = options.open(dir.join("s")).unwrap();
    store.checkpoint(&World::from([(1, 2)])).unwrap();
    let held = store.hold_scrubbed();
    let child = fork(|| {
        let stats = store.stats();
        assert_eq!((stats.written.checkpoints, stats.scrubbed.blocks), (1, 0));
    });
    expect_end(child);
    drop(held);
    while store.stats().scrubbed.passes == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(store.stats().scrubbed.blocks > 0);
}
