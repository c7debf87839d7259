//! Strategies of proptest for collections. What they make shrinks as std's do.
//!
//! ```
//! use perennial::Vector;
//! use perennial::features::proptest::vector;
//! use proptest::prelude::*;
//!
//! proptest!(|(numbers in vector(0..10u32, 5..20), any in any::<Vector<u8>>())| {
//!     prop_assert!((5..20).contains(&numbers.len()) && numbers.iter().all(|n| *n < 10));
//!     prop_assert!(any.clone() == any);
//! });
//! ```

use std::collections;
use std::hash::Hash;

use ::proptest::arbitrary::{Arbitrary, any};
use ::proptest::collection::{
    self, BTreeMapStrategy, BTreeSetStrategy, HashMapStrategy, HashSetStrategy, SizeRange, VecStrategy,
};
use ::proptest::strategy::{Map, Strategy};

use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector};

/// Makes a strategy of the one that std's collection of the same kind has.
macro_rules! strategy {
    (
        $doc:literal, $name:ident($($part:ident: $parameter:ident of $item:ident $([$($bound:tt)*])?),+),
        $alias:ident = $of:ident, $std:ty => $ours:ty, $make:path
    ) => {
        #[doc = concat!("Strategy of a ", $doc, ".")]
        pub type $alias<$($parameter,)+ $($item),+> = Map<$of<$($parameter),+>, fn($std) -> $ours>;

        #[doc = concat!("Makes a ", $doc, " of items that strategies make, of a size in a range.")]
        pub fn $name<$($parameter: Strategy<Value = $item>,)+ $($item: std::fmt::Debug $(+ $($bound)*)?),+>(
            $($part: $parameter,)+
            size: impl Into<SizeRange>,
        ) -> $alias<$($parameter,)+ $($item),+> {
            $make($($part,)+ size).prop_map(<$ours>::from)
        }

        impl<$($item: Arbitrary $(+ $($bound)*)?),+> Arbitrary for $ours {
            type Parameters = SizeRange;
            type Strategy = $alias<$($item::Strategy,)+ $($item),+>;

            fn arbitrary_with(size: SizeRange) -> Self::Strategy {
                $name($(any::<$item>(),)+ size)
            }
        }
    };
}

strategy!("[`Vector`]", vector(items: S of T), VectorStrategy = VecStrategy, Vec<T> => Vector<T>, collection::vec);
strategy!(
    "[`OrdMap`]",
    ord_map(keys: A of K [Ord + Clone], values: B of V),
    OrdMapStrategy = BTreeMapStrategy,
    collections::BTreeMap<K, V> => OrdMap<K, V>,
    collection::btree_map
);
strategy!(
    "[`OrdSet`]",
    ord_set(items: S of T [Ord + Clone]),
    OrdSetStrategy = BTreeSetStrategy,
    collections::BTreeSet<T> => OrdSet<T>,
    collection::btree_set
);
strategy!(
    "[`HashMap`]",
    hash_map(keys: A of K [Hash + Eq + Clone], values: B of V [Clone]),
    MapStrategy = HashMapStrategy,
    collections::HashMap<K, V> => HashMap<K, V>,
    collection::hash_map
);
strategy!(
    "[`HashSet`]",
    hash_set(items: S of T [Hash + Eq + Clone]),
    SetStrategy = HashSetStrategy,
    collections::HashSet<T> => HashSet<T>,
    collection::hash_set
);

#[cfg(test)]
mod tests {
    use ::proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn sizes_are_kept(
            vector in vector(any::<u8>(), 3..100),
            ord in ord_map(0..1000u32, any::<bool>(), 3..100),
            hash in hash_map(0..1000u32, any::<char>(), 3..100),
            items in ord_set(any::<u64>(), 3..100),
            set in hash_set(any::<u64>(), 3..100),
            nested in any::<HashMap<u8, Vector<u8>>>(),
        ) {
            for len in [vector.len(), ord.len(), hash.len(), items.len(), set.len()] {
                prop_assert!((3..100).contains(&len));
            }
            prop_assert!(nested.len() <= 100);
        }
    }
}
