//! Collections of arbitrary items, for structure-aware fuzzing.

use std::hash::{BuildHasher, Hash};

use ::arbitrary::{Arbitrary, Result, Unstructured};

use crate::{HashMap, HashSet, OrdMap, OrdSet, Vector};

macro_rules! arbitrary {
    ([$($generics:tt)*] $collection:ty) => {
        impl<'a, $($generics)*> Arbitrary<'a> for $collection {
            fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
                bytes.arbitrary_iter()?.collect()
            }

            fn arbitrary_take_rest(bytes: Unstructured<'a>) -> Result<Self> {
                bytes.arbitrary_take_rest_iter()?.collect()
            }

            fn size_hint(_: usize) -> (usize, Option<usize>) {
                (0, None)
            }
        }
    };
}

arbitrary!([T: Arbitrary<'a>] Vector<T>);
arbitrary!([K: Arbitrary<'a> + Ord + Clone, V: Arbitrary<'a>] OrdMap<K, V>);
arbitrary!([T: Arbitrary<'a> + Ord + Clone] OrdSet<T>);
arbitrary!([K: Arbitrary<'a> + Hash + Eq + Clone, V: Arbitrary<'a> + Clone, S: BuildHasher + Default] HashMap<K, V, S>);
arbitrary!([T: Arbitrary<'a> + Hash + Eq + Clone, S: BuildHasher + Default] HashSet<T, S>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_make_collections() {
        fn made<T: for<'a> Arbitrary<'a>>() -> T {
            let bytes: Vec<u8> = (0..4000u32).map(|n| (n * 7) as u8 | 1).collect();
            let rest = T::arbitrary_take_rest(Unstructured::new(&bytes));
            T::arbitrary(&mut Unstructured::new(&bytes)).and(rest).unwrap()
        }
        assert!(made::<Vector<u8>>().len() > 1000);
        assert!(made::<OrdMap<u8, u16>>().len() > 10 && made::<OrdSet<u8>>().len() > 10);
        assert!(made::<HashMap<u8, u16>>().len() > 10 && made::<HashSet<u16>>().len() > 10);
    }
}
