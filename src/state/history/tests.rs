//! Tests of histories: where they stand, what they keep, and who is dropped first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

/// A clock that stands still until it is told.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>, Instant);

impl Clock {
    fn new() -> Self {
        Self(Arc::default(), Instant::now())
    }

    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn history<T>(&self, depth: Depth) -> History<T> {
        let Self(seconds, start) = self.clone();
        History::with_clock(depth, move || start + Duration::from_secs(seconds.load(Ordering::Relaxed)))
    }
}

fn values(history: &History<u32>) -> Vec<u32> {
    history.iter().map(|entry| **entry.snapshot()).collect()
}

/// A state with 0..=last recorded.
fn counted(last: u32, depth: Depth) -> (State<u32>, History<u32>) {
    let (state, mut history) = (State::new(0), History::new(depth));
    history.record(&state);
    for value in 1..=last {
        state.replace(value);
        history.record(&state);
    }
    (state, history)
}

#[test]
fn recording_an_unwritten_state_adds_nothing() {
    let (state, mut history) = counted(1, Depth::unbounded());
    assert!(!history.record(&state));
    history.undo(&state);
    assert!(!history.record_as(&state, "no"), "what undo published is not a change");
    assert_eq!((values(&history), history.position()), (vec![0, 1], Some(0)));
    assert_eq!(history.iter().next().unwrap().label(), None);
}

#[test]
fn a_policy_thins_what_lies_before_the_position_and_nothing_else() {
    use crate::retention::{every, keep_last};
    let minute = Duration::from_secs(60);
    let policy = keep_last(2) | every(10 * minute).for_last(60 * minute);
    let clock = Clock::new();
    let (state, mut history) = (State::new(0), clock.history(Depth::unbounded().policy(policy)));
    history.record(&state);
    for value in 1..=100 {
        clock.advance(60);
        state.replace(value);
        history.record(&state);
    }
    assert_eq!(values(&history), [40, 50, 60, 70, 80, 90, 99, 100]);
    assert_eq!(history.position(), Some(7));
    let sixty = history.iter().nth(2).unwrap().version();
    history.jump(&state, sixty);
    history.trim();
    assert_eq!((values(&history).len(), history.position()), (8, Some(2)));
    assert_eq!(*history.redo(&state).unwrap(), 70);
}

#[test]
fn unrecorded_changes_survive_an_undo() {
    let (state, mut history) = counted(1, Depth::unbounded());
    state.replace(2);
    state.replace(3);
    assert_eq!(*history.undo(&state).unwrap(), 1);
    assert_eq!(*history.redo(&state).unwrap(), 3);
}

#[test]
fn a_rollback_past_the_history_is_recorded_as_a_change() {
    let (state, mut history) = counted(2, Depth::unbounded());
    let first = history.iter().next().unwrap().snapshot().clone();
    state.rollback(&first);
    assert_eq!(*history.undo(&state).unwrap(), 2);
    assert_eq!(values(&history), [0, 1, 2, 0]);
}

#[test]
fn undo_returns_the_version_that_the_state_has_now() {
    let (state, mut history) = counted(2, Depth::unbounded());
    let now = history.undo(&state).unwrap();
    assert_eq!((*now, now.version()), (1, 3));
    assert_eq!((*state.load(), state.version()), (1, 3));
}

#[test]
fn jump_reaches_every_entry_and_only_those() {
    let (state, mut history) = counted(4, Depth::unbounded().count(3));
    let versions: Vec<_> = history.iter().map(Entry::version).collect();
    assert_eq!(versions, [2, 3, 4]);
    for version in [2, 4, 3, 3, 2] {
        assert_eq!(u64::from(*history.jump(&state, version).unwrap()), version);
        assert_eq!(u64::from(*state.load()), version);
    }
    let before = state.version();
    assert!(history.jump(&state, 1).is_none(), "evicted");
    assert!(history.jump(&state, before).is_none(), "published by a jump, never recorded");
    assert_eq!(state.version(), before, "a jump that fails publishes nothing");
}

#[test]
fn nothing_can_be_undone_in_an_empty_history() {
    let state = State::new(1);
    let mut history = History::new(Depth::default());
    assert!(history.is_empty() && history.position().is_none());
    assert!(history.undo(&state).is_none() && history.redo(&state).is_none());
    assert_eq!((*state.load(), state.version()), (1, 0));
}

#[test]
fn clear_forgets_and_starts_anew() {
    let (state, mut history) = counted(3, Depth::unbounded());
    history.clear();
    assert!(history.is_empty() && history.position().is_none());
    assert!(history.record(&state), "the state is recorded anew");
    assert!(history.undo(&state).is_none());
}

#[test]
fn count_keeps_the_newest_entries() {
    let (state, mut history) = counted(9, Depth::unbounded().count(3));
    assert_eq!((values(&history), history.position()), (vec![7, 8, 9], Some(2)));
    assert_eq!(*history.undo(&state).unwrap(), 8);
    assert_eq!(*history.undo(&state).unwrap(), 7);
    assert!(history.undo(&state).is_none());
    assert_eq!(history.len(), 3, "undo evicts nothing");
}

#[test]
fn a_count_of_zero_keeps_the_current_entry() {
    let (_, history) = counted(3, Depth::unbounded().count(0));
    assert_eq!(values(&history), [3]);
}

#[test]
fn age_counts_from_when_an_entry_was_superseded() {
    let clock = Clock::new();
    let mut history = clock.history(Depth::unbounded().age(Duration::from_secs(10)));
    let state = State::new(0);
    history.record(&state);
    clock.advance(3_600);
    state.replace(1);
    history.record(&state);
    assert_eq!(values(&history), [0, 1], "the change after a long pause can be undone");
    clock.advance(10);
    history.trim();
    assert_eq!(values(&history), [0, 1], "superseded exactly ten seconds ago");
    clock.advance(1);
    history.trim();
    assert_eq!((values(&history), history.position()), (vec![1], Some(0)));
}

#[test]
fn recording_evicts_by_age_and_tells_when_it_recorded() {
    let clock = Clock::new();
    let mut history = clock.history(Depth::unbounded().age(Duration::from_secs(2)));
    let state = State::new(0);
    for value in 1..=9 {
        history.record(&state);
        clock.advance(1);
        state.replace(value);
    }
    history.record(&state);
    assert_eq!(values(&history), [6, 7, 8, 9]);
    let first = history.iter().next().unwrap().recorded_at();
    assert_eq!(history.iter().last().unwrap().recorded_at() - first, Duration::from_secs(3));
}

#[test]
fn trimming_keeps_the_position_and_what_redo_reaches() {
    let clock = Clock::new();
    let mut history = clock.history(Depth::unbounded().age(Duration::ZERO));
    let state = State::new(0);
    for value in 1..=4 {
        history.record(&state);
        state.replace(value);
    }
    history.undo(&state);
    history.undo(&state);
    clock.advance(100);
    history.trim();
    assert_eq!((values(&history), history.position()), (vec![2, 3, 4], Some(0)));
    assert_eq!(*history.redo(&state).unwrap(), 3);
}

#[test]
#[should_panic(expected = "this is another State than before")]
fn another_state_is_refused() {
    let (_, mut history) = counted(3, Depth::unbounded());
    history.record(&State::new(0));
}

#[test]
fn entries_beyond_the_depth_are_dropped() {
    let token = Arc::new(());
    let (state, mut history) = (State::new(Arc::clone(&token)), History::new(Depth::unbounded().count(2)));
    for _ in 0..10 {
        history.record(&state);
        state.replace(Arc::clone(&token));
    }
    // The token, the state's own version, two entries.
    assert!(crate::state::soon(|| Arc::strong_count(&token) == 4));
}

#[test]
fn concurrent_changes_are_recorded_not_overwritten() {
    let (state, done) = (State::new(0), AtomicBool::new(false));
    let mut history = History::new(Depth::unbounded());
    history.record(&state);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                state.update(|n| *n += 1);
            }
        });
        for _ in 0..5_000 {
            let stood_at = history.standing.as_ref().unwrap().version();
            if let Some(now) = history.undo(&state) {
                let newest = history.entries.back().unwrap().version();
                let replaced = now.version() - 1;
                if replaced != newest && replaced != stood_at {
                    done.store(true, Ordering::Relaxed);
                    panic!("version {replaced} is lost");
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(history.iter().zip(history.iter().skip(1)).all(|(a, b)| a.version() < b.version()));
}

#[derive(Clone, Debug)]
enum Op {
    Write,
    Record,
    Undo,
    Redo,
    Jump(usize),
    Advance(u64),
    Trim,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Write),
        6 => Just(Op::Record),
        4 => Just(Op::Undo),
        3 => Just(Op::Redo),
        2 => (0..12_usize).prop_map(Op::Jump),
        2 => (0..5_u64).prop_map(Op::Advance),
        1 => Just(Op::Trim),
        1 => Just(Op::Clear),
    ]
}

/// The same by the plainest means: a list of (value, time), a position, whether the state was written.
struct Model {
    entries: Vec<(u32, u64)>,
    position: usize,
    value: u32,
    written: bool,
    now: u64,
    count: Option<usize>,
    age: Option<u64>,
}

impl Model {
    fn record(&mut self) -> bool {
        let record = self.written || self.entries.is_empty();
        if record {
            self.entries.truncate(self.position + 1);
            self.entries.push((self.value, self.now));
            self.position = self.entries.len() - 1;
            self.written = false;
            self.trim(self.count);
        }
        record
    }

    fn trim(&mut self, count: Option<usize>) {
        let over_count = self.entries.len().saturating_sub(count.unwrap_or(usize::MAX));
        let over_age = self.age.map_or(0, |age| {
            let superseded = self.entries.iter().skip(1);
            superseded.take_while(|(_, recorded)| recorded + age < self.now).count()
        });
        let drop = over_count.max(over_age).min(self.position);
        self.entries.drain(..drop);
        self.position -= drop;
    }

    fn go(&mut self, target: impl Fn(&Self) -> Option<usize>) -> Option<u32> {
        self.record();
        let index = target(self).filter(|&index| index < self.entries.len())?;
        self.position = index;
        self.value = self.entries[index].0;
        Some(self.value)
    }
}

proptest! {
    #[test]
    fn behaves_as_a_list_with_a_position(
        ops in prop::collection::vec(op(), 1..120),
        count in prop::option::of(0..6_usize),
        age in prop::option::of(0..12_u64),
    ) {
        let clock = Clock::new();
        let mut depth = Depth::unbounded();
        if let Some(count) = count {
            depth = depth.count(count);
        }
        if let Some(age) = age {
            depth = depth.age(Duration::from_secs(age));
        }
        let (state, mut history) = (State::new(0), clock.history(depth));
        let mut model =
            Model { entries: vec![], position: 0, value: 0, written: false, now: 0, count, age };
        let mut newest_version = 0;
        for op in ops {
            match op {
                Op::Write => {
                    model.value += 1_000;
                    model.written = true;
                    state.replace(model.value);
                }
                Op::Record => prop_assert_eq!(history.record(&state), model.record()),
                Op::Undo => {
                    let went = model.go(|m| m.position.checked_sub(1));
                    prop_assert_eq!(history.undo(&state).map(|s| *s), went);
                }
                Op::Redo => {
                    let went = model.go(|m| Some(m.position + 1));
                    prop_assert_eq!(history.redo(&state).map(|s| *s), went);
                }
                Op::Jump(index) => {
                    // An index into the entries as they are after the unrecorded change is recorded.
                    history.record(&state);
                    let version = history.iter().nth(index).map_or(u64::MAX, Entry::version);
                    let went = model.go(|_| Some(index));
                    prop_assert_eq!(history.jump(&state, version).map(|s| *s), went);
                }
                Op::Advance(seconds) => {
                    clock.advance(seconds);
                    model.now += seconds;
                }
                Op::Trim => {
                    history.trim();
                    model.trim(None);
                }
                Op::Clear => {
                    history.clear();
                    model.entries.clear();
                    model.position = 0;
                }
            }
            let expected: Vec<_> = model.entries.iter().map(|&(value, _)| value).collect();
            prop_assert_eq!(values(&history), expected);
            prop_assert_eq!(history.position(), (!history.is_empty()).then_some(model.position));
            prop_assert_eq!(*state.load(), model.value);
            prop_assert!(state.version() >= newest_version);
            newest_version = state.version();
        }
    }
}
