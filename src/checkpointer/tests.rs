//! Steps called one by one, and threads on a disk that waits or fails when told to.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::*;
use crate::tests::hooked::{Hooked, Hooks};
use crate::{HashMap, State};

type Map = HashMap<u64, u64>;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(30);

/// A disk in memory whose syncs count, wait while they are held, and fail when told to.
type Disk = Hooked<Arc<Control>>;

#[derive(Default)]
struct Control {
    syncs: AtomicU64,
    failing: AtomicBool,
    held: Mutex<()>,
}

impl Hooks for Arc<Control> {
    fn syncing(&self, _: &str) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        drop(self.held.lock().unwrap_or_else(|e| e.into_inner()));
        match self.failing.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the disk is on fire")),
            false => Ok(()),
        }
    }
}

impl Disk {
    fn store(&self) -> Arc<Store> {
        Arc::new(Store::options().open_storage(Arc::new(self.clone())).unwrap())
    }

    /// A store that has its first segment, and whose manifest says that there are buffered checkpoints: the next one
    /// is one write and one sync.
    fn begun_store(&self) -> Arc<Store> {
        let store = self.store();
        let how = CheckpointOptions::new().durability(crate::store::Durability::Buffered);
        store.commit().roots(&[("state", &Map::new())]).options(&how).write().unwrap();
        store.sync().unwrap();
        store
    }

    fn syncs(&self) -> u64 {
        self.hooks.syncs.load(Ordering::SeqCst)
    }
}

fn memory() -> Arc<Store> {
    Disk::default().store()
}

fn state() -> Arc<State<Map>> {
    Arc::new(State::new(Map::new()))
}

fn put(state: &State<Map>, key: u64) {
    state.update(|map| map.insert(key, key));
}

/// Runs all steps that there are at `now`.
fn run(checkpointer: &Checkpointer, now: Instant) -> u32 {
    (0..).take_while(|_| checkpointer.step(now) == Step::Worked).count() as u32
}

fn soon(holds: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain");
        std::thread::sleep(MS);
    }
}

/// Serialises as it is told to.
#[derive(Clone, Default, Deserialize)]
struct Fragile(u8);

impl Serialize for Fragile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            1 => std::panic::resume_unwind(Box::new("a panic on purpose")),
            2 => Err(serde::ser::Error::custom("an error on purpose")),
            _ => serializer.serialize_newtype_struct("Fragile", &self.0),
        }
    }
}

// ------------------------------------------------------------------------------------------------------ requests

#[test]
fn a_ticket_tells_the_version_that_became_durable() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::start(&state, &store).unwrap();
    put(&state, 1);
    let saved = checkpointer.request().wait().unwrap();
    assert_eq!((saved.version(), saved.version_of("state"), saved.version_of("other")), (1, Some(1), None));
    assert_eq!(store.restore::<Map>(saved.checkpoint.id).unwrap(), *state.load());
    let stats = checkpointer.stats();
    assert_eq!((stats.checkpoints, stats.syncs, stats.failed, stats.unsaved_updates), (1, 1, 0, 0));
    assert_eq!(checkpointer.close().unwrap().unwrap(), saved);
}

#[test]
fn nothing_is_done_before_a_step_and_nobody_is_asked_twice() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().manual(&state, &store);
    assert_eq!(checkpointer.step(Instant::now()), Step::Idle(None));
    let ticket = checkpointer.request();
    assert!(!ticket.is_done() && ticket.try_wait().is_none() && ticket.wait_for(MS).is_none());
    assert_eq!(checkpointer.step(Instant::now()), Step::Worked);
    assert!(ticket.is_done());
    assert_eq!(checkpointer.step(Instant::now()), Step::Idle(None));
    assert_eq!(ticket.wait_for(Duration::MAX).unwrap().unwrap(), ticket.wait().unwrap());
    assert_eq!(store.checkpoints().count(), 1);
}

#[test]
fn coalescing_requests_share_the_newest_version() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().manual(&state, &store);
    let tickets: Vec<_> = (0..10)
        .map(|key| {
            put(&state, key);
            checkpointer.request()
        })
        .collect();
    run(&checkpointer, Instant::now());
    assert!(tickets.iter().all(|ticket| ticket.wait().unwrap().version() == 10));
    assert_eq!((store.checkpoints().count(), checkpointer.stats().coalesced), (1, 9));
}

#[test]
fn a_labelled_request_keeps_its_version_and_takes_along_who_waits() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().queue(2).manual(&state, &store);
    let plain = checkpointer.request();
    put(&state, 1);
    let first = checkpointer.request_with(CheckpointOptions::new().label("first"));
    put(&state, 2);
    let second = checkpointer.request_with(CheckpointOptions::new().label("second"));
    put(&state, 3);
    let refused = checkpointer.request_with(CheckpointOptions::new().label("third"));
    let newest = checkpointer.request();
    run(&checkpointer, Instant::now());
    let version = |ticket: &Ticket| ticket.wait().unwrap().version();
    assert_eq!([&plain, &first, &second, &newest].map(version), [1, 1, 2, 3]);
    assert!(matches!(refused.wait().unwrap_err(), Error::QueueFull { .. }));
    let labels: Vec<_> = store.checkpoints().map(|c| c.unwrap().label).collect();
    assert_eq!(labels, [None, Some("second".into()), Some("first".into())]);
}

#[test]
fn refusing_requests_keep_their_versions_up_to_the_queue() {
    let (state, store) = (state(), memory());
    let options = Checkpointer::options().overflow(Overflow::Refuse).queue(3);
    let checkpointer = options.manual(&state, &store);
    let tickets: Vec<_> = (0..5)
        .map(|key| {
            put(&state, key);
            checkpointer.request()
        })
        .collect();
    run(&checkpointer, Instant::now());
    let outcomes: Vec<_> = tickets.iter().map(|ticket| ticket.wait().map(|saved| saved.version())).collect();
    assert_eq!(outcomes.iter().flatten().collect::<Vec<_>>(), [&1, &2, &3]);
    assert!(outcomes[3..].iter().all(|outcome| matches!(outcome, Err(e) if e.to_string().contains("queue"))));
    assert_eq!(checkpointer.stats().refused, 2);
}

#[test]
fn blocking_requests_wait_for_room_and_no_longer() {
    let disk = Disk::default();
    let (state, store) = (state(), disk.begun_store());
    let options = Checkpointer::options().overflow(Overflow::Block).queue(1);
    let checkpointer = options.start(&state, &store).unwrap();
    let held = disk.hooks.held.lock().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for key in 0..20 {
                put(&state, key);
                tell.send(checkpointer.request()).unwrap();
            }
        });
        // Two written and unsynced, one in the queue; the next one finds no room.
        let mut tickets: Vec<_> = (0..3).map(|_| told.recv_timeout(LONG).unwrap()).collect();
        tickets.extend(told.recv_timeout(100 * MS));
        assert!(told.recv_timeout(100 * MS).is_err(), "back-pressure was not felt");
        drop(held);
        tickets.extend((tickets.len()..20).map(|_| told.recv_timeout(LONG).unwrap()));
        let versions: Vec<_> = tickets.iter().map(|ticket| ticket.wait().unwrap().version()).collect();
        assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    });
}

#[test]
fn a_request_that_nobody_could_make_room_for_is_refused() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().overflow(Overflow::Block).queue(1).manual(&state, &store);
    let first = checkpointer.request();
    assert!(matches!(checkpointer.request().wait().unwrap_err(), Error::Refused { .. }));
    drop(checkpointer);
    first.wait().unwrap();
}

#[test]
fn a_ticket_can_be_awaited() {
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().manual(&state, &store);
    let woken = Arc::new(Count(AtomicU64::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(checkpointer.request());
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert!(future.as_mut().poll(&mut context).is_pending());
    run(&checkpointer, Instant::now());
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "one waker was registered twice, or not at all");
    assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
}

// ------------------------------------------------------------------------------------------------------ policies

#[test]
fn updates_trigger_a_checkpoint_at_their_number() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().every_updates(3).start(&state, &store).unwrap();
    for key in 0..9 {
        put(&state, key);
        if key % 3 == 2 {
            soon(|| checkpointer.stats().unsaved_updates == 0);
        }
    }
    assert_eq!(checkpointer.stats().checkpoints, 3);
    assert_eq!(checkpointer.stats().last_trigger, Some(Trigger::Updates));
    assert_eq!(store.latest::<Map>().unwrap().unwrap().len(), 9);
}

#[test]
fn an_interval_saves_what_was_changed_and_nothing_else() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().every(10 * MS).manual(&state, &store);
    let start = Instant::now();
    let count = |at: Duration| {
        run(&checkpointer, start + at);
        checkpointer.stats().checkpoints
    };
    assert_eq!(count(11 * MS), 1, "what the store has of the first version is not known");
    assert_eq!(count(100 * MS), 1, "nothing was changed");
    put(&state, 1);
    assert_eq!(count(105 * MS), 1, "an interval after it was looked at");
    assert_eq!(count(120 * MS), 2);
    assert_eq!(checkpointer.stats().last_trigger, Some(Trigger::Interval));
}

#[test]
fn objectives_choose_the_interval_and_show_it() {
    let (state, store) = (state(), memory());
    let options = Checkpointer::options().max_data_loss(50 * MS).max_io_bytes_per_second(1 << 30);
    let checkpointer = options.start(&state, &store).unwrap();
    for key in 0..100 {
        put(&state, key);
        std::thread::sleep(MS);
    }
    let stats = checkpointer.stats();
    let (interval, trigger) = stats.interval.unwrap();
    assert_eq!(trigger, Trigger::DataLoss);
    assert!(interval <= 50 * MS && interval >= MS, "{interval:?}");
    assert!(stats.checkpoints >= 1, "{stats:?}");
    soon(|| checkpointer.stats().unsaved_updates == 0);

    let options = Checkpointer::options().max_io_bytes_per_second(1);
    let checkpointer = options.manual(&state, &store);
    let mut now = Instant::now();
    for key in 0..3 {
        put(&state, key);
        now += LONG;
        run(&checkpointer, now);
    }
    let (interval, trigger) = checkpointer.stats().interval.unwrap();
    assert_eq!(trigger, Trigger::IoBudget);
    assert!(interval >= LONG, "a byte a second: {interval:?}");
}

#[test]
fn writers_are_slowed_but_never_stopped() {
    let disk = Disk::default();
    let (state, store) = (state(), disk.store());
    let options = Checkpointer::options().unsaved_bytes(1_000, 10_000).max_pause(2 * MS);
    let checkpointer = options.start(&state, &store).unwrap();
    let held = disk.hooks.held.lock().unwrap();
    let began = Instant::now();
    for key in 0..100 {
        put(&state, key);
    }
    let (took, stats) = (began.elapsed(), checkpointer.stats());
    assert!(stats.pauses >= 50 && stats.unsaved_bytes > 10_000, "{stats:?}");
    assert!(took >= 50 * MS && stats.paused >= 50 * MS, "{took:?} {stats:?}");
    drop(held);
    soon(|| checkpointer.stats().unsaved_updates == 0);
    let pauses = checkpointer.stats().pauses;
    put(&state, 0);
    assert_eq!(checkpointer.stats().pauses, pauses, "nothing is unsaved");
}

#[test]
fn a_failing_disk_does_not_slow_writers() {
    let disk = Disk::default();
    let (state, store) = (state(), disk.store());
    let options = Checkpointer::options().unsaved_bytes(1, 2).max_pause(LONG);
    disk.hooks.failing.store(true, Ordering::SeqCst);
    let checkpointer = options.start(&state, &store).unwrap();
    for key in 0..100 {
        put(&state, key);
    }
    assert!(checkpointer.stats().paused < LONG);
    assert!(checkpointer.close().is_err());
}

// ---------------------------------------------------------------------------------------------------- durability

#[test]
fn a_group_shares_one_sync_and_waits_for_its_interval() {
    let disk = Disk::default();
    let (state, store) = (state(), disk.begun_store());
    let options = Checkpointer::options().durability(Durability::Group(LONG)).overflow(Overflow::Refuse);
    let checkpointer = options.manual(&state, &store);
    let before = disk.syncs();
    let tickets: Vec<_> = (0..5)
        .map(|key| {
            put(&state, key);
            checkpointer.request()
        })
        .collect();
    let now = Instant::now();
    run(&checkpointer, now);
    assert!(matches!(checkpointer.step(now), Step::Idle(Some(_))));
    assert!(tickets.iter().all(|ticket| !ticket.is_done()));
    assert_eq!((checkpointer.stats().in_flight, disk.syncs() - before), (5, 0));
    run(&checkpointer, Instant::now() + LONG);
    assert!(tickets.iter().all(|ticket| ticket.wait().is_ok()));
    assert_eq!((checkpointer.stats().syncs, disk.syncs() - before), (1, 1));
}

#[test]
fn buffered_checkpoints_are_answered_without_a_sync() {
    let disk = Disk::default();
    let (state, store) = (state(), disk.begun_store());
    let checkpointer = Checkpointer::options().durability(Durability::Buffered).manual(&state, &store);
    let before = disk.syncs();
    let ticket = checkpointer.request();
    run(&checkpointer, Instant::now());
    assert!(ticket.wait().is_ok());
    assert_eq!(disk.syncs(), before);
}

#[test]
fn the_next_checkpoint_is_encoded_while_the_one_before_is_synced() {
    let disk = Disk::default();
    let (state, store) = (state(), disk.begun_store());
    let checkpointer = Checkpointer::start(&state, &store).unwrap();
    let held = disk.hooks.held.lock().unwrap();
    let before = disk.syncs();
    put(&state, 0);
    let first = checkpointer.request();
    soon(|| disk.syncs() > before);
    put(&state, 1);
    let second = checkpointer.request();
    soon(|| checkpointer.stats().in_flight == 2);
    assert!(!first.is_done() && !second.is_done());
    drop(held);
    assert_eq!((first.wait().unwrap().version(), second.wait().unwrap().version()), (1, 2));
}

// ------------------------------------------------------------------------------------------------------ failures

#[test]
fn panics_and_errors_of_user_code_reach_ticket_hook_and_stats() {
    let (state, store) = (Arc::new(State::new(Fragile(0))), memory());
    let (tell, told) = mpsc::channel();
    let options = Checkpointer::options().on_error(move |error| tell.send(error.to_string()).unwrap());
    let checkpointer = options.start(&state, &store).unwrap();
    checkpointer.request().wait().unwrap();

    state.replace(Fragile(1));
    let error = checkpointer.request().wait().unwrap_err();
    assert!(matches!(&error, Error::Panicked { message } if message == "a panic on purpose"), "{error}");
    assert!(told.recv_timeout(LONG).unwrap().contains("a panic on purpose"));

    state.replace(Fragile(2));
    let error = checkpointer.request().wait().unwrap_err();
    assert!(error.to_string().contains("an error on purpose"), "{error}");
    assert!(told.recv_timeout(LONG).unwrap().contains("an error on purpose"));
    assert_eq!(checkpointer.stats().last_error.unwrap().to_string(), error.to_string());

    state.replace(Fragile(3));
    let saved = checkpointer.request().wait().unwrap();
    assert_eq!(store.restore::<Fragile>(saved.checkpoint.id).unwrap().0, 3);
    assert_eq!(store.checkpoints().count(), 2);
    assert_eq!(checkpointer.stats().failed, 2);
    checkpointer.close().unwrap();
}

#[test]
fn a_hook_or_a_waker_that_panics_stops_nothing() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker on purpose"));
        }
    }
    let (state, store) = (Arc::new(State::new(Fragile(2))), memory());
    let options =
        Checkpointer::options().on_error(|_| std::panic::resume_unwind(Box::new("a hook on purpose")));
    let checkpointer = options.manual(&state, &store);
    let mut ticket = pin!(checkpointer.request());
    let waker = Waker::from(Arc::new(Panics));
    assert!(ticket.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    run(&checkpointer, Instant::now());
    assert!(ticket.try_wait().unwrap().is_err());
    state.replace(Fragile(0));
    let ticket = checkpointer.request();
    run(&checkpointer, Instant::now());
    assert!(ticket.wait().is_ok());
}

#[test]
fn a_failed_sync_answers_everybody_and_ends_automatic_checkpoints() {
    let disk = Disk::default();
    let (state, store) = (state(), disk.store());
    let failures = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&failures);
    let options = Checkpointer::options().every(MS).overflow(Overflow::Refuse).on_error(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let checkpointer = options.start(&state, &store).unwrap();
    checkpointer.request().wait().unwrap();
    disk.hooks.failing.store(true, Ordering::SeqCst);
    put(&state, 1);
    let error = checkpointer.request().wait().unwrap_err();
    assert!(matches!(error, Error::Io { .. } | Error::Poisoned { .. }), "{error}");
    let error = checkpointer.request().wait().unwrap_err();
    assert!(matches!(error, Error::Poisoned { .. }), "{error}");
    soon(|| checkpointer.stats().in_flight == 0);
    let failed = failures.load(Ordering::SeqCst);
    for key in 0..20 {
        put(&state, key);
        std::thread::sleep(MS);
    }
    assert_eq!(failures.load(Ordering::SeqCst), failed, "a poisoned store was tried again and again");
    assert!(checkpointer.close().is_err());
    // The state is as it was, and goes whole to a store opened anew.
    disk.hooks.failing.store(false, Ordering::SeqCst);
    drop(store);
    let store = disk.store();
    let checkpointer = Checkpointer::start(&state, &store).unwrap();
    let saved = checkpointer.request().wait().unwrap();
    assert_eq!(store.restore::<Map>(saved.checkpoint.id).unwrap().len(), 20);
}

// ------------------------------------------------------------------------------------------------------- closing

#[test]
fn closing_finishes_what_was_asked_and_saves_what_triggers_would_have() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().every(LONG).start(&state, &store).unwrap();
    put(&state, 1);
    let ticket = checkpointer.request();
    put(&state, 2);
    let last = checkpointer.close().unwrap().unwrap();
    assert!(ticket.wait().unwrap().version() >= 1);
    assert_eq!(last.version(), 2);
    assert_eq!(store.latest::<Map>().unwrap().unwrap().len(), 2);
}

#[test]
fn closing_without_triggers_saves_what_was_asked_only() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::start(&state, &store).unwrap();
    let ticket = checkpointer.request();
    ticket.wait().unwrap();
    put(&state, 1);
    assert_eq!(checkpointer.close().unwrap().unwrap().version(), 0);
}

#[test]
fn a_dropped_checkpointer_answers_every_ticket() {
    for round in 0..20 {
        let (state, store) = (state(), memory());
        let options = Checkpointer::options().overflow(Overflow::Refuse).durability(match round % 3 {
            0 => Durability::Sync,
            1 => Durability::Buffered,
            _ => Durability::Group(LONG),
        });
        let checkpointer = options.start(&state, &store).unwrap();
        let tickets: Vec<_> = (0..5)
            .map(|key| {
                put(&state, key);
                checkpointer.request()
            })
            .collect();
        drop(checkpointer);
        assert!(tickets.iter().all(|ticket| ticket.try_wait().unwrap().is_ok()));
    }
}

#[test]
fn a_checkpointer_may_be_dropped_by_its_own_thread() {
    let (state, store) = (Arc::new(State::new(Fragile(2))), memory());
    let slot: Arc<Mutex<Option<Checkpointer>>> = Arc::default();
    let taken = Arc::clone(&slot);
    let options = Checkpointer::options().on_error(move |_| drop(taken.lock().unwrap().take()));
    let mut guard = slot.lock().unwrap();
    let ticket = guard.insert(options.start(&state, &store).unwrap()).request();
    drop(guard);
    assert!(ticket.wait().is_err());
    soon(|| slot.lock().unwrap().is_none());
}

#[test]
fn a_state_outlives_its_checkpointer() {
    let (state, store) = (state(), memory());
    let checkpointer = Checkpointer::options().every_updates(1).start(&state, &store).unwrap();
    put(&state, 1);
    drop(checkpointer);
    let count = store.checkpoints().count();
    put(&state, 2);
    put(&state, 3);
    assert_eq!(store.checkpoints().count(), count);
    let again = Checkpointer::options().every_updates(1).start(&state, &store).unwrap();
    put(&state, 4);
    again.close().unwrap();
    assert_eq!(store.latest::<Map>().unwrap().unwrap().len(), 4);
}

// ------------------------------------------------------------------------------------------------------ barriers

struct Two {
    left: Arc<State<Map>>,
    right: Arc<State<u64>>,
    store: Arc<Store>,
}

impl Two {
    fn new() -> Self {
        Self { left: state(), right: Arc::new(State::new(0)), store: memory() }
    }

    fn workers(&self) -> (Workers, Worker<Map>, Worker<u64>) {
        let mut workers = Workers::new();
        let left = workers.add("left", &self.left);
        let right = workers.add("right", &self.right);
        (workers, left, right)
    }
}

#[test]
fn a_barrier_commits_the_versions_at_which_workers_passed() {
    let two = Two::new();
    let (workers, mut left, mut right) = two.workers();
    let checkpointer = Checkpointer::options().manual(workers, &two.store);
    assert!(!left.pass() && left.pending().is_none());
    let ticket = checkpointer.request();
    let now = Instant::now();
    checkpointer.step(now);
    put(&two.left, 1);
    assert_eq!((left.pending(), right.pending()), (Some(1), Some(1)));
    assert!(left.pass() && !left.pass());
    put(&two.left, 2);
    run(&checkpointer, now);
    assert!(!ticket.is_done());
    two.right.replace(7);
    assert!(right.pass());
    two.right.replace(8);
    run(&checkpointer, now);
    let saved = ticket.wait().unwrap();
    assert_eq!((saved.version_of("left"), saved.version_of("right")), (Some(1), Some(1)));
    let id = saved.checkpoint.id;
    assert_eq!(two.store.get(id).unwrap().restore_root::<Map>("left").unwrap().len(), 1);
    assert_eq!(two.store.get(id).unwrap().restore_root::<u64>("right").unwrap(), 7);
    assert_eq!(checkpointer.stats().unsaved_updates, 4, "counted from when the barrier was opened");
}

#[test]
fn a_barrier_fails_as_a_whole_and_the_next_one_goes_on() {
    let two = Two::new();
    let (workers, mut left, mut right) = two.workers();
    let checkpointer = Checkpointer::options().barrier_timeout(LONG).manual(workers, &two.store);
    let failure = |ticket: &Ticket| match &ticket.wait().unwrap_err() {
        Error::BarrierFailed { number, reason } => (*number, reason.clone()),
        other => panic!("{other}"),
    };

    let ticket = checkpointer.request();
    let now = Instant::now();
    run(&checkpointer, now);
    left.pass();
    right.fail("the matching engine is halted");
    run(&checkpointer, now);
    assert_eq!(failure(&ticket), (1, "the matching engine is halted".into()));

    let ticket = checkpointer.request();
    run(&checkpointer, now);
    right.pass();
    run(&checkpointer, now + LONG);
    let (number, reason) = failure(&ticket);
    assert!(number == 2 && reason.contains("left") && !reason.contains("right"), "{reason}");
    assert!(left.pass(), "the worker cannot know that it is too late");

    let ticket = checkpointer.request();
    run(&checkpointer, now);
    assert!(left.pass() && right.pass());
    run(&checkpointer, now);
    ticket.wait().unwrap();
    assert_eq!((two.store.checkpoints().count(), checkpointer.stats().failed), (1, 2));
}

#[test]
fn a_retired_worker_stays_in_and_a_lost_one_fails_every_barrier() {
    let two = Two::new();
    let (workers, mut left, right) = two.workers();
    let checkpointer = Checkpointer::options().manual(workers, &two.store);
    let now = Instant::now();
    let request = || {
        let ticket = checkpointer.request();
        run(&checkpointer, now);
        ticket
    };
    let first = request();
    left.pass();
    right.retire();
    run(&checkpointer, now);
    first.wait().unwrap();
    two.right.replace(5);
    let second = request();
    left.pass();
    run(&checkpointer, now);
    let id = second.wait().unwrap().checkpoint.id;
    assert_eq!(two.store.get(id).unwrap().restore_root::<u64>("right").unwrap(), 5);
    let third = request();
    left.pass();
    drop(left);
    run(&checkpointer, now);
    third.wait().unwrap();
    let fourth = request();
    assert!(fourth.wait().unwrap_err().to_string().contains("dropped without retiring"));
}

#[test]
fn workers_pass_barriers_from_their_own_threads() {
    let two = Two::new();
    let (workers, mut left, mut right) = two.workers();
    let checkpointer = Checkpointer::options().every(MS).start(workers, &two.store).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Each worker's state is whole when its two numbers agree.
        scope.spawn(|| {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                two.left.update(|map| map.insert(0, n));
                two.left.update(|map| map.insert(1, n));
                left.pass();
            }
            left.retire();
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                two.right.update(|n| *n += 1);
                two.right.update(|n| *n += 1);
                right.pass();
            }
            right.retire();
        });
        soon(|| checkpointer.stats().checkpoints >= 50);
        done.store(true, Ordering::Relaxed);
    });
    checkpointer.close().unwrap();
    for checkpoint in two.store.checkpoints() {
        let id = checkpoint.unwrap().id;
        let left: Map = two.store.get(id).unwrap().restore_root("left").unwrap();
        assert_eq!(left.get(&0), left.get(&1), "a barrier caught a worker in the middle");
        assert_eq!(two.store.get(id).unwrap().restore_root::<u64>("right").unwrap() % 2, 0);
    }
}

#[test]
#[should_panic(expected = "two workers are named \"left\"")]
fn two_workers_need_two_names() {
    let two = Two::new();
    let (mut workers, _left, _right) = two.workers();
    let _third = workers.add("left", &two.left);
}
