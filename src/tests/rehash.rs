//! Maps that were stored with the former hash algorithm.

use std::sync::Arc;

use crate::HashMap;
use crate::hash_map::{SeededState, StableBuildHasher};
use crate::storage::MemoryStorage;
use crate::store::{Options, RestoreOptions};

#[test]
fn a_map_of_the_former_algorithm_keeps_it_until_it_is_collected_or_rebuilt() {
    type Words = HashMap<String, u32>;
    let (former, present) = ("fold64-xxh3-1", "fold64-2");
    let mut map: Words = HashMap::with_hasher(SeededState::from_former_seed(5));
    map.extend((0..2000).map(|n| (format!("word {n}"), n)));
    let store = Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    store.checkpoint(&map).unwrap();
    let mut restored: Words = store.latest().unwrap().unwrap();
    assert_eq!(restored.hasher().algorithm(), former);
    assert!(*restored.hasher() == SeededState::from_former_seed(5));
    assert!((0..2000).all(|n| restored[&format!("word {n}")] == n));
    restored.insert("another".to_owned(), 7);
    let id = store.checkpoint(&restored).unwrap().id;
    // Let go of, and read again.
    store.evict(&mut restored, 0).unwrap();
    assert_eq!((restored.get("another"), restored.len()), (Some(&7), 2001));
    restored.check();
    let mut again: Words = store.latest().unwrap().unwrap();
    assert_eq!((again.hasher().algorithm(), again.remove("word 3")), (former, Some(3)));
    assert_eq!(again.diff(&restored).count(), 1);

    let collected: Words = restored.clone().into_iter().collect();
    let rebuilt: Words = store.get(id).unwrap().restore_with(&RestoreOptions::new().rebuild(true)).unwrap();
    for map in [&collected, &rebuilt] {
        map.check();
        assert_eq!(map.hasher().algorithm(), present);
        assert_eq!(*map, restored);
    }
    store.checkpoint(&rebuilt).unwrap();
    assert_eq!(store.latest::<Words>().unwrap().unwrap().hasher().algorithm(), present);
}
