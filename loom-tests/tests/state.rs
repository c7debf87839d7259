//! The state: writers take turns, readers see whole versions, numbers ascend.

use loom_tests::{Arc, model, thread};
use perennial::State;
use perennial::state::{Depth, History};

/// Two numbers that every published version holds equal, and equal to its version number unless rolled back.
type Pair = (u64, u64);

fn bump(pair: &mut Pair) -> u64 {
    pair.0 += 1;
    thread::yield_now();
    pair.1 += 1;
    pair.0
}

/// Reads twice, checks both, returns the last version number seen.
fn read(state: &State<Pair>) -> u64 {
    let first = state.load();
    assert_eq!(first.0, first.1, "half a version");
    let second = state.snapshot();
    assert_eq!(second.0, second.1, "half a version");
    assert!(first.version() <= second.version(), "versions went back for one reader");
    second.version()
}

#[test]
fn two_updaters_lose_no_update_and_number_uniquely() {
    model(|| {
        let state = Arc::new(State::new((0, 0)));
        let other = thread::spawn({
            let state = Arc::clone(&state);
            move || state.update(bump)
        });
        let mine = state.update(bump);
        let theirs = other.join().unwrap();
        assert_ne!(mine, theirs, "both changed the same version");
        assert_eq!((*state.load(), state.version()), ((2, 2), 2));
    });
}

#[test]
fn a_reader_beside_two_updaters_sees_whole_versions_in_order() {
    model(|| {
        let state = Arc::new(State::new((0, 0)));
        let writers = [(); 2].map(|()| {
            let state = Arc::clone(&state);
            thread::spawn(move || state.update(bump))
        });
        let seen = read(&state);
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(seen <= 2 && state.version() == 2);
    });
}

#[test]
fn a_rollback_beside_an_update_is_ordered_before_or_after_it() {
    model(|| {
        let state = Arc::new(State::new((0, 0)));
        state.update(bump);
        let one = state.snapshot();
        state.update(bump);
        let updater = thread::spawn({
            let state = Arc::clone(&state);
            move || state.update(bump)
        });
        let reader = thread::spawn({
            let state = Arc::clone(&state);
            move || read(&state)
        });
        let replaced = state.rollback(&one);
        let updated = updater.join().unwrap();
        let seen = reader.join().unwrap();
        let now = state.snapshot();
        match replaced.version() {
            2 => assert_eq!((*replaced, updated, *now), ((2, 2), 2, (2, 2)), "rollback, then update"),
            3 => assert_eq!((*replaced, updated, *now), ((3, 3), 3, (1, 1)), "update, then rollback"),
            version => panic!("rolled back from version {version}"),
        }
        assert_eq!(now.version(), 4, "each of the two published one version");
        assert!((2..=4).contains(&seen));
        assert_eq!((one.version(), *one), (1, (1, 1)), "the snapshot changed");
    });
}

#[test]
fn an_update_that_fails_is_never_seen() {
    model(|| {
        let state = Arc::new(State::new((0, 0)));
        let failing = thread::spawn({
            let state = Arc::clone(&state);
            move || {
                state.try_update(|pair| {
                    pair.0 = 9;
                    Err::<(), ()>(())
                })
            }
        });
        let updater = thread::spawn({
            let state = Arc::clone(&state);
            move || state.update(bump)
        });
        let seen = read(&state);
        assert_eq!(failing.join().unwrap(), Err(()));
        assert_eq!(updater.join().unwrap(), 1);
        assert!(seen <= 1);
        assert_eq!((*state.load(), state.version()), ((1, 1), 1));
    });
}

#[test]
fn an_undo_beside_an_update_loses_no_change() {
    model(|| {
        let state = Arc::new(State::new((0, 0)));
        let mut history = History::new(Depth::unbounded());
        history.record(&state);
        state.update(bump);
        history.record(&state);
        let updater = thread::spawn({
            let state = Arc::clone(&state);
            move || state.update(bump)
        });
        let undone = history.undo(&state).unwrap();
        let updated = updater.join().unwrap();
        match updated {
            1 => {
                assert_eq!((*undone, *state.load(), history.len()), ((0, 0), (1, 1), 2), "undo, then update")
            }
            2 => {
                assert_eq!((*undone, *state.load(), history.len()), ((1, 1), (1, 1), 3), "update, then undo")
            }
            updated => panic!("updated to {updated}"),
        }
        assert_eq!(state.version(), 3);
    });
}

/// On real primitives only: loom's threads share one OS thread, so `std::thread::panicking()` answers for all of
/// them and loom's locks poison one another. A panic leaves `publish` where an error does, which the model above
/// explores.
#[cfg(not(loom))]
#[test]
fn an_update_that_panics_is_never_seen() {
    model(|| {
        let state = Arc::new(State::new((0, 0)));
        let panicking = thread::spawn({
            let state = Arc::clone(&state);
            move || {
                state.update(|pair| -> u64 {
                    pair.0 = 9;
                    thread::yield_now();
                    // Prints no message, two thousand times.
                    std::panic::resume_unwind(Box::new("on purpose"))
                })
            }
        });
        let updater = thread::spawn({
            let state = Arc::clone(&state);
            move || state.update(bump)
        });
        let seen = read(&state);
        let mine = state.update(bump);
        assert!(panicking.join().is_err());
        let theirs = updater.join().unwrap();
        assert_ne!(mine, theirs);
        assert!(seen <= 2);
        assert_eq!((*state.load(), state.version()), ((2, 2), 2));
    });
}

#[cfg(any(loom, internals))]
#[test]
fn what_is_handed_over_is_dropped_also_by_a_thread_that_sleeps() {
    use loom_tests::Tracked;
    use perennial::internals::Garbage;

    model(|| {
        let garbage = Arc::new(Garbage::default());
        let reclaimer = thread::spawn({
            let garbage = Arc::clone(&garbage);
            move || {
                let (mut lingered, mut dropped) = (false, 0);
                while dropped < 2 {
                    let batch = garbage.take(lingered);
                    lingered = batch == 0;
                    dropped += batch;
                }
            }
        });
        garbage.push(Tracked::new(1));
        garbage.push(Tracked::new(2));
        reclaimer.join().unwrap();
    });
}
