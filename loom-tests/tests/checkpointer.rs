//! The checkpointer: tickets are answered and wake who waits, nothing answered is lost, barriers are whole.

use loom_tests::{Arc, Disk, Image, model, thread};
use perennial::checkpointer::{Durability, Overflow, Step, Ticket, Worker, Workers};
use perennial::store::{Compression, Error, Store};
use perennial::{Checkpointer, State};
use std::time::{Duration, Instant};

type Shared<T> = std::sync::Arc<T>;

/// A store of few, small parts.
fn store(disk: &Disk) -> Shared<Store> {
    let options = Store::options()
        .compression(Compression::None)
        .segment_bytes(0)
        .cache_bytes(0)
        .durability(perennial::store::Durability::Buffered);
    let store = options.open_storage(Shared::new(disk.clone())).unwrap();
    // The first checkpoint makes the segment and tries the type.
    store.checkpoint(&0_u32).unwrap();
    store.sync().unwrap();
    Shared::new(store)
}

/// Expects the newest checkpoint that a power cut left to hold at least `number`.
fn expect(image: &Image, number: u32) {
    let store = Store::options().read_only(true).open_storage(image.storage()).unwrap();
    let found = store.latest::<u32>().unwrap().expect("a checkpoint");
    assert!(found >= number, "{number} was acknowledged, {found} survived");
}

fn is_refused(ticket: &Ticket) -> bool {
    matches!(ticket.wait(), Err(error) if matches!(error, Error::Closed { .. } | Error::QueueFull { .. } | Error::Refused { .. }))
}

#[test]
fn who_waits_for_a_ticket_is_woken_by_its_answer() {
    model(|| {
        let store = store(&Disk::new());
        let state = Shared::new(State::new(1_u32));
        let checkpointer = Checkpointer::options().durability(Durability::Buffered).manual(&state, &store);
        let ticket = checkpointer.request();
        let waiter = thread::spawn({
            let ticket = ticket.clone();
            move || ticket.wait().unwrap().version()
        });
        while checkpointer.step(Instant::now()) == Step::Worked {}
        assert!(ticket.is_done());
        assert_eq!(waiter.join().unwrap(), 0);
    });
}

#[test]
fn a_request_wakes_the_writing_thread_and_its_answer_the_caller() {
    model(|| {
        let disk = Disk::new();
        let store = store(&disk);
        let state = Shared::new(State::new(1_u32));
        let checkpointer = Checkpointer::start(&state, &store).unwrap();
        let saved = checkpointer.request().wait().unwrap();
        assert_eq!(saved.version(), 0);
        expect(&disk.image(), 1);
        drop(checkpointer);
    });
}

#[test]
fn closing_answers_every_request_made_before_and_refuses_those_after() {
    model(|| {
        let store = store(&Disk::new());
        let state = Shared::new(State::new(1_u32));
        let options = Checkpointer::options().durability(Durability::Buffered);
        let checkpointer = Arc::new(options.start(&state, &store).unwrap());
        let before = checkpointer.request();
        let other = thread::spawn({
            let checkpointer = Arc::clone(&checkpointer);
            move || {
                checkpointer.begin_close();
                checkpointer.request()
            }
        });
        let beside = checkpointer.request();
        let after = other.join().unwrap();
        drop(checkpointer);
        assert!(before.wait().is_ok());
        assert!(beside.wait().is_ok() || is_refused(&beside));
        assert!(is_refused(&after));
    });
}

#[test]
fn whoever_is_answered_is_durable_also_beside_a_sync() {
    model(|| {
        let disk = Disk::new();
        let store = store(&disk);
        let state = Shared::new(State::new(0_u32));
        let options = Checkpointer::options().overflow(Overflow::Refuse).queue(2);
        let checkpointer = Arc::new(options.manual(&state, &store));
        state.replace(1);
        let first = checkpointer.request();
        checkpointer.write_step(Instant::now());
        let other = thread::spawn({
            let (checkpointer, disk) = (Arc::clone(&checkpointer), disk.clone());
            move || {
                checkpointer.sync_step(Instant::now());
                disk.image()
            }
        });
        state.replace(2);
        let second = checkpointer.request();
        checkpointer.write_step(Instant::now());
        let acknowledged = if second.is_done() { 2 } else { 0 };
        expect(&disk.image(), acknowledged);
        let image = other.join().unwrap();
        assert!(first.is_done());
        expect(&image, 1);
        while checkpointer.step(Instant::now()) == Step::Worked {}
        assert_eq!(second.wait().unwrap().version(), 2);
        expect(&disk.image(), 2);
    });
}

#[test]
fn a_barrier_takes_the_versions_at_which_its_own_workers_passed_or_fails() {
    model(|| {
        let store = store(&Disk::new());
        let (left, right) = (Shared::new(State::new(1_u32)), Shared::new(State::new(1_u32)));
        let mut workers = Workers::new();
        let mut mine = workers.add("left", &left);
        let mut theirs = workers.add("right", &right);
        let options = Checkpointer::options().durability(Durability::Buffered);
        let checkpointer = options.barrier_timeout(Duration::from_secs(60)).manual(workers, &store);
        let now = Instant::now();
        let first = checkpointer.request();
        checkpointer.step(now);
        // One worker passes while the barrier runs out of time, and perhaps only afterwards.
        let other = thread::spawn(move || {
            theirs.pass();
            right.replace(2);
            theirs
        });
        mine.pass();
        checkpointer.step(now + Duration::from_secs(61));
        let mut theirs: Worker<u32> = other.join().unwrap();
        match first.try_wait().expect("whole or failed") {
            Ok(saved) => assert_eq!(saved.versions, [0, 0]),
            Err(error) => assert!(matches!(error, Error::BarrierFailed { number: 1, .. }), "{error}"),
        }
        // The next one takes what is passed to it, and nothing that came late for the first.
        let second = checkpointer.request();
        checkpointer.step(now);
        left.replace(2);
        assert!(mine.pass());
        checkpointer.step(now);
        assert!(second.try_wait().is_none(), "only one has passed");
        assert!(theirs.pass());
        checkpointer.step(now);
        assert_eq!(second.wait().unwrap().versions, [1, 1]);
    });
}

#[test]
fn a_worker_that_fails_fails_the_barrier_of_all() {
    model(|| {
        let store = store(&Disk::new());
        let (left, right) = (Shared::new(State::new(1_u32)), Shared::new(State::new(1_u32)));
        let mut workers = Workers::new();
        let mut mine = workers.add("left", &left);
        let mut theirs = workers.add("right", &right);
        let options = Checkpointer::options().durability(Durability::Buffered);
        let checkpointer = options.manual(workers, &store);
        let (ticket, now) = (checkpointer.request(), Instant::now());
        checkpointer.step(now);
        let other = thread::spawn(move || {
            theirs.fail("on purpose");
            theirs
        });
        mine.pass();
        checkpointer.step(now);
        let _theirs = other.join().unwrap();
        checkpointer.step(now);
        let error = ticket.try_wait().expect("both have answered").unwrap_err();
        let expected = "on purpose";
        assert!(
            matches!(&error, Error::BarrierFailed { number: 1, reason } if reason == expected),
            "{error}"
        );
        assert_eq!(store.checkpoints().count(), 1, "half a moment was committed");
    });
}

#[test]
fn the_last_worker_to_pass_wakes_the_writing_thread() {
    model(|| {
        let store = store(&Disk::new());
        let state = Shared::new(State::new(7_u32));
        let mut workers = Workers::new();
        let mut worker = workers.add("state", &state);
        let options = Checkpointer::options().durability(Durability::Buffered);
        let checkpointer = options.start(workers, &store).unwrap();
        let ticket = checkpointer.request();
        while !worker.pass() {
            thread::yield_now();
        }
        assert_eq!(ticket.wait().unwrap().versions, [0]);
        worker.retire();
        drop(checkpointer);
    });
}

#[test]
fn a_writer_who_passes_a_mark_wakes_the_writing_thread() {
    model(|| {
        let store = store(&Disk::new());
        let state = Shared::new(State::new(0_u32));
        let options = Checkpointer::options().durability(Durability::Buffered).every_updates(1);
        let checkpointer = options.start(&state, &store).unwrap();
        state.replace(1);
        while checkpointer.stats().unsaved_updates > 0 {
            thread::yield_now();
        }
        assert_eq!(store.latest::<u32>().unwrap(), Some(1));
        drop(checkpointer);
    });
}

#[test]
fn a_request_after_the_writing_thread_lingered_wakes_it() {
    model(|| {
        #[cfg(loom)]
        perennial::internals::set_ticks(1);
        let store = store(&Disk::new());
        let state = Shared::new(State::new(1_u32));
        let options = Checkpointer::options().durability(Durability::Buffered);
        let checkpointer = options.start(&state, &store).unwrap();
        for version in 0..2 {
            assert_eq!(checkpointer.request().wait().unwrap().version(), version);
            state.replace(2);
        }
        drop(checkpointer);
        #[cfg(loom)]
        perennial::internals::set_ticks(0);
    });
}
