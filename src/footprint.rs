//! How much memory versions take: in all, shared between them, and each alone; and taking less.
//!
//! [`Store::evict`](crate::store::Store::evict) lets go of nodes that can be loaded again.
//! What checkpoints take on disk is [`Store::disk_footprint`](crate::store::Store::disk_footprint).

pub use crate::node::{
    Evict, EvictReport, Eviction, Footprint, MemoryFootprint, Meter, footprint, resident_bytes,
};
use crate::{Snapshot, State};

impl<T: Footprint> Footprint for Snapshot<T> {
    fn measure(&self, meter: &mut Meter) {
        (**self).measure(meter);
    }
}

impl<T: Footprint> Footprint for State<T> {
    /// The current version.
    fn measure(&self, meter: &mut Meter) {
        self.load().measure(meter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashMap, OrdMap, Vector};

    #[test]
    fn unique_bytes_are_what_is_freed_when_one_goes() {
        let mut versions = vec![(0..5000u32).map(|n| (n, u64::from(n))).collect::<OrdMap<_, _>>()];
        for n in 0..20 {
            let mut next = versions[n].clone();
            next.extend((0..50).map(|i| ((i * 97 + n as u32 * 31) % 6000, 1)));
            versions.push(next);
        }
        let all = footprint(&versions);
        assert_eq!(all.total_bytes, all.shared_bytes + all.unique_bytes.iter().sum::<u64>());
        for n in 0..versions.len() {
            let mut others = versions.clone();
            others.remove(n);
            assert_eq!(footprint(&others).total_bytes + all.unique_bytes[n], all.total_bytes, "version {n}");
        }
        assert_eq!(footprint(&[&versions[3], &versions[3]]).unique_bytes, [0, 0]);
    }

    #[test]
    fn what_is_counted_is_what_was_allocated() {
        /// Of two versions that share almost everything.
        fn counted<T: Clone + Footprint, R>(make: impl FnOnce() -> T, change: impl FnOnce(&mut T) -> R) {
            let mut versions = None;
            let memory = allocation_counter::measure(|| {
                let before = make();
                let mut after = before.clone();
                change(&mut after);
                versions = Some([before, after]);
            });
            let found = footprint(&versions.unwrap());
            assert_eq!(found.total_bytes, memory.bytes_current as u64);
            assert!(found.shared_bytes > 10 * found.unique_bytes[1], "{found:?}");
        }
        counted(|| (0..10_000u64).map(|n| (n, n)).collect::<OrdMap<_, _>>(), |map| map.insert(7, 0));
        let wide = |n: u64| [n, n];
        counted(|| (0..10_000).map(|n| (wide(n), n)).collect::<OrdMap<_, _>>(), |map| map.insert([7; 2], 0));
        counted(|| (0..10_000u64).map(|n| (n, n)).collect::<HashMap<_, _>>(), |map| map.insert(7, 0));
        counted(|| (0..10_000u64).collect::<Vector<_>>(), |vector| vector[5000] = 0);
    }

    #[cfg(feature = "store")]
    #[test]
    fn what_is_not_loaded_takes_no_memory() {
        use std::sync::Arc;

        use crate::storage::MemoryStorage;
        use crate::store::Options;

        let store = Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap();
        let whole = (
            (0..20_000u64).map(|n| (n, n)).collect::<HashMap<_, _>>(),
            (0..20_000u64).collect::<Vector<_>>(),
        );
        store.checkpoint(&whole).unwrap();
        let restored: (HashMap<u64, u64>, Vector<u64>) = store.latest().unwrap().unwrap();
        assert_eq!((resident_bytes(&restored.0), resident_bytes(&restored.1)), (0, 0));
        assert_eq!(restored.0.get(&7), Some(&7));
        let few = resident_bytes(&restored.0);
        assert!(few > 0 && few < resident_bytes(&whole.0) / 20, "{few}");
        restored.0.load_all().unwrap();
        assert!(resident_bytes(&restored.0) > 20_000 * 16);
        let state = State::new(restored.0);
        assert_eq!(resident_bytes(&state), resident_bytes(&state.snapshot()));
    }
}
