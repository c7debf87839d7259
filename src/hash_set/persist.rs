//! Checkpointing and serde of the hash set.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::HashSet;
use crate::codec;
use crate::hash_map::{StableBuildHasher, persist};
use crate::schema::Collection;

impl<T: Serialize, S: StableBuildHasher> Serialize for HashSet<T, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let save = |to: &_| persist::save(&self.map, to);
        codec::serialize_collection(serializer, Collection::HashSet, save, Plain(self))
    }
}

/// The set as every other format sees it.
struct Plain<'a, T, S>(&'a HashSet<T, S>);

impl<T: Serialize, S> Serialize for Plain<'_, T, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self.0)
    }
}

impl<'de, T, S> Deserialize<'de> for HashSet<T, S>
where
    T: DeserializeOwned + Hash + Eq + Clone,
    S: StableBuildHasher + Default,
{
    /// Restores from a checkpoint in **O(1)** (nodes load on first touch), or reads an ordinary sequence.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let restore = |root, backing: &_| Ok(Self { map: persist::restore(root, backing)? });
        codec::deserialize_collection(deserializer, Collection::HashSet, restore, Items(PhantomData))
    }
}

struct Items<T, S>(PhantomData<(T, S)>);

impl<'de, T, S> Visitor<'de> for Items<T, S>
where
    T: Deserialize<'de> + Hash + Eq + Clone,
    S: BuildHasher + Default,
{
    type Value = HashSet<T, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut set = HashSet::default();
        while let Some(item) = access.next_element()? {
            set.insert(item);
        }
        Ok(set)
    }
}

impl<T, S> HashSet<T, S> {
    /// Tells the meter of everything in memory that this holds, and `each` of the items of nodes that the meter did not know,
    /// so that it can tell of what these hold: see [`Footprint`](crate::footprint::Footprint). Nothing is loaded.
    ///
    /// ```
    /// use perennial::footprint::{Footprint, Meter, footprint};
    /// use perennial::{HashSet, Vector};
    ///
    /// struct World(HashSet<Vector<u64>>);
    /// impl Footprint for World {
    ///     fn measure(&self, meter: &mut Meter) {
    ///         self.0.measure_with(meter, |meter, items| items.measure(meter));
    ///     }
    /// }
    /// let items: Vector<u64> = (0..10_000).collect();
    /// let world = World(HashSet::from([items]));
    /// assert!(footprint(&[world]).total_bytes > 80_000);
    /// ```
    pub fn measure_with(
        &self,
        meter: &mut crate::node::Meter,
        mut each: impl FnMut(&mut crate::node::Meter, &T),
    ) {
        self.map.measure_with(meter, |meter, item, ()| each(meter, item));
    }
}

impl<T, S> crate::node::Footprint for HashSet<T, S> {
    fn measure(&self, meter: &mut crate::node::Meter) {
        self.map.measure(meter);
    }
}

impl<T: DeserializeOwned + Hash, S: StableBuildHasher> crate::node::Evict for HashSet<T, S> {
    fn evict(&mut self, eviction: &mut crate::node::Eviction<'_>) {
        self.map.evict(eviction);
    }
}
