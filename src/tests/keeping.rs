//! A policy that is set is applied: at once, to the listing of every process, durably with each checkpoint, whatever the
//! clock shows, and whether or not anything changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::checkpointer::{Durability as Saves, Step};
use crate::retention::{Retention, every, every_nth, keep_all, keep_last, keep_within, pinned};
use crate::storage::{Fate, MemoryStorage, SimStorage};
use crate::store::{CheckpointId, CheckpointOptions, Durability, Options, RestoreOptions, Store};
use crate::{Checkpointer, Error, HashMap, State, Vector};

type Files = HashMap<u32, String>;

const DAY: u64 = 24 * 3600;
const DECADE: u64 = 3650 * DAY;

fn small() -> Options {
    Options::new().segment_bytes(16 << 10).block_bytes(512)
}

/// A clock that shows what it is told.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    fn of(&self, options: Options) -> Options {
        let seconds = Arc::clone(&self.0);
        options.clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed)))
    }
}

/// The ids of all checkpoints, the oldest first.
fn listed(store: &Store) -> Vec<u64> {
    let mut ids: Vec<_> = store.checkpoints().map(|made| made.unwrap().id.0).collect();
    ids.reverse();
    ids
}

fn lengths(store: &Store) -> Vec<usize> {
    let ids = listed(store).into_iter().map(CheckpointId);
    ids.map(|id| store.restore::<Files>(id).unwrap().len()).collect()
}

fn open(storage: &MemoryStorage, options: &Options) -> Store {
    options.open_storage(Arc::new(storage.clone())).unwrap()
}

/// As many checkpoints as a public git history has, of a small state.
fn history(store: &Store, count: u32) -> Files {
    let mut files = Files::new();
    for commit in 0..count {
        files.insert(commit % 40, format!("as of {commit}"));
        let how = CheckpointOptions::new().durability(Durability::Buffered);
        store.commit().roots(&[("state", &files)]).options(&how).write().unwrap();
    }
    files
}

#[test]
fn a_policy_that_is_set_holds_at_once_in_every_listing() {
    let storage = MemoryStorage::new();
    let options = Options::new().keep(keep_last(50));
    let store = open(&storage, &options);
    let read_only = Options::new().read_only(true);
    let mut reader = None;
    let mut files = Files::new();
    for commit in 0..2000u32 {
        files.insert(commit % 40, format!("as of {commit}"));
        let id = store.checkpoint(&files).unwrap().id;
        assert_eq!(store.stats().checkpoints, u64::from(commit + 1).min(50));
        if commit >= 50 {
            let gone = store.restore::<Files>(CheckpointId(id.0 - 50));
            assert!(matches!(gone, Err(Error::UnknownCheckpoint { .. })), "{gone:?}");
        }
        if commit % 250 == 100 {
            assert_eq!(listed(&store), (id.0 - 49..=id.0).collect::<Vec<_>>());
            // Another process, which opened the store before or opens it now.
            let reader = reader.get_or_insert_with(|| open(&storage, &read_only));
            reader.refresh().unwrap();
            assert_eq!(listed(reader), listed(&store));
            assert_eq!(reader.latest::<Files>().unwrap().as_ref(), Some(&files));
            assert!(reader.verify().unwrap().is_clean());
        }
    }
    let kept = listed(&store);
    // What a state holds stays readable, and is not listed.
    let pinned: Files = store.restore(CheckpointId(kept[0])).unwrap();
    let expected: Files = pinned.iter().map(|(key, value)| (*key, value.clone())).collect();
    let pinned: Files = {
        drop(pinned);
        store.restore(CheckpointId(kept[0])).unwrap()
    };
    store.checkpoint(&Files::new()).unwrap();
    assert_eq!(listed(&store), [&kept[1..], &[kept[49] + 1]].concat());
    store.compact().unwrap();
    assert_eq!(pinned, expected);
    store.close().unwrap();
    // By whoever opens it, with a policy or without.
    for options in [Options::new(), options, read_only] {
        let store = open(&storage, &options);
        assert_eq!(listed(&store).len(), 50);
        assert_eq!(store.stats().checkpoints, 50);
    }
}

#[test]
fn a_policy_set_over_a_long_history_holds_from_the_opening_on() {
    let storage = MemoryStorage::new();
    let store = open(&storage, &small());
    let files = history(&store, 1500);
    store.close().unwrap();
    let before = open(&storage, &small()).stats().disk_bytes;
    let store = open(&storage, &small().keep(keep_last(50)));
    let kept = listed(&store);
    assert_eq!((kept.len(), kept[49]), (50, 1500));
    assert!(matches!(store.restore::<Files>(CheckpointId(3)), Err(Error::UnknownCheckpoint { .. })));
    // Nothing was written: who opens it without the policy finds all of them.
    store.close().unwrap();
    assert_eq!(listed(&open(&storage, &small())).len(), 1500);
    let store = open(&storage, &small().keep(keep_last(50)).compact_bytes_per_second(None));
    store.checkpoint(&files).unwrap();
    // The space follows, though hardly anything is appended.
    for _ in 0..2000 {
        if store.stats().disk_bytes * 4 < before {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(store.stats().compaction_failure, None);
    assert!(store.stats().disk_bytes * 4 < before, "{} of {before}", store.stats().disk_bytes);
    store.close().unwrap();
    let store = open(&storage, &small());
    assert_eq!(listed(&store).len(), 50);
    assert!(store.verify().unwrap().is_clean());
}

#[test]
fn the_space_of_what_was_dropped_is_given_back_within_the_bound() {
    let storage = MemoryStorage::new();
    let store = open(&storage, &small().keep(keep_last(50)).compact_bytes_per_second(None));
    let mut files = Files::new();
    let mut most = 0;
    for commit in 0..3000u32 {
        files.insert(commit % 40, format!("as of {commit}"));
        store.checkpoint(&files).unwrap();
        most = most.max(store.stats().disk_bytes);
    }
    assert_eq!(store.stats().compaction_failure, None);
    // 50 commits of a sector or two and a small state are in use: five segments at most. Two segments more are the
    // limit, and four what lies beyond it.
    assert!(most <= 12 * (16 << 10), "{most} bytes");
}

#[test]
fn what_a_lost_checkpoint_dropped_is_there_again() {
    for (durability, lost) in [(Durability::Buffered, true), (Durability::Sync, false)] {
        let disk = SimStorage::new();
        let options = small().keep(keep_last(3)).compact_below(1.0).compact_bytes_per_second(None);
        let store = options.open_storage(Arc::new(disk.clone())).unwrap();
        let mut files = Files::new();
        for n in 0..5 {
            files.insert(n, "x".repeat(300));
            store.checkpoint(&files).unwrap();
        }
        disk.record(true);
        for n in 5..8 {
            files.insert(n, "x".repeat(300));
            let how = CheckpointOptions::new().durability(durability);
            store.commit().roots(&[("state", &files)]).options(&how).write().unwrap();
        }
        assert_eq!(listed(&store), [6, 7, 8]);
        // Power fails, and nothing that was not synced had reached the medium.
        let points = disk.crash_points();
        let image = points.last().unwrap().image(0, |_| Fate::Vanishes);
        std::mem::forget(store);
        let store = options.open_storage(Arc::new(image)).unwrap();
        assert_eq!(listed(&store), if lost { [3, 4, 5] } else { [6, 7, 8] });
        assert!(store.verify().unwrap().is_clean());
        lengths(&store);
    }
}

#[test]
fn a_process_that_dies_leaves_what_it_kept_for_every_opening() {
    let mut storage = MemoryStorage::new();
    let mut expected = Vec::new();
    for life in 0..6u32 {
        // Every other life has no policy, and keeps what it finds.
        let policy = keep_last(4) | every_nth(16) | pinned(["kept"]);
        let options = if life % 2 == 0 { small().keep(policy) } else { small() };
        let store = open(&storage, &options);
        if life > 0 {
            let kept: Vec<u64> = listed(&store);
            assert!(kept.iter().all(|id| expected.contains(id)), "{kept:?}, {expected:?}");
            assert!(life % 2 == 0 || kept == expected, "{kept:?}, {expected:?}");
        }
        let mut files: Files = store.latest().unwrap().unwrap_or_default();
        for n in 0..40 {
            files.insert(n % 7, format!("{life} {n}"));
            let mut how = CheckpointOptions::new().durability(Durability::Buffered);
            if n == 5 {
                how = how.label("kept");
            }
            store.commit().roots(&[("state", &files)]).options(&how).write().unwrap();
        }
        expected = listed(&store);
        let contents: BTreeMap<_, _> =
            expected.iter().map(|&id| (id, store.restore::<Files>(CheckpointId(id)).unwrap())).collect();
        let reader = open(&storage, &small().read_only(true));
        assert_eq!(listed(&reader), expected);
        for (id, files) in contents {
            assert_eq!(reader.restore::<Files>(CheckpointId(id)).unwrap(), files);
        }
        if life % 3 == 0 {
            store.compact().unwrap();
        }
        // It dies.
        let left = storage.copy();
        drop(store);
        storage = left;
    }
}

#[test]
fn dropping_by_hand_goes_together_with_a_policy() {
    let storage = MemoryStorage::new();
    let store = open(&storage, &small().keep(keep_last(10)));
    history(&store, 30);
    let dropped = store.retain(&every_nth(3)).unwrap().dropped;
    assert!(!dropped.is_empty());
    let left = listed(&store);
    assert_eq!(left, [22, 25, 28, 30]);
    history(&store, 8);
    assert_eq!(listed(&store).len(), 10, "the last ten that are left");
    drop(store);
    assert_eq!(listed(&open(&storage, &small())).len(), 10);
}

#[test]
fn a_policy_that_keeps_everything_drops_nothing() {
    let storage = MemoryStorage::new();
    let store = open(&storage, &small().keep(keep_all() | keep_last(2)));
    history(&store, 30);
    assert_eq!(listed(&store).len(), 30);
}

#[test]
fn a_checkpoint_is_dated_by_the_clock_whatever_was_dated_before() {
    let (storage, clock) = (MemoryStorage::new(), Clock::default());
    let store = open(&storage, &clock.of(small()));
    for seconds in [100 * DAY, 100 * DAY + DECADE, 100 * DAY + 5, 0, 100 * DAY + 6] {
        clock.set(seconds);
        let made = store.checkpoint(&seconds).unwrap();
        assert_eq!(made.time, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    }
    store.close().unwrap();
    let store = open(&storage, &small());
    let times: Vec<_> = store.checkpoints().map(|made| made.unwrap().time).collect();
    assert!(!times.is_sorted_by(|one, other| one >= other), "{times:?}");
    assert_eq!(listed(&store), [1, 2, 3, 4, 5]);
    assert_eq!(store.latest::<u64>().unwrap(), Some(100 * DAY + 6));
}

/// One checkpoint every six hours for `days`, by a clock that is off by what `wrong` says on that day; what is kept, by
/// the day it was truly made.
fn days_kept(policy: &Retention, days: u64, wrong: impl Fn(u64) -> i64, is_reopened: bool) -> Vec<u64> {
    let (storage, clock) = (MemoryStorage::new(), Clock::default());
    let options = clock.of(small().keep(policy.clone()));
    let mut store = open(&storage, &options);
    let mut made = BTreeMap::new();
    for n in 0..4 * days {
        let true_time = 20_000 * DAY + n * DAY / 4;
        clock.set(true_time.saturating_add_signed(wrong(n / 4)));
        made.insert(store.checkpoint(&n).unwrap().id.0, n / 4);
        if is_reopened && n % 9 == 0 {
            store.close().unwrap();
            store = open(&storage, &options);
        }
    }
    listed(&store).iter().map(|id| made[id]).collect()
}

#[test]
fn wrong_clocks_do_not_spoil_retention() {
    let decade = DECADE as i64;
    for is_reopened in [false, true] {
        let week = keep_within(Duration::from_secs(7 * DAY));
        let month = every(Duration::from_secs(DAY)).for_last(Duration::from_secs(30 * DAY));
        for off in [decade, -decade, -20_000 * DAY as i64, 7200, -7200] {
            // The newest day is dated wrong: a week is kept, but for a quarter.
            let kept = days_kept(&week, 30, |day| if day == 29 { off } else { 0 }, is_reopened);
            assert!((22..=30).contains(&kept.len()), "{off}: {kept:?}");
            let kept = days_kept(&month, 90, |day| if day == 89 { off } else { 0 }, is_reopened);
            assert!((22..=40).contains(&kept.len()), "{off}: {kept:?}");
            // It was wrong for a day, and is right again.
            let kept = days_kept(&week, 60, |day| if day == 29 { off } else { 0 }, is_reopened);
            assert!((28..=30).contains(&kept.len()) && kept[0] >= 52, "{off}: {kept:?}");
            let kept = days_kept(&month, 90, |day| if day == 50 { off } else { 0 }, is_reopened);
            assert!((29..=34).contains(&kept.len()) && kept[0] >= 58, "{off}: {kept:?}");
            // It was wrong from the first day on, and set right; or set wrong and left there.
            for wrong in [|day| day < 20, |day: u64| day >= 20] {
                let kept = days_kept(&week, 60, |day| if wrong(day) { off } else { 0 }, is_reopened);
                assert!((28..=31).contains(&kept.len()) && kept[0] >= 52, "{off}: {kept:?}");
                let kept = days_kept(&month, 90, |day| if wrong(day) { off } else { 0 }, is_reopened);
                assert!((29..=34).contains(&kept.len()) && kept[0] >= 58, "{off}: {kept:?}");
            }
            // Two systems on one machine, in turns.
            let kept = days_kept(&week, 60, |day| if day % 2 == 0 { off } else { 0 }, is_reopened);
            assert!((21..=36).contains(&kept.len()), "{off}: {kept:?}");
        }
    }
}

#[test]
fn idle_restarts_push_nothing_out() {
    let mut storage = MemoryStorage::new();
    let options = small().keep(keep_last(10));
    let store = open(&storage, &options);
    for n in 0..10u32 {
        store.checkpoint(&(0..=n).map(|n| (n, n.to_string())).collect::<Files>()).unwrap();
    }
    let before = listed(&store);
    store.close().unwrap();
    for restart in 0..20 {
        let store = Arc::new(open(&storage, &options));
        let state = Arc::new(State::new(store.latest::<Files>().unwrap().unwrap()));
        // A crash loop: triggered, closed, and asked for.
        let interval = Duration::from_secs(60);
        let checkpointer = Checkpointer::options().every(interval).manual(&state, &store);
        let start = std::time::Instant::now();
        checkpointer.step(start + 2 * interval);
        match restart % 3 {
            0 => {
                let ticket = checkpointer.request();
                while checkpointer.step(start + 2 * interval) == Step::Worked {}
                let saved = ticket.wait().unwrap();
                assert_eq!((saved.checkpoint.id.0, saved.version()), (before[9], 0));
                assert_eq!(checkpointer.close().unwrap(), Some(saved));
            }
            1 => drop(checkpointer.close().unwrap()),
            // It dies before it is triggered again.
            _ => drop(checkpointer),
        }
        assert_eq!(listed(&store), before, "restart {restart}");
        assert_eq!(store.stats().written.checkpoints, 0);
        if restart % 2 == 0 {
            // It dies.
            storage = storage.copy();
        }
    }
    // Written all the same, by hand: small, and it counts once.
    for _ in 0..20 {
        let store = open(&storage, &options);
        let state = store.latest::<Files>().unwrap().unwrap();
        let made = store.checkpoint(&state).unwrap();
        assert_eq!(made.nodes, 0);
        assert_eq!(lengths(&store), (1..=10).collect::<Vec<_>>());
    }
    let store = open(&storage, &options);
    assert_eq!(lengths(&store), (1..=10).collect::<Vec<_>>());
    store.checkpoint(&Files::new()).unwrap();
    assert_eq!(lengths(&store), [2, 3, 4, 5, 6, 7, 8, 9, 10, 0]);
}

/// The first answer of a checkpointer of this state: the id, and what was written.
fn first_saved<T>(store: &Arc<Store>, value: T) -> (u64, u64)
where
    T: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
{
    let before = store.stats().written.checkpoints;
    let state = Arc::new(State::new(value));
    let checkpointer = Checkpointer::options().durability(Saves::Sync).manual(&state, store);
    let ticket = checkpointer.request();
    while checkpointer.step(std::time::Instant::now()) == Step::Worked {}
    let saved = ticket.wait().unwrap();
    (saved.checkpoint.id.0, store.stats().written.checkpoints - before)
}

#[test]
fn only_what_is_the_newest_checkpoint_is_known_to_be_saved() {
    let storage = MemoryStorage::new();
    let store = Arc::new(open(&storage, &small()));
    let one = Files::from([(1, "one".into())]);
    let two = Files::from([(2, "two".into())]);
    store.checkpoint(&one).unwrap();
    store.checkpoint(&two).unwrap();
    assert_eq!(first_saved(&store, store.latest::<Files>().unwrap().unwrap()), (2, 0));
    // An earlier one is to become the newest.
    let earlier: Files = store.restore(CheckpointId(1)).unwrap();
    assert_eq!(first_saved(&store, earlier), (3, 1));
    assert_eq!(store.latest::<Files>().unwrap(), Some(one.clone()));
    // Changed, and changed back; another type of the same bytes; built anew.
    let mut changed: Files = store.latest().unwrap().unwrap();
    changed.insert(9, "nine".into());
    assert_eq!(first_saved(&store, changed), (4, 1));
    assert_eq!(
        first_saved(
            &store,
            store
                .get(CheckpointId(4))
                .unwrap()
                .restore_with::<Files>(&RestoreOptions::new().rebuild(true))
                .unwrap()
        ),
        (5, 1)
    );
    // A state without collections is what its bytes are.
    store.checkpoint(&(7u32, "seven".to_owned())).unwrap();
    assert_eq!(first_saved(&store, (7u32, "seven".to_owned())), (6, 0));
    assert_eq!(first_saved(&store, (7u64, "seven".to_owned())), (7, 1));
    assert_eq!(first_saved(&store, (8u64, "seven".to_owned())), (8, 1));
    // Under a label it is made.
    let state = Arc::new(State::new((8u64, "seven".to_owned())));
    let checkpointer = Checkpointer::options().manual(&state, &store);
    let ticket = checkpointer.request_with(CheckpointOptions::new().label("mine"));
    while checkpointer.step(std::time::Instant::now()) == Step::Worked {}
    assert_eq!(ticket.wait().unwrap().checkpoint.id.0, 9);
    // And asked for again, it is that.
    let ticket = checkpointer.request();
    while checkpointer.step(std::time::Instant::now()) == Step::Worked {}
    assert_eq!(ticket.wait().unwrap().checkpoint.id.0, 9);
    assert_eq!(checkpointer.close().unwrap().unwrap().checkpoint.id.0, 9);
    // Unless somebody else wrote meanwhile.
    store.checkpoint(&(1u64, "other".to_owned())).unwrap();
    assert_eq!(first_saved(&store, (8u64, "seven".to_owned())), (11, 1));
}

#[test]
fn several_states_are_known_to_be_saved_only_together() {
    let storage = MemoryStorage::new();
    let store = Arc::new(open(&storage, &small()));
    let (names, log) = (Files::from([(1, "one".into())]), Vector::from([1u32, 2]));
    let how: &[(&str, &dyn crate::store::Persist)] = &[("names", &names), ("log", &log)];
    store.commit().roots(how).write().unwrap();
    let run = |log_first: bool, change: bool| {
        let names = Arc::new(State::new(
            store
                .latest_checkpoint()
                .and_then(|view| view.map(|view| view.restore_root::<Files>("names")).transpose())
                .unwrap()
                .unwrap(),
        ));
        let log = Arc::new(State::new(
            store
                .latest_checkpoint()
                .and_then(|view| view.map(|view| view.restore_root::<Vector<u32>>("log")).transpose())
                .unwrap()
                .unwrap(),
        ));
        if change {
            log.update(|log| log.push_back(3));
        }
        let mut workers = crate::checkpointer::Workers::new();
        let retired = if log_first {
            let log = workers.add("log", &log);
            (workers.add("names", &names), log)
        } else {
            (workers.add("names", &names), workers.add("log", &log))
        };
        retired.0.retire();
        retired.1.retire();
        let checkpointer = Checkpointer::options().manual(workers, &store);
        let ticket = checkpointer.request();
        while checkpointer.step(std::time::Instant::now()) == Step::Worked {}
        let saved = ticket.wait().unwrap();
        assert_eq!(saved.version_of("log"), Some(u64::from(change)));
        saved.checkpoint.id.0
    };
    assert_eq!((run(false, false), run(true, false)), (1, 1));
    assert_eq!(run(false, true), 2);
    // Of the two, one alone is another checkpoint.
    let names: Files = store
        .latest_checkpoint()
        .and_then(|view| view.map(|view| view.restore_root("names")).transpose())
        .unwrap()
        .unwrap();
    assert_eq!(first_saved(&store, names), (3, 1));
}
