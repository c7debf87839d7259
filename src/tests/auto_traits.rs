//! Every public type has the auto traits of its counterpart in std, and varies as it does.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map, btree_set};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Mutex};

use crate::{Checkpointer, Error, HashMap, HashSet, History, OrdMap, OrdSet, Snapshot, State, Value, Vector};
use crate::{
    checkpointer, hash_map, hash_set, node, ord_map, ord_set, retention, state, storage, store, value, vector,
};

/// True if a type has a trait.
macro_rules! has {
    ($type:ty, $trait:path) => {{
        #[allow(dead_code, reason = "not named where the type has the trait")]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        #[allow(dead_code, reason = "stands for a type")]
        struct Of<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "not named where the trait is missing")]
        impl<T: ?Sized + $trait> Of<T> {
            const HAS: bool = true;
        }
        <Of<$type>>::HAS
    }};
}

/// Asserts while the tests are compiled that each type has the traits that the other one has.
macro_rules! as_std {
    ($($ours:ty => $std:ty),+ $(,)?) => {
        $(
            as_std!(@trait $ours, $std, Send);
            as_std!(@trait $ours, $std, Sync);
            as_std!(@trait $ours, $std, Unpin);
            as_std!(@trait $ours, $std, UnwindSafe);
            as_std!(@trait $ours, $std, RefUnwindSafe);
        )+
    };
    (@trait $ours:ty, $std:ty, $trait:ident) => {
        const _: () = assert!(
            has!($ours, $trait) || !has!($std, $trait),
            concat!(stringify!($ours), " is not ", stringify!($trait), ", as ", stringify!($std), " is")
        );
    };
}

type K = String;
type V = Vec<u8>;
type S = hash_map::SeededState;
type T = Vec<String>;
type Refused = fn(&u8, &u8) -> bool;

as_std!(
    HashMap<K, V> => std::collections::HashMap<K, V>,
    HashSet<K> => std::collections::HashSet<K>,
    OrdMap<K, V> => BTreeMap<K, V>,
    OrdSet<K> => BTreeSet<K>,
    Vector<K> => VecDeque<K>,
    hash_map::Iter<'_, K, V> => std::collections::hash_map::Iter<'_, K, V>,
    hash_map::IterMut<'_, K, V> => std::collections::hash_map::IterMut<'_, K, V>,
    hash_map::IntoIter<K, V> => std::collections::hash_map::IntoIter<K, V>,
    hash_map::IntoKeys<K, V> => std::collections::hash_map::IntoKeys<K, V>,
    hash_map::IntoValues<K, V> => std::collections::hash_map::IntoValues<K, V>,
    hash_map::Keys<'_, K, V> => std::collections::hash_map::Keys<'_, K, V>,
    hash_map::Values<'_, K, V> => std::collections::hash_map::Values<'_, K, V>,
    hash_map::ValuesMut<'_, K, V> => std::collections::hash_map::ValuesMut<'_, K, V>,
    hash_map::TryIter<'_, K, V> => std::collections::hash_map::Iter<'_, K, V>,
    hash_map::Diff<'_, K, V, S> => std::collections::hash_map::Iter<'_, K, V>,
    hash_map::DiffItem<'_, K, V> => (&K, &V),
    hash_map::Entry<'_, K, V, S> => std::collections::hash_map::Entry<'_, K, V>,
    hash_map::OccupiedEntry<'_, K, V, S> => std::collections::hash_map::OccupiedEntry<'_, K, V>,
    hash_map::VacantEntry<'_, K, V, S> => std::collections::hash_map::VacantEntry<'_, K, V>,
    hash_map::ExtractIf<'_, u8, u8, S, Refused> => std::collections::hash_map::ExtractIf<'_, u8, u8, Refused>,
    hash_map::SeededState => std::hash::RandomState,
    hash_map::SeededHasher => std::hash::DefaultHasher,
    hash_map::SeedAccess => u64,
    hash_set::Iter<'_, K> => std::collections::hash_set::Iter<'_, K>,
    hash_set::IntoIter<K> => std::collections::hash_set::IntoIter<K>,
    hash_set::TryIter<'_, K> => std::collections::hash_set::Iter<'_, K>,
    hash_set::ExtractIf<'_, u8, S, fn(&u8) -> bool> => std::collections::hash_set::ExtractIf<'_, u8, fn(&u8) -> bool>,
    ord_map::Iter<'_, K, V> => btree_map::Iter<'_, K, V>,
    ord_map::IterMut<'_, K, V> => btree_map::IterMut<'_, K, V>,
    ord_map::IntoIter<K, V> => btree_map::IntoIter<K, V>,
    ord_map::IntoKeys<K, V> => btree_map::IntoKeys<K, V>,
    ord_map::IntoValues<K, V> => btree_map::IntoValues<K, V>,
    ord_map::Keys<'_, K, V> => btree_map::Keys<'_, K, V>,
    ord_map::Values<'_, K, V> => btree_map::Values<'_, K, V>,
    ord_map::ValuesMut<'_, K, V> => btree_map::ValuesMut<'_, K, V>,
    ord_map::Range<'_, K, V> => btree_map::Range<'_, K, V>,
    ord_map::RangeMut<'_, K, V> => btree_map::RangeMut<'_, K, V>,
    ord_map::TryIter<'_, K, V> => btree_map::Iter<'_, K, V>,
    ord_map::Diff<'_, K, V> => btree_map::Iter<'_, K, V>,
    ord_map::Entry<'_, K, V> => btree_map::Entry<'_, K, V>,
    ord_map::OccupiedEntry<'_, K, V> => btree_map::OccupiedEntry<'_, K, V>,
    ord_map::VacantEntry<'_, K, V> => btree_map::VacantEntry<'_, K, V>,
    ord_map::ExtractIf<'_, u8, u8, Refused> => btree_map::IterMut<'_, u8, u8>,
    ord_set::Iter<'_, K> => btree_set::Iter<'_, K>,
    ord_set::Range<'_, K> => btree_set::Range<'_, K>,
    ord_set::IntoIter<K> => btree_set::IntoIter<K>,
    ord_set::TryIter<'_, K> => btree_set::Iter<'_, K>,
    ord_set::ExtractIf<'_, u8, fn(&u8) -> bool> => std::collections::hash_set::ExtractIf<'_, u8, fn(&u8) -> bool>,
    vector::Iter<'_, K> => std::slice::Iter<'_, K>,
    vector::IterMut<'_, K> => std::slice::IterMut<'_, K>,
    vector::RangeMut<'_, K> => std::slice::IterMut<'_, K>,
    vector::IntoIter<K> => std::vec::IntoIter<K>,
    vector::Chunks<'_, K> => std::slice::Chunks<'_, K>,
    vector::ChunksOf<'_, K> => std::slice::Chunks<'_, K>,
    vector::Windows<'_, K> => std::slice::Windows<'_, K>,
    vector::ChunkBy<'_, u8, Refused> => std::slice::ChunkBy<'_, u8, Refused>,
    vector::Focus<'_, K> => &[K],
    vector::TryIter<'_, K> => std::slice::Iter<'_, K>,
    vector::Diff<'_, K> => std::slice::Iter<'_, K>,
    vector::DiffItem<'_, K> => (usize, &K),
    vector::CursorMut<'_, K> => std::slice::IterMut<'_, K>,
    vector::ExtractIf<'_, u8, fn(&u8) -> bool> => std::slice::IterMut<'_, u8>,
);

as_std!(
    State<T> => Mutex<T>,
    Snapshot<T> => Arc<T>,
    state::Guard<T> => std::sync::MutexGuard<'_, T>,
    History<T> => Vec<T>,
    state::Entry<T> => Vec<T>,
    state::Depth => u64,
    store::Store => std::fs::File,
    store::Options => u64,
    store::Checkpoint => Vec<u8>,
    store::CheckpointId => u64,
    store::CheckpointOptions => u64,
    store::Stats => u64,
    store::WriteStats => u64,
    store::Durability => u64,
    store::Compression => u64,
    store::Backup => u64,
    store::CompactionReport => u64,
    store::DiskFootprint => u64,
    store::Usage => u64,
    store::RetentionReport => Vec<u8>,
    store::MigrationReport => u64,
    store::Migrator => std::rc::Rc<std::cell::RefCell<u64>>,
    store::SalvageReport => Vec<std::io::Error>,
    store::Progress => u64,
    store::VerifyReport => Vec<std::io::Error>,
    store::ScrubReport => Vec<std::io::Error>,
    store::Damage => std::io::Error,
    store::RestoreOptions => u64,
    store::CheckpointView<'_> => u64,
    store::Checkpoints => u64,
    store::CommitBuilder<'_> => Box<dyn FnMut(u64)>,
    store::Location<'_> => Box<dyn FnMut(u64)>,
    store::VerifyOptions<'_> => Box<dyn FnMut(u64)>,
    Value => Vec<V>,
    value::Number => u64,
    Error => std::io::Error,
    crate::record::Address => u64,
    crate::record::CheckpointId => u64,
    node::MemoryFootprint => u64,
    node::Meter => Vec<u8>,
    node::EvictReport => u64,
    node::Eviction<'_> => std::fmt::Formatter<'_>,
    Checkpointer => std::thread::JoinHandle<()>,
    checkpointer::Options => u64,
    checkpointer::Overflow => u64,
    checkpointer::Durability => u64,
    checkpointer::Stats => Option<Arc<std::io::Error>>,
    checkpointer::Trigger => u64,
    checkpointer::Saved => std::io::Error,
    checkpointer::Ticket => std::thread::JoinHandle<()>,
    checkpointer::Step => u64,
    checkpointer::Workers => std::sync::Barrier,
    checkpointer::Worker<T> => Arc<Mutex<T>>,
    retention::Retention => u64,
    retention::Every => u64,
    retention::Moment<'_> => &u64,
    storage::FileStorage => std::fs::File,
    storage::MemoryStorage => Mutex<T>,
    storage::SimStorage => Mutex<T>,
    storage::CrashPoint => Mutex<T>,
    storage::Fate => u64,
    storage::Fault => u64,
    storage::Identity => u64,
    storage::Lock => Box<dyn std::any::Any + Send + Sync>,
);

#[cfg(feature = "rayon")]
as_std!(
    crate::features::rayon::ParIter<'_, Vector<K>> => std::slice::Iter<'_, K>,
    crate::features::rayon::ParEntries<'_, K, V> => std::slice::Iter<'_, K>,
);

#[cfg(feature = "json")]
as_std!(value::NotJson => std::io::Error);

#[test]
fn no_public_type_is_left_out() {
    let here = include_str!("auto_traits.rs");
    let mut looked_at = 0;
    let mut rooms = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(room) = rooms.pop() {
        for entry in std::fs::read_dir(&room).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["tests", "internals", "docs"].contains(&&name[..]) {
                    rooms.push(path);
                }
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") || name == "internals.rs" {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let below = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
            let room = match below.iter().next().unwrap().to_str().unwrap() {
                "features" => "rayon",
                "log" => "store",
                room => room.trim_end_matches(".rs"),
            };
            let types = text.lines().filter_map(|line| {
                let rest = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))?;
                rest.split(|letter: char| !letter.is_alphanumeric()).next()
            });
            for name in types {
                looked_at += 1;
                let parts = [format!("{room}::{name}"), format!("    {name}")];
                let is_here = parts.iter().flat_map(|part| [format!("{part}<"), format!("{part} =>")]);
                assert!(
                    is_here.into_iter().any(|part| here.contains(&part)),
                    "{room}::{name} is not asserted"
                );
            }
        }
    }
    assert!(looked_at > 70, "{looked_at} types");
}

/// Asserts while the tests are compiled that what holds items or borrows for longer may stand where less is asked for.
macro_rules! covariant {
    ($(map $($map:ident)::+;)* $(of $($of:ident)::+;)* $(map_iter $($map_iter:ident)::+;)* $(iter $($iter:ident)::+;)*) => {
        $(const _: for<'a> fn(&'a (), $($map)::+<&'static str, &'static str>) -> $($map)::+<&'a str, &'a str> = |_, long| long;)*
        $(const _: for<'a> fn(&'a (), $($of)::+<&'static str>) -> $($of)::+<&'a str> = |_, long| long;)*
        $(const _: for<'a> fn(
            &'a (),
            $($map_iter)::+<'static, &'static str, &'static str>,
        ) -> $($map_iter)::+<'a, &'a str, &'a str> = |_, long| long;)*
        $(const _: for<'a> fn(&'a (), $($iter)::+<'static, &'static str>) -> $($iter)::+<'a, &'a str> = |_, long| long;)*
    };
}

type HashDiff<'a, K, V> = hash_map::Diff<'a, K, V, S>;

covariant! {
    map HashMap; map OrdMap;
    map hash_map::IntoIter; map hash_map::IntoKeys; map hash_map::IntoValues;
    map ord_map::IntoIter; map ord_map::IntoKeys; map ord_map::IntoValues;
    of HashSet; of OrdSet; of Vector; of Snapshot; of state::Entry; of History;
    of hash_set::IntoIter; of ord_set::IntoIter; of vector::IntoIter;
    map_iter hash_map::Iter; map_iter hash_map::Keys; map_iter hash_map::Values; map_iter hash_map::TryIter;
    map_iter hash_map::DiffItem; map_iter HashDiff;
    map_iter ord_map::Iter; map_iter ord_map::Keys; map_iter ord_map::Values; map_iter ord_map::TryIter;
    map_iter ord_map::Range; map_iter ord_map::Diff;
    iter hash_set::Iter; iter ord_set::Iter; iter ord_set::Range;
    iter hash_set::TryIter; iter ord_set::TryIter; iter vector::Focus; iter vector::Windows; iter vector::ChunksOf;
    iter vector::Iter; iter vector::Chunks; iter vector::TryIter; iter vector::Diff; iter vector::DiffItem;
}

/// Values that live longer go where shorter ones are asked for.
#[test]
fn what_std_lets_be_shortened_can_be() {
    type Long = &'static str;
    fn map<'a>(long: HashMap<Long, Long>) -> HashMap<&'a str, &'a str> {
        long
    }
    fn set<'a>(long: HashSet<Long>) -> HashSet<&'a str> {
        long
    }
    fn ord<'a>(long: OrdMap<Long, Long>) -> OrdMap<&'a str, &'a str> {
        long
    }
    fn ord_set<'a>(long: OrdSet<Long>) -> OrdSet<&'a str> {
        long
    }
    fn vector<'a>(long: Vector<Long>) -> Vector<&'a str> {
        long
    }
    fn snapshot<'a>(long: Snapshot<Long>) -> Snapshot<&'a str> {
        long
    }
    fn iters<'a, 'b>(
        long: (hash_map::Iter<'a, Long, Long>, ord_map::Iter<'a, Long, Long>, vector::Iter<'a, Long>),
    ) -> (hash_map::Iter<'a, &'b str, &'b str>, ord_map::Iter<'a, &'b str, &'b str>, vector::Iter<'a, &'b str>)
    {
        long
    }
    fn owned<'a>(
        long: (hash_map::IntoIter<Long, Long>, ord_map::IntoIter<Long, Long>, vector::IntoIter<Long>),
    ) -> (hash_map::IntoIter<&'a str, &'a str>, ord_map::IntoIter<&'a str, &'a str>, vector::IntoIter<&'a str>)
    {
        long
    }
    let (hash, sorted, items) =
        (HashMap::from([("a", "b")]), OrdMap::from([("a", "b")]), Vector::from(["a"]));
    let short = iters((hash.iter(), sorted.iter(), items.iter()));
    assert_eq!((short.0.count(), short.1.count(), short.2.count()), (1, 1, 1));
    let short = owned((hash.clone().into_iter(), sorted.clone().into_iter(), items.clone().into_iter()));
    assert_eq!((short.0.count(), short.1.count(), short.2.count()), (1, 1, 1));
    // A key that lives for less is hashed and dropped as one.
    let word = String::from("c");
    let mut shorter = map(hash);
    shorter.insert(&word, "d");
    assert_eq!(shorter.into_iter().count(), 2);
    assert_eq!((ord(sorted).len(), vector(items).len()), (1, 1));
    assert_eq!((set(HashSet::from(["a"])).len(), ord_set(OrdSet::from(["a"])).len()), (1, 1));
    let state = State::new("long");
    let kept = snapshot(state.snapshot());
    state.replace("other");
    assert_eq!((*kept, kept.clone().into_inner()), ("long", "long"));
}

#[test]
fn owned_entries_go_to_another_thread() {
    let hash: HashMap<u32, String> = (0..100).map(|n| (n, n.to_string())).collect();
    let ord: OrdMap<u32, String> = (0..100).map(|n| (n, n.to_string())).collect();
    let (mut from_hash, mut from_ord) = (hash.into_iter(), ord.into_iter());
    assert!(from_hash.next().is_some() && from_ord.next().is_some() && from_ord.next_back().is_some());
    let left = std::thread::spawn(move || (from_hash.count(), from_ord.count())).join().unwrap();
    assert_eq!(left, (99, 98));
}
