//! Checkpointing and serde of the ordered map, and the part of it that the ordered set shares.
//!
//! What a record holds of either, beside the address of its root node: number of entries, height of the tree, capacity
//! of a leaf.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::OrdMap;
use super::node::{Leaf, Link, Order};
use super::tree::Tree;
use crate::codec::{self, FlushContext};
use crate::error::{Error, Result};
use crate::node::flush;
use crate::node::load;
use crate::node::{BranchLayout, Chain, Evict, Eviction, MAX_DEPTH, NodeRef, Root, Source};
use crate::record::Place;
use crate::record::varint;
use crate::record::{Address, RecordReader};
use crate::schema::Collection;

/// Writes what changed of a map's tree; what the enclosing record holds of it.
pub(crate) fn save<K: Serialize, V: Serialize>(
    map: &OrdMap<K, V>,
    save: &Rc<FlushContext>,
) -> Result<codec::Root> {
    let tree = &map.tree;
    let address = flush::<(K, V), Order<K>>(&tree.root, tree.place(), save)?;
    let mut meta = Vec::with_capacity(16);
    for number in [tree.len, usize::from(tree.height), Leaf::<(K, V)>::CAPACITY] {
        varint::push(&mut meta, number as u64);
    }
    Ok(codec::Root::of_tree(address, meta))
}

/// Makes a map of what a record says of it.
pub(crate) fn restore<K, V>(root: codec::Root, backing: &Arc<dyn RecordReader>) -> Result<OrdMap<K, V>>
where
    K: DeserializeOwned + Ord + Clone,
    V: DeserializeOwned + Clone,
{
    let bad = |reason: &str| Error::Decode {
        address: root.addresses[0].unwrap_or(Address::from_bits(0)),
        type_name: std::any::type_name::<OrdMap<K, V>>(),
        reason: reason.to_owned(),
    };
    let mut meta = &root.meta[..];
    let mut number = || varint::take(&mut meta).ok_or_else(|| bad("the root of the map is cut short"));
    let (len, height, capacity) = (number()?, number()?, number()?);
    // The type may have grown, or the layout of its parts have changed: the entries then go into leaves of this type.
    let converts = capacity != Leaf::<(K, V)>::CAPACITY as u64 || backing.rebuilds();
    if capacity > MAX_CAPACITY {
        return Err(bad(&format!("leaves of {capacity} entries")));
    }
    if (len == 0) != root.addresses[0].is_none() || height > MAX_DEPTH as u64 {
        return Err(bad("its length and height do not fit its root"));
    }
    let root = match root.addresses[0] {
        None => Root::empty(),
        Some(address) => {
            let decode = if converts { load_anywhere::<K, V> } else { load_node::<K, V> };
            Root::lazy(Arc::new(Source { backing: Arc::clone(backing), context: 0, decode }), address)
        }
    };
    let found = OrdMap { tree: Tree { root, len: len as usize, height: height as u8 } };
    if !converts {
        return Ok(found);
    }
    let mut entries = Vec::new();
    for entry in found.try_iter()? {
        let (key, value) = entry?;
        entries.push((key.clone(), value.clone()));
    }
    Ok(entries.into())
}

/// No type has leaves of more entries.
const MAX_CAPACITY: u64 = 1 << 16;

/// Loads a node whose entries are on their way into another map.
fn load_anywhere<K, V>(
    backing: &Arc<dyn RecordReader>,
    _: u64,
    chain: &Chain,
    place: Place,
) -> Result<Link<K, V>>
where
    K: DeserializeOwned + Ord,
    V: DeserializeOwned,
{
    load::<(K, V), Order<K>>(backing, chain, place, |_| Ok(0))
}

/// Loads a node; its keys must ascend (invariant 8, for an order instead of a hash).
fn load_node<K, V>(backing: &Arc<dyn RecordReader>, _: u64, chain: &Chain, place: Place) -> Result<Link<K, V>>
where
    K: DeserializeOwned + Ord,
    V: DeserializeOwned,
{
    let node = load::<(K, V), Order<K>>(backing, chain, place, |_| Ok(0))?;
    let ascend = match node.as_ref() {
        NodeRef::Branch(branch) => branch.extra.keys().is_sorted_by(|one, two| one < two),
        NodeRef::Leaf(leaf) => {
            let len = leaf.len();
            if len > Leaf::<(K, V)>::CAPACITY {
                return Err(Error::Decode {
                    address: chain.address(),
                    type_name: std::any::type_name::<OrdMap<K, V>>(),
                    reason: format!("a leaf of {len} entries"),
                });
            }
            leaf.items(false).is_sorted_by(|one, two| one.0 < two.0)
        }
    };
    match ascend {
        true => Ok(node),
        false => Err(Error::OrderChanged { type_name: std::any::type_name::<K>(), address: chain.address() }),
    }
}

impl<K: Serialize, V: Serialize> Serialize for OrdMap<K, V> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        codec::serialize_collection(serializer, Collection::OrdMap, |to: &_| save(self, to), Plain(self))
    }
}

/// The map as every other format sees it.
struct Plain<'a, K, V>(&'a OrdMap<K, V>);

impl<K: Serialize, V: Serialize> Serialize for Plain<'_, K, V> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_map(self.0)
    }
}

impl<'de, K, V> Deserialize<'de> for OrdMap<K, V>
where
    K: DeserializeOwned + Ord + Clone,
    V: DeserializeOwned + Clone,
{
    /// Restores from a checkpoint in **O(1)** (nodes load on first touch), or reads an ordinary map.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        codec::deserialize_collection(deserializer, Collection::OrdMap, restore, Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Entries<K, V>
where
    K: Deserialize<'de> + Ord + Clone,
    V: Deserialize<'de>,
{
    type Value = OrdMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(entries.into())
    }
}

impl<K, V> OrdMap<K, V> {
    /// Tells the meter of everything in memory that this holds, and `each` of the entries of nodes that the meter did not know,
    /// so that it can tell of what these hold: see [`Footprint`](crate::footprint::Footprint). Nothing is loaded.
    ///
    /// ```
    /// use perennial::footprint::{Footprint, Meter, footprint};
    /// use perennial::{OrdMap, Vector};
    ///
    /// struct World(OrdMap<u32, Vector<u64>>);
    /// impl Footprint for World {
    ///     fn measure(&self, meter: &mut Meter) {
    ///         self.0.measure_with(meter, |meter, _, items| items.measure(meter));
    ///     }
    /// }
    /// let items: Vector<u64> = (0..10_000).collect();
    /// let world = World(OrdMap::from([(1, items)]));
    /// assert!(footprint(&[world]).total_bytes > 80_000);
    /// ```
    pub fn measure_with(
        &self,
        meter: &mut crate::node::Meter,
        mut each: impl FnMut(&mut crate::node::Meter, &K, &V),
    ) {
        crate::node::measure_with(&self.tree.root, meter, &mut |meter, (key, value)| each(meter, key, value));
    }
}

impl<K, V> crate::node::Footprint for OrdMap<K, V> {
    fn measure(&self, meter: &mut crate::node::Meter) {
        crate::node::measure(&self.tree.root, meter);
    }
}

impl<K: DeserializeOwned + Ord + Clone, V: DeserializeOwned> Evict for OrdMap<K, V> {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        eviction.tree(&mut self.tree.root, 0, load_node::<K, V>);
    }
}
