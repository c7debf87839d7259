//! The nodes: one load wins, a flush beside copies, changes in place when unique, the last holder frees.
//!
//! Items are [`Tracked`]: what a thread does to them must happen after what others did before.
//!
//! Loom runs the thread that spawns first, as far as it comes, and finds other orders from where the two meet. It looks
//! back to the last access of a variable only, so it finds most where the first execution already is the order to be
//! wary of: the thread whose acts another must see is the one that spawns.
#![cfg(any(loom, internals))]

use loom_tests::{Arc, Tracked, model, thread};
use perennial::internals::{Log, MAX_CHAIN_LEN, Tree};

/// A leaf in slots 0 and 1, another in slot 2 and above; two items each, so that a change of one makes a delta.
fn tree() -> Tree<Tracked> {
    Tree::new(0b101, [[10, 11], [20, 21]].map(|items| items.map(Tracked::new)))
}

fn numbers(tree: &Tree<Tracked>, slot: usize) -> Vec<u32> {
    tree.get(slot).iter().map(Tracked::get).collect()
}

#[test]
fn of_racing_first_loads_one_wins_and_all_see_its_items() {
    model(|| {
        let log = Log::new();
        let address = tree().flush(&log);
        let one = Arc::new(Tree::restore(&log, address));
        let other = thread::spawn({
            let one = Arc::clone(&one);
            move || {
                let seen = numbers(&one, 1);
                (seen, one.get(1).as_ptr().addr())
            }
        });
        let mine = numbers(&one, 0);
        let (theirs, at) = other.join().unwrap();
        assert_eq!((mine, theirs), (vec![10, 11], vec![10, 11]));
        for slot in 0..2 {
            assert_eq!(one.get(slot).as_ptr().addr(), at, "a reader holds items of another leaf");
        }
        assert_eq!(numbers(&one, 2), [20, 21]);
    });
}

#[test]
fn an_alias_shows_what_stands_behind_it() {
    model(|| {
        let log = Log::new();
        let address = tree().flush(&log);
        let one = Arc::new(Tree::restore(&log, address));
        let other = thread::spawn({
            let one = Arc::clone(&one);
            move || numbers(&one, 0)
        });
        // A look at the alias alone, which the loader fills after the start.
        assert_eq!(numbers(&one, 1), [10, 11]);
        assert_eq!(other.join().unwrap(), [10, 11]);
    });
}

#[test]
fn a_copy_made_while_a_child_is_loaded_is_whole() {
    model(|| {
        let log = Log::new();
        let address = tree().flush(&log);
        let one: Tree<Tracked> = Tree::restore(&log, address);
        let copier = thread::spawn({
            let mut copy = one.clone();
            move || {
                copy.get_mut(2, 0).set(22);
                assert_eq!(numbers(&copy, 0), [10, 11]);
                copy
            }
        });
        let reader = thread::spawn({
            let other = one.clone();
            move || numbers(&other, 0)
        });
        assert_eq!(numbers(&one, 1), [10, 11]);
        assert_eq!(reader.join().unwrap(), [10, 11]);
        let copy = copier.join().unwrap();
        assert_eq!((numbers(&copy, 1), numbers(&copy, 2)), (vec![10, 11], vec![22, 21]));
        assert_eq!(numbers(&one, 2), [20, 21], "the original has changed");
    });
}

/// A tree whose first leaf was changed since its last record, which is `hops` deltas above a full one.
fn changed(log: &Log, hops: u8) -> Tree<Tracked> {
    let mut one = tree();
    for _ in 0..=hops {
        one.flush(log);
        one.get_mut(0, 0).set(12);
    }
    one
}

/// Lets one thread flush a snapshot while another reads a clone of a clone and this one changes the original.
fn change_beside_a_flush(log: &Log, mut one: Tree<Tracked>) {
    let flusher = thread::spawn({
        let (log, snapshot) = (log.clone(), one.clone());
        move || snapshot.flush(&log)
    });
    let reader = thread::spawn({
        let held = one.clone();
        move || {
            let again = held.clone();
            drop(held);
            numbers(&again, 0)
        }
    });
    one.get_mut(0, 1).set(13);
    let before = flusher.join().unwrap();
    assert_eq!(reader.join().unwrap(), [12, 11]);
    let after = one.flush(log);
    assert!(log.is_within_bounds(), "a chain has outgrown its bound");
    assert_eq!(numbers(&Tree::restore(log, before), 0), [12, 11]);
    assert_eq!(numbers(&Tree::restore(log, after), 1), [12, 13]);
}

#[test]
fn a_copy_beside_a_full_record_counts_from_the_base_it_took() {
    model(|| {
        let log = Log::new();
        let one = changed(&log, MAX_CHAIN_LEN);
        change_beside_a_flush(&log, one);
    });
}

#[test]
fn a_copy_beside_a_delta_counts_from_the_record_it_took() {
    model(|| {
        let log = Log::new();
        let one = changed(&log, MAX_CHAIN_LEN - 1);
        change_beside_a_flush(&log, one);
    });
}

#[test]
fn of_flushes_to_two_logs_at_once_the_longer_chain_counts() {
    model(|| {
        let (log, other) = (Log::new(), Log::new());
        let mut one = changed(&log, MAX_CHAIN_LEN - 1);
        let flusher = thread::spawn({
            let (other, snapshot) = (other.clone(), one.clone());
            move || snapshot.flush(&other)
        });
        one.flush(&log);
        let there = flusher.join().unwrap();
        one.get_mut(0, 0).set(13);
        let here = one.flush(&log);
        assert!(log.is_within_bounds(), "a chain has outgrown its bound");
        assert_eq!(numbers(&Tree::restore(&other, there), 0), [12, 11]);
        assert_eq!(numbers(&Tree::restore(&log, here), 0), [13, 11]);
    });
}

#[test]
fn a_change_in_place_comes_after_every_read() {
    model(|| {
        let snapshot = tree();
        let writer = thread::spawn({
            let mut one = snapshot.clone();
            move || {
                one.get_mut(0, 0).set(12);
                numbers(&one, 1)
            }
        });
        assert_eq!(numbers(&snapshot, 0), [10, 11], "a snapshot has changed");
        drop(snapshot);
        assert_eq!(writer.join().unwrap(), [12, 11]);
    });
}

#[test]
fn of_two_holders_the_last_frees_after_both_have_read() {
    model(|| {
        let one = tree();
        let other = thread::spawn({
            let one = one.clone();
            move || numbers(&one, 0)
        });
        let mine = numbers(&one, 0);
        drop(one);
        assert_eq!((mine, other.join().unwrap()), (vec![10, 11], vec![10, 11]));
    });
}

#[test]
fn of_racing_first_loads_of_a_root_all_see_its_items() {
    model(|| {
        let log = Log::new();
        let address = Tree::leaf([10, 11].map(Tracked::new)).flush(&log);
        let one: Arc<Tree<Tracked>> = Arc::new(Tree::restore_lazily(&log, address));
        let other = thread::spawn({
            let one = Arc::clone(&one);
            move || numbers(&one, 0)
        });
        assert_eq!(numbers(&one, 0), [10, 11]);
        assert_eq!(other.join().unwrap(), [10, 11]);
    });
}

#[test]
fn an_alias_shows_what_was_loaded_with_all_the_rest() {
    model(|| {
        let log = Log::new();
        let address = tree().flush(&log);
        let one = Arc::new(Tree::restore(&log, address));
        let other = thread::spawn({
            let one: Arc<Tree<Tracked>> = Arc::clone(&one);
            move || one.load_all()
        });
        // A look at the alias alone, which `load_all` fills after the start.
        assert_eq!(numbers(&one, 1), [10, 11]);
        other.join().unwrap();
        assert_eq!((numbers(&one, 0), numbers(&one, 2)), (vec![10, 11], vec![20, 21]));
    });
}

#[test]
fn an_eviction_beside_a_delta_counts_from_the_record_it_took() {
    model(|| {
        let log = Log::new();
        let one = changed(&log, MAX_CHAIN_LEN - 1);
        let evictor = thread::spawn({
            let (log, mut other) = (log.clone(), one.clone());
            move || {
                other.evict(&log);
                other
            }
        });
        let before = one.flush(&log);
        let mut other = evictor.join().unwrap();
        other.get_mut(0, 1).set(13);
        let after = other.flush(&log);
        assert!(log.is_within_bounds(), "a chain has outgrown its bound");
        assert_eq!(numbers(&Tree::restore(&log, before), 0), [12, 11]);
        assert_eq!(numbers(&Tree::restore(&log, after), 1), [12, 13]);
    });
}

#[test]
fn an_eviction_beside_readers_leaves_them_their_items() {
    model(|| {
        let log = Log::new();
        let mut one = tree();
        one.flush(&log);
        let reader = thread::spawn({
            let held = one.clone();
            move || numbers(&held, 1)
        });
        one.evict(&log);
        assert_eq!(numbers(&one, 1), [10, 11]);
        assert_eq!(reader.join().unwrap(), [10, 11]);
    });
}
