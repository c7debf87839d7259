//! Checkpointing and serde of the ordered set.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::OrdSet;
use crate::codec;
use crate::ord_map::persist;
use crate::schema::Collection;

impl<T: Serialize> Serialize for OrdSet<T> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let save = |to: &_| persist::save(&self.map, to);
        codec::serialize_collection(serializer, Collection::OrdSet, save, Plain(self))
    }
}

/// The set as every other format sees it.
struct Plain<'a, T>(&'a OrdSet<T>);

impl<T: Serialize> Serialize for Plain<'_, T> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self.0)
    }
}

impl<'de, T: DeserializeOwned + Ord + Clone> Deserialize<'de> for OrdSet<T> {
    /// Restores from a checkpoint in **O(1)** (nodes load on first touch), or reads an ordinary sequence.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let restore = |root, backing: &_| Ok(Self { map: persist::restore(root, backing)? });
        codec::deserialize_collection(deserializer, Collection::OrdSet, restore, Items(PhantomData))
    }
}

struct Items<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Ord + Clone> Visitor<'de> for Items<T> {
    type Value = OrdSet<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<OrdSet<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }
}
