//! Checkpointing and serde of the hash map, and the part of it that the hash set shares.
//!
//! What a record holds of a map, beside the address of its root node: number of entries, leaf capacity, seed (8
//! bytes), name of the hash algorithm (of the map's own: the present one or the former).

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::node::{self, MapNode, Prefix, ROOT, Tree};
use super::order::ties_of;
use super::{HashMap, SeedAccess, StableBuildHasher};
use crate::codec::{self, FlushContext};
use crate::error::{Error, Result};
use crate::node::flush;
use crate::node::load;
use crate::node::{Chain, Evict, Eviction, Source};
use crate::record::Place;
use crate::record::varint;
use crate::record::{Address, RecordReader};
use crate::schema::Collection;

/// Writes what changed of a map's tree; what the enclosing record holds of it.
pub(crate) fn save<K, V, S>(map: &HashMap<K, V, S>, save: &Rc<FlushContext>) -> Result<codec::Root>
where
    K: Serialize,
    V: Serialize,
    S: StableBuildHasher,
{
    let address = flush::<(K, V), Prefix>(&map.tree, ROOT, save)?;
    let mut meta = Vec::with_capacity(32);
    varint::push(&mut meta, map.len as u64);
    varint::push(&mut meta, u64::from(map.leaf_capacity));
    meta.extend(map.hash_builder.seed(SeedAccess::OF_STORE).to_le_bytes());
    meta.extend(map.hash_builder.algorithm().as_bytes());
    Ok(codec::Root::of_tree(address, meta))
}

impl<K: Serialize, V: Serialize, S: StableBuildHasher> Serialize for HashMap<K, V, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        codec::serialize_collection(serializer, Collection::HashMap, |to: &_| save(self, to), Plain(self))
    }
}

/// The map as every other format sees it.
struct Plain<'a, K, V, S>(&'a HashMap<K, V, S>);

impl<K: Serialize, V: Serialize, S> Serialize for Plain<'_, K, V, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_map(self.0)
    }
}

impl<'de, K, V, S> Deserialize<'de> for HashMap<K, V, S>
where
    K: DeserializeOwned + Hash + Eq + Clone,
    V: DeserializeOwned + Clone,
    S: StableBuildHasher + Default,
{
    /// Restores from a checkpoint in **O(1)** (nodes load on first touch), or reads an ordinary map.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        codec::deserialize_collection(deserializer, Collection::HashMap, restore, Entries(PhantomData))
    }
}

struct Entries<K, V, S>(PhantomData<(K, V, S)>);

impl<'de, K, V, S> Visitor<'de> for Entries<K, V, S>
where
    K: Deserialize<'de> + Hash + Eq + Clone,
    V: Deserialize<'de> + Clone,
    S: BuildHasher + Default,
{
    type Value = HashMap<K, V, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = HashMap::default();
        while let Some((key, value)) = access.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// Makes a map of what a record says of it.
pub(crate) fn restore<K, V, S>(root: codec::Root, backing: &Arc<dyn RecordReader>) -> Result<HashMap<K, V, S>>
where
    K: DeserializeOwned + Hash + Eq + Clone,
    V: DeserializeOwned + Clone,
    S: StableBuildHasher,
{
    let bad = |reason: &str| Error::Decode {
        address: root.addresses[0].unwrap_or(Address::from_bits(0)),
        type_name: std::any::type_name::<HashMap<K, V, S>>(),
        reason: reason.to_owned(),
    };
    let mut meta = &root.meta[..];
    let mut number = || varint::take(&mut meta).ok_or_else(|| bad("the root of the map is cut short"));
    let (len, leaf_capacity) = (number()?, number()?);
    let (seed, algorithm) =
        meta.split_first_chunk().ok_or_else(|| bad("the root of the map is cut short"))?;
    let rebuilds = backing.rebuilds();
    let is_former = S::FORMER_ALGORITHM.is_some_and(|former| algorithm == former.as_bytes());
    if algorithm != S::ALGORITHM.as_bytes() && !is_former && !rebuilds {
        let address = root.addresses[0].unwrap_or(Address::from_bits(0));
        return Err(Error::HashChanged { type_name: std::any::type_name::<K>(), address });
    }
    let leaf_capacity = u32::try_from(leaf_capacity).ok().filter(|capacity| (1..=1024).contains(capacity));
    let leaf_capacity = leaf_capacity.ok_or_else(|| bad("no leaf capacity between 1 and 1024"))?;
    if (len == 0) != root.addresses[0].is_none() {
        return Err(bad("its length does not fit its root"));
    }
    let seed = u64::from_le_bytes(*seed);
    let tree = match root.addresses[0] {
        None => Tree::empty(),
        Some(address) => {
            let decode = match is_former {
                _ if rebuilds => load_anywhere::<K, V, S>,
                true => load_node::<K, V, S, true>,
                false => load_node::<K, V, S, false>,
            };
            Tree::lazy(Arc::new(Source { backing: Arc::clone(backing), context: seed, decode }), address)
        }
    };
    let hash_builder = if is_former { S::from_former_seed(seed) } else { S::from_seed(seed) };
    let found = HashMap { tree, len: len as usize, leaf_capacity, hash_builder, ties: ties_of() };
    if !rebuilds {
        return Ok(found);
    }
    let mut rebuilt = HashMap::with_hasher(S::from_seed(seed));
    for entry in found.try_iter()? {
        let (key, value) = entry?;
        rebuilt.insert(key.clone(), value.clone());
    }
    if rebuilt.len != found.len {
        return Err(bad("it has not as many keys that differ as it had"));
    }
    Ok(rebuilt)
}

/// Loads a node without asking where its keys belong: they are on their way into another map.
fn load_anywhere<K, V, S>(
    backing: &Arc<dyn RecordReader>,
    seed: u64,
    chain: &Chain,
    place: Place,
) -> Result<MapNode<K, V>>
where
    K: DeserializeOwned + Hash,
    V: DeserializeOwned,
    S: StableBuildHasher,
{
    let hasher = S::from_seed(seed);
    load(backing, chain, place, |entry: &(K, V)| Ok(node::tag_of(hasher.hash_one(&entry.0))))
}

/// Loads a node; every key of a leaf must lie where its hash puts it (invariant 8). `FORMER` says by which algorithm.
fn load_node<K, V, S, const FORMER: bool>(
    backing: &Arc<dyn RecordReader>,
    seed: u64,
    chain: &Chain,
    place: Place,
) -> Result<MapNode<K, V>>
where
    K: DeserializeOwned + Hash,
    V: DeserializeOwned,
    S: StableBuildHasher,
{
    let hasher = if FORMER { S::from_former_seed(seed) } else { S::from_seed(seed) };
    load(backing, chain, place, |entry: &(K, V)| {
        let hash = hasher.hash_one(&entry.0);
        if node::lies_under(hash, place) {
            Ok(node::tag_of(hash))
        } else {
            Err(Error::HashChanged { type_name: std::any::type_name::<K>(), address: chain.address() })
        }
    })
}

impl<K, V, S> HashMap<K, V, S> {
    /// Tells the meter of everything in memory that this holds, and `each` of the entries of nodes that the meter did not know,
    /// so that it can tell of what these hold: see [`Footprint`](crate::footprint::Footprint). Nothing is loaded.
    ///
    /// ```
    /// use perennial::footprint::{Footprint, Meter, footprint};
    /// use perennial::{HashMap, Vector};
    ///
    /// struct World(HashMap<u32, Vector<u64>>);
    /// impl Footprint for World {
    ///     fn measure(&self, meter: &mut Meter) {
    ///         self.0.measure_with(meter, |meter, _, items| items.measure(meter));
    ///     }
    /// }
    /// let items: Vector<u64> = (0..10_000).collect();
    /// let world = World(HashMap::from([(1, items)]));
    /// assert!(footprint(&[world]).total_bytes > 80_000);
    /// ```
    pub fn measure_with(
        &self,
        meter: &mut crate::node::Meter,
        mut each: impl FnMut(&mut crate::node::Meter, &K, &V),
    ) {
        crate::node::measure_with(&self.tree, meter, &mut |meter, (key, value)| each(meter, key, value));
    }
}

impl<K, V, S> crate::node::Footprint for HashMap<K, V, S> {
    fn measure(&self, meter: &mut crate::node::Meter) {
        crate::node::measure(&self.tree, meter);
    }
}

impl<K, V, S> Evict for HashMap<K, V, S>
where
    K: DeserializeOwned + Hash,
    V: DeserializeOwned,
    S: StableBuildHasher,
{
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        let decode = match self.hash_builder.algorithm() == S::ALGORITHM {
            true => load_node::<K, V, S, false>,
            false => load_node::<K, V, S, true>,
        };
        eviction.tree(&mut self.tree, self.hash_builder.seed(SeedAccess::OF_STORE), decode);
    }
}
