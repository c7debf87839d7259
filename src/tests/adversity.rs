//! User code that panics, at every single call: each operation of each collection is run once to count the calls of
//! `Hash`, `Eq`, `Ord`, `Clone` and `Drop` it makes, and then once for every call, which panics. And hashers that lie, and little stack.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector};

thread_local! {
    /// Calls of user code until one panics, and whether those of `Drop` count.
    pub(super) static FUSE: Cell<usize> = const { Cell::new(usize::MAX) };
    pub(super) static DROPS_BURN: Cell<bool> = const { Cell::new(false) };
    /// The act instead of a panic.
    pub(super) static ACT: Cell<Option<fn()>> = const { Cell::new(None) };
    /// Items that are alive, by number.
    pub(super) static LIVE: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
    pub(super) static DROPPED_TWICE: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn burn() {
    match FUSE.get() {
        0 => {
            // One panic is enough: what is dropped while it unwinds may clone.
            FUSE.set(usize::MAX);
            if let Some(act) = ACT.take() {
                return act();
            }
            // Unlike `panic!`, prints nothing.
            resume_unwind(Box::new("the fuse blew"));
        }
        usize::MAX => {}
        left => FUSE.set(left - 1),
    }
}

/// A number, large enough that few of them fill a leaf.
pub(super) struct Touchy {
    pub(super) number: u32,
    pub(super) id: u64,
    _wide: [u64; 6],
}

pub(super) fn touchy(number: u32) -> Touchy {
    let id = NEXT.get();
    NEXT.set(id + 1);
    LIVE.with_borrow_mut(|live| live.insert(id));
    Touchy { number, id, _wide: [0; 6] }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        if !LIVE.with_borrow_mut(|live| live.remove(&self.id)) {
            DROPPED_TWICE.set(true);
        }
        if DROPS_BURN.get() && !std::thread::panicking() {
            burn();
        }
    }
}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        burn();
        touchy(self.number)
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.number == other.number
    }
}

impl Eq for Touchy {}

impl PartialOrd for Touchy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Touchy {
    fn cmp(&self, other: &Self) -> Ordering {
        burn();
        self.number.cmp(&other.number)
    }
}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        state.write_u32(self.number % 50); // some collide
    }
}

pub(super) type Pairs = Vec<(Touchy, Touchy)>;

#[derive(Clone)]
#[cfg_attr(feature = "store", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct World {
    pub(super) hash: HashMap<Touchy, Touchy>,
    pub(super) ord: OrdMap<Touchy, Touchy>,
    pub(super) set: HashSet<Touchy>,
    pub(super) items: OrdSet<Touchy>,
    pub(super) vector: Vector<Touchy>,
}

impl World {
    /// The collections that operations of this name are about, of 60 items each.
    pub(super) fn new(name: &str) -> Self {
        let of = |kinds: &[&str]| 0..if kinds.iter().any(|kind| name.starts_with(kind)) { 60 } else { 0 };
        let (hash, ord) = (of(&["map", "set"]), of(&["ord"]));
        Self {
            hash: pairs(hash.clone()).into_iter().collect(),
            ord: pairs(ord.clone()).into_iter().collect(),
            set: hash.map(touchy).collect(),
            items: ord.map(touchy).collect(),
            vector: of(&["vector"]).map(touchy).collect(),
        }
    }

    pub(super) fn check(&self) {
        self.hash.check();
        self.ord.check();
        self.set.map.check();
        self.items.map.check();
        self.vector.check();
    }

    /// All numbers, of every collection.
    pub(super) fn numbers(&self) -> Contents {
        let mut numbers = [
            self.hash.iter().map(|(key, value)| key.number * 1000 + value.number).collect(),
            self.ord.iter().map(|(key, value)| key.number * 1000 + value.number).collect(),
            self.set.iter().map(|item| item.number).collect(),
            self.items.iter().map(|item| item.number).collect(),
            self.vector.iter().map(|item| item.number).collect::<Vec<_>>(),
        ];
        numbers[0].sort_unstable();
        numbers[2].sort_unstable();
        numbers
    }
}

pub(super) fn pairs(numbers: std::ops::Range<u32>) -> Pairs {
    numbers.map(|number| (touchy(number), touchy(number))).collect()
}

/// Its name, whether nothing has changed when it panics, what it does to a world, given another version of it.
pub(super) type Op = (&'static str, bool, fn(&mut World, &World));

pub(super) const OPS: &[Op] = &[
    ("map insert", true, |w, _| drop(w.hash.insert(touchy(1000), touchy(1)))),
    ("map replace", true, |w, _| drop(w.hash.insert(touchy(7), touchy(1)))),
    ("map remove", true, |w, _| drop(w.hash.remove(&touchy(7)))),
    ("map get_mut", true, |w, _| w.hash.get_mut(&touchy(7)).unwrap().number = 1),
    ("map entry, vacant", true, |w, _| w.hash.entry(touchy(1000)).or_insert_with(|| touchy(1)).number = 1),
    ("map entry, occupied", true, |w, _| {
        w.hash.entry(touchy(7)).and_modify(|v| v.number = 1).or_insert(touchy(1)).number = 1
    }),
    ("map retain", false, |w, _| w.hash.retain(|key, _| key.number % 3 != 0)),
    ("map extract_if", false, |w, _| w.hash.extract_if(|key, _| key.number % 5 == 0).take(3).for_each(drop)),
    ("map extend", false, |w, _| w.hash.extend(pairs(50..80))),
    ("map collect", true, |_, _| drop(pairs(0..40).into_iter().collect::<HashMap<_, _>>())),
    ("map iter_mut", true, |w, _| _ = w.hash.iter_mut().take(20).count()),
    ("map into_iter", true, |w, _| w.hash.clone().into_iter().take(20).for_each(drop)),
    ("map drain", false, |w, _| w.hash.drain().take(20).for_each(drop)),
    ("map union", true, |w, o| w.hash = w.hash.union(&o.hash)),
    ("map intersection", true, |w, o| w.hash = o.hash.intersection(&w.hash)),
    ("map difference", true, |w, o| w.hash = w.hash.difference(&o.hash)),
    ("map symmetric_difference", true, |w, o| w.hash = w.hash.symmetric_difference(&o.hash)),
    ("map merge_with", true, |w, o| w.hash = w.hash.merge_with(&o.hash, |_, mine, _| mine.clone())),
    ("map three_way_merge", true, |w, o| {
        w.hash = w.hash.three_way_merge(&o.hash, &w.hash, |_, _, mine, _| mine.cloned())
    }),
    ("map diff", true, |w, o| assert!(w.hash.diff(&o.hash).count() > 0)),
    ("map ==", true, |w, o| assert!(w.hash != o.hash)),
    ("set insert", true, |w, _| assert!(w.set.insert(touchy(1000)))),
    ("set remove", true, |w, _| assert!(w.set.remove(&touchy(7)))),
    ("set union", true, |w, o| w.set = &w.set | &o.set),
    ("set is_subset", true, |w, o| assert!(!w.set.is_subset(&o.set))),
    ("ord insert", true, |w, _| drop(w.ord.insert(touchy(1000), touchy(1)))),
    ("ord set insert", true, |w, _| assert!(w.items.insert(touchy(1000)))),
    ("ord replace", true, |w, _| drop(w.ord.insert(touchy(7), touchy(1)))),
    ("ord remove", true, |w, _| drop(w.ord.remove(&touchy(7)))),
    ("ord entry", true, |w, _| w.ord.entry(touchy(1000)).or_insert_with(|| touchy(1)).number = 1),
    ("ord retain", false, |w, _| w.ord.retain(|key, _| key.number % 3 != 0)),
    ("ord extract_if", false, |w, _| {
        w.ord.extract_if(.., |key, _| key.number % 5 == 0).take(3).for_each(drop)
    }),
    ("ord extend", false, |w, _| w.ord.extend(pairs(50..80))),
    ("ord extend behind", true, |w, _| w.ord.extend(pairs(200..240))),
    ("ord collect", true, |_, _| drop(pairs(0..40).into_iter().rev().collect::<OrdMap<_, _>>())),
    ("ord range_mut", true, |w, _| _ = w.ord.range_mut(touchy(3)..touchy(40)).count()),
    ("ord into_iter", true, |w, _| w.ord.clone().into_iter().take(20).for_each(drop)),
    ("ord split_off", true, |w, _| drop(w.ord.split_off(&touchy(20)))),
    ("ord split_at_key", true, |w, _| drop(w.ord.split_at_key(&touchy(20)))),
    ("ord remove_range", true, |w, _| drop(w.ord.remove_range(touchy(10)..touchy(50)))),
    ("ord append", false, |w, o| w.ord.append(&mut o.ord.clone())),
    ("ord append behind", true, |w, _| w.ord.append(&mut pairs(100..140).into_iter().collect())),
    ("ord append before", true, |w, _| {
        let mut low: OrdMap<_, _> = w.ord.clone();
        low.append(&mut pairs(100..140).into_iter().collect());
        w.ord = low;
    }),
    ("ord split_off, first leaves", true, |w, _| drop(w.ord.split_off(&touchy(3)))),
    ("ord remove_range, last leaves", true, |w, _| drop(w.ord.remove_range(touchy(5)..touchy(57)))),
    ("ord pop", true, |w, _| drop(w.ord.pop_first())),
    ("ord union", true, |w, o| w.ord = w.ord.union(&o.ord)),
    ("ord intersection", true, |w, o| w.ord = w.ord.intersection(&o.ord)),
    ("ord symmetric_difference", true, |w, o| w.items = &w.items ^ &o.items),
    ("ord three_way_merge", true, |w, o| {
        w.ord = w.ord.three_way_merge(&o.ord, &w.ord, |_, _, mine, _| mine.cloned())
    }),
    ("ord diff, cmp", true, |w, o| {
        assert!(w.ord.diff(&o.ord).count() > 0 && w.ord != o.ord && w.items.cmp(&o.items).is_ne())
    }),
    ("vector push", true, |w, _| w.vector.push_back(touchy(1))),
    ("vector push_front", true, |w, _| w.vector.push_front(touchy(1))),
    ("vector pop_front", true, |w, _| drop(w.vector.pop_front())),
    ("vector set", true, |w, _| drop(w.vector.set(33, touchy(1)))),
    ("vector insert", true, |w, _| w.vector.insert(33, touchy(1))),
    ("vector remove", true, |w, _| drop(w.vector.remove(33))),
    ("vector splice", true, |w, o| drop(w.vector.splice(10..40, o.vector.clone()))),
    ("vector split_off", true, |w, _| drop(w.vector.split_off(33))),
    ("vector append", true, |w, o| w.vector.append(&mut o.vector.clone())),
    ("vector extend", false, |w, o| w.vector.extend(&o.vector)),
    ("vector rotate", true, |w, _| w.vector.rotate_left(33)),
    ("vector retain", true, |w, _| w.vector.retain(|item| item.number % 3 != 0)),
    ("vector extract_if", false, |w, _| {
        w.vector.extract_if(.., |item| item.number % 5 == 0).take(3).for_each(drop)
    }),
    ("vector dedup", true, |w, _| w.vector.dedup()),
    ("vector dedup_by", true, |w, _| w.vector.dedup_by(|item, kept| item.number - kept.number < 3)),
    ("vector retain most", true, |w, _| w.vector.retain(|item| item.number != 31)),
    ("vector drain", true, |w, _| drop(w.vector.drain(20..22))),
    ("vector extend_from_within", true, |w, _| w.vector.extend_from_within(20..22)),
    ("vector swap", true, |w, _| w.vector.swap(3, 50)),
    ("vector swap_remove", true, |w, _| drop(w.vector.swap_remove(3))),
    ("vector resize", false, |w, _| w.vector.resize(100, touchy(1))),
    ("vector fill", true, |w, _| w.vector.fill(touchy(1))),
    ("vector truncate", true, |w, _| w.vector.truncate(33)),
    ("vector into_iter", true, |w, _| w.vector.clone().into_iter().take(20).for_each(drop)),
    ("vector ==, diff", true, |w, o| assert!(w.vector != o.vector && w.vector.diff(&o.vector).count() > 0)),
    ("vector sort", false, |w, _| w.vector.sort_by(|one, two| two.cmp(one))),
    ("vector reverse", false, |w, _| w.vector.reverse()),
    ("vector cursor", false, |w, _| {
        let mut cursor = w.vector.cursor_mut(33);
        cursor.insert_before(touchy(1));
        (0..12).for_each(|_| assert!(cursor.move_next()));
        drop(cursor.remove_prev());
        cursor.seek(2);
        cursor.insert_after(touchy(1));
    }),
];

/// What is in every collection.
pub(super) type Contents = [Vec<u32>; 5];

/// Runs an operation on a world, shared with another version or not. How many calls of user code it made, unless one of
/// them panicked; and what is in the world then.
fn attempt(op: &Op, fuse: usize, shared: bool, after: Option<&Contents>) -> (Option<usize>, Contents) {
    let (name, atomic, run) = *op;
    let mut world = World::new(name);
    let mut other = if shared { world.clone() } else { World::new(name) };
    let seven = touchy(7);
    other.hash.remove(&seven);
    other.set.remove(&seven);
    other.ord.remove(&seven);
    other.items.remove(&seven);
    if let Some(item) = other.vector.get_mut(7) {
        item.number = 8;
    }
    let (before, others) = (world.numbers(), other.numbers());
    FUSE.set(fuse);
    let done = catch_unwind(AssertUnwindSafe(|| run(&mut world, &other)));
    let left = FUSE.replace(usize::MAX);
    world.check();
    other.check();
    assert_eq!(other.numbers(), others, "{name}, call {fuse}: another version changed");
    let found = world.numbers();
    if done.is_err() && atomic && !DROPS_BURN.get() {
        let whole = found == before || after.is_some_and(|after| found == *after);
        assert!(whole, "{name}, call {fuse}: done in part, {found:?}");
    }
    (done.is_ok().then(|| fuse - left), found)
}

fn attempt_at_every_call(drops_burn: bool) {
    DROPS_BURN.set(drops_burn);
    let mut panics = 0;
    for op in OPS {
        for shared in [false, true] {
            let (calls, after) = attempt(op, usize::MAX - 1, shared, None);
            let calls = calls.expect("nothing panics");
            for fuse in 0..calls {
                let (done, _) = attempt(op, fuse, shared, Some(&after));
                assert_eq!(done, None, "{}: no panic at call {fuse} of {calls}", op.0);
                panics += 1;
            }
            assert!(!DROPPED_TWICE.get(), "{}: an item was dropped twice", op.0);
            let leaked = LIVE.with_borrow(BTreeSet::len);
            assert!(leaked == 0 || drops_burn, "{}: {leaked} items leaked", op.0);
        }
    }
    assert!(panics > 3000, "{panics}");
}

#[test]
fn hash_eq_ord_and_clone_may_panic_at_every_call() {
    attempt_at_every_call(false);
}

#[test]
fn drop_may_panic_at_every_call() {
    attempt_at_every_call(true);
}

/// Answers what it likes when it is asked for a hash or for equality.
#[derive(Clone)]
struct Liar(#[expect(dead_code, reason = "only dropped")] std::rc::Rc<u32>);

fn lie() -> u64 {
    thread_local!(static SEED: Cell<u64> = const { Cell::new(7) });
    SEED.set(SEED.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
    SEED.get() >> 33
}

impl Hash for Liar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(lie() % 1000);
    }
}

impl PartialEq for Liar {
    fn eq(&self, _: &Self) -> bool {
        lie().is_multiple_of(3)
    }
}

impl Eq for Liar {}

#[test]
fn hashes_that_lie_do_no_worse_than_lose_keys() {
    let held = std::rc::Rc::new(0);
    let liar = || Liar(std::rc::Rc::clone(&held));
    for _ in 0..5 {
        let mut map: HashMap<Liar, u64> = HashMap::new();
        let mut versions = vec![map.clone()];
        for step in 0..400u64 {
            let old = versions[step as usize % versions.len()].clone();
            // A key that was just found may not be found again: that is a panic, and no worse.
            let _ = catch_unwind(AssertUnwindSafe(|| match step % 12 {
                0..6 => drop(map.insert(liar(), step)),
                6 => drop(map.remove(&liar())),
                7 => *map.entry(liar()).or_insert(0) += 1,
                8 => map.retain(|_, value| value % 7 != 0),
                9 => map = map.union(&old),
                10 => map = map.three_way_merge(&old, &map, |_, _, mine, _| mine.copied()),
                _ => assert!(map.diff(&old).count() < 2000 || map == old),
            }));
            if step % 20 == 0 {
                versions.push(map.clone());
            }
        }
        for map in versions {
            assert_eq!(map.iter().filter(|(_, value)| **value < 1000).count(), map.iter().count());
        }
    }
    assert_eq!(std::rc::Rc::strong_count(&held), 1, "keys leaked");
}

#[test]
fn one_hash_for_all_keys_in_every_operation() {
    /// Every key collides in all 64 bits.
    #[derive(Default, Clone)]
    struct Constant;
    impl Hasher for Constant {
        fn write(&mut self, _: &[u8]) {}
        fn finish(&self) -> u64 {
            0x8000_0000_0000_0000
        }
    }
    type Map = HashMap<u32, u32, BuildHasherDefault<Constant>>;
    let (mut low, high): (Map, Map) =
        ((0..150).map(|n| (n, n)).collect(), (100..250).map(|n| (n, 0)).collect());
    let union = low.union(&high);
    for (map, len) in [
        (&union, 250),
        (&low.intersection(&high), 50),
        (&low.difference(&high), 100),
        (&low.symmetric_difference(&high), 200),
        (&union.three_way_merge(&low, &high, |_, _, mine, _| mine.copied()), 250 - 100),
    ] {
        map.check();
        assert_eq!(map.len(), len);
    }
    assert_eq!(low.extract_if(|key, _| key % 2 == 0).count(), 75);
    low.check();
    assert_eq!(low.diff(&union).count(), 250 - 75);
}

#[test]
fn little_stack_is_enough_to_build_walk_and_drop() {
    let run = || {
        let count = 100_000u64;
        let mut hash: HashMap<u64, u64> = (0..count).map(|n| (n, n)).collect();
        let mut ord: OrdMap<u64, u64> = (0..count).map(|n| (n, n)).collect();
        let mut vector: Vector<u64> = (0..count).collect();
        let versions = (hash.clone(), ord.clone(), vector.clone());
        for n in 0..100 {
            hash.insert(n * 1000, 0);
            ord.remove(&(n * 1000));
            vector.insert(n as usize * 1000, 0);
        }
        assert_eq!(hash.values().sum::<u64>(), ord.values().sum::<u64>());
        assert_eq!(vector.iter().sum::<u64>(), versions.2.iter().sum::<u64>());
        assert_eq!(hash.union(&versions.0).len() + ord.union(&versions.1).len(), 200_000);
        assert_eq!((hash.diff(&versions.0).count(), ord.diff(&versions.1).count()), (99, 100));
    };
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(run);
    thread.unwrap().join().unwrap();
}
