//! Checkpointing and serde of the vector.
//!
//! What a record holds of a vector, beside the addresses of its head, tree and tail: their lengths, the height of the
//! tree, the capacity of a leaf.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::foreign::Foreign;
use super::node::{Counts, Leaf, Link};
use super::tree::Tree;
use super::{Vector, leaf_place};
use crate::codec;
use crate::error::{Error, Result};
use crate::node::flush;
use crate::node::load;
use crate::node::{Chain, Evict, Eviction, Root, Source};
use crate::record::Place;
use crate::record::varint;
use crate::record::{Address, RecordReader};
use crate::schema::Collection;

/// Higher than any tree that fits in memory.
const MAX_HEIGHT: u64 = 16;

impl<T: Serialize> Serialize for Vector<T> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let flush = |save: &_| {
            let addresses = [
                flush(&self.head, leaf_place(self.head_len), save)?,
                flush(&self.tree.root, self.tree.place(), save)?,
                flush(&self.tail, leaf_place(self.tail_len), save)?,
            ];
            let mut meta = Vec::with_capacity(16);
            let height = usize::from(self.tree.height);
            for number in [self.head_len, self.tree.len, self.tail_len, height, Leaf::<T>::CAPACITY] {
                varint::push(&mut meta, number as u64);
            }
            Ok(codec::Root { addresses, meta })
        };
        codec::serialize_collection(serializer, Collection::Vector, flush, Plain(self))
    }
}

/// The vector as every other format sees it.
struct Plain<'a, T>(&'a Vector<T>);

impl<T: Serialize> Serialize for Plain<'_, T> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self.0)
    }
}

impl<'de, T: DeserializeOwned + Clone> Deserialize<'de> for Vector<T> {
    /// Restores from a checkpoint in **O(1)** (nodes load on first touch), or reads an ordinary sequence.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        codec::deserialize_collection(deserializer, Collection::Vector, restore, Items(PhantomData))
    }
}

struct Items<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Clone> Visitor<'de> for Items<T> {
    type Value = Vector<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vector<T>, A::Error> {
        let mut vector = Vector::new();
        while let Some(item) = access.next_element()? {
            vector.push_back(item);
        }
        Ok(vector)
    }
}

/// Makes a vector of what a record says of it.
fn restore<T: DeserializeOwned + Clone>(
    root: codec::Root,
    backing: &Arc<dyn RecordReader>,
) -> Result<Vector<T>> {
    let bad = |reason: &str| Error::Decode {
        address: root.addresses.iter().flatten().next().copied().unwrap_or(Address::from_bits(0)),
        type_name: std::any::type_name::<Vector<T>>(),
        reason: reason.to_owned(),
    };
    let mut meta = &root.meta[..];
    let mut number = || varint::take(&mut meta).ok_or_else(|| bad("the root of the vector is cut short"));
    let (lens, height, capacity) = ([number()?, number()?, number()?], number()?, number()?);
    // The type may have grown, or the layout of its parts have changed: the items then go into leaves of this type.
    let converts = capacity != Leaf::<T>::CAPACITY as u64;
    let [head_len, tree_len, tail_len] = lens.map(|len| len as usize);
    let fits = root.addresses.iter().zip(lens).all(|(address, len)| address.is_some() == (len > 0));
    let total = lens.iter().try_fold(0usize, |total, &len| total.checked_add(usize::try_from(len).ok()?));
    if !fits
        || total.is_none()
        || head_len.max(tail_len) as u64 > capacity.min(1 << 16)
        || height > MAX_HEIGHT
    {
        return Err(bad("its lengths do not fit its roots"));
    }
    if converts {
        let mut converted = Vector::new();
        let places =
            [leaf_place(head_len), Place { what: lens[1], depth: height as u32 }, leaf_place(tail_len)];
        for (part, (address, place)) in root.addresses.iter().zip(places).enumerate() {
            let Some(address) = *address else { continue };
            Foreign::each(backing, address, place, &mut |item: &T| match part {
                0 => converted.push_front(item.clone()), // the head lies in reverse order
                _ => converted.push_back(item.clone()),
            })?;
        }
        return Ok(converted);
    }
    let source = Arc::new(Source { backing: Arc::clone(backing), context: 0, decode: load_node::<T> });
    let [head, tree, tail] = root.addresses.map(|address| match address {
        None => Root::empty(),
        Some(address) => Root::lazy(Arc::clone(&source), address),
    });
    Ok(Vector { head, tree: Tree::unloaded(tree, tree_len, height as u8), tail, head_len, tail_len })
}

fn load_node<T: DeserializeOwned>(
    backing: &Arc<dyn RecordReader>,
    _: u64,
    chain: &Chain,
    place: Place,
) -> Result<Link<T>> {
    load::<T, Counts>(backing, chain, place, |_| Ok(0))
}

impl<T> Vector<T> {
    /// Tells the meter of everything in memory that this holds, and `each` of the items of nodes that the meter did not know,
    /// so that it can tell of what these hold: see [`Footprint`](crate::footprint::Footprint). Nothing is loaded.
    ///
    /// ```
    /// use perennial::footprint::{Footprint, Meter, footprint};
    /// use perennial::Vector;
    ///
    /// struct World(Vector<Vector<u64>>);
    /// impl Footprint for World {
    ///     fn measure(&self, meter: &mut Meter) {
    ///         self.0.measure_with(meter, |meter, items| items.measure(meter));
    ///     }
    /// }
    /// let items: Vector<u64> = (0..10_000).collect();
    /// let world = World(Vector::from([items]));
    /// assert!(footprint(&[world]).total_bytes > 80_000);
    /// ```
    pub fn measure_with(
        &self,
        meter: &mut crate::node::Meter,
        mut each: impl FnMut(&mut crate::node::Meter, &T),
    ) {
        for root in [&self.head, &self.tree.root, &self.tail] {
            crate::node::measure_with(root, meter, &mut each);
        }
    }
}

impl<T> crate::node::Footprint for Vector<T> {
    fn measure(&self, meter: &mut crate::node::Meter) {
        crate::node::measure(&self.head, meter);
        crate::node::measure(&self.tree.root, meter);
        crate::node::measure(&self.tail, meter);
    }
}

impl<T: DeserializeOwned> Evict for Vector<T> {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        for root in [&mut self.head, &mut self.tree.root, &mut self.tail] {
            eviction.tree(root, 0, load_node::<T>);
        }
    }
}
