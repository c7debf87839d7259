//! Macros that make a collection of the items in the source, as `vec!` does.

/// Makes a [`Vector`](crate::Vector) of the items listed, or of as many clones of one as the number behind `;` says. **O(n)**.
///
/// ```
/// let vector = perennial::vector![1, 2, 3];
/// assert_eq!(vector, [1, 2, 3]);
/// assert_eq!(perennial::vector!["x"; 3], ["x", "x", "x"]);
/// assert!(perennial::vector![0u8; 0].is_empty());
/// ```
#[macro_export]
macro_rules! vector {
    () => { $crate::Vector::new() };
    ($item:expr; $count:expr) => {
        ::std::iter::Iterator::collect::<$crate::Vector<_>>(::std::iter::repeat_n($item, $count))
    };
    ($($item:expr),+ $(,)?) => { $crate::Vector::from([$($item),+]) };
}

/// Makes a [`HashMap`](crate::HashMap) of the entries listed; of equal keys the last value stays. **O(n)**.
///
/// ```
/// let map = perennial::hash_map! { "ada" => 1, "bob" => 2 };
/// assert_eq!((map["ada"], map["bob"], map.len()), (1, 2, 2));
/// ```
#[macro_export]
macro_rules! hash_map {
    () => { $crate::HashMap::new() };
    ($($key:expr => $value:expr),+ $(,)?) => { $crate::HashMap::from([$(($key, $value)),+]) };
}

/// Makes a [`HashSet`](crate::HashSet) of the items listed. **O(n)**.
///
/// ```
/// let set = perennial::hash_set! { 1, 2, 1 };
/// assert!(set.len() == 2 && set.contains(&1));
/// ```
#[macro_export]
macro_rules! hash_set {
    () => { $crate::HashSet::new() };
    ($($item:expr),+ $(,)?) => { $crate::HashSet::from([$($item),+]) };
}

/// Makes an [`OrdMap`](crate::OrdMap) of the entries listed; of equal keys the last entry stays. **O(n)** if the keys ascend,
/// else **O(n log n)**.
///
/// ```
/// let map = perennial::ord_map! { 2 => 'b', 1 => 'a' };
/// assert!(map.keys().eq(&[1, 2]));
/// ```
#[macro_export]
macro_rules! ord_map {
    () => { $crate::OrdMap::new() };
    ($($key:expr => $value:expr),+ $(,)?) => { $crate::OrdMap::from([$(($key, $value)),+]) };
}

/// Makes an [`OrdSet`](crate::OrdSet) of the items listed. **O(n)** if they ascend, else **O(n log n)**.
///
/// ```
/// let set = perennial::ord_set! { 3, 1, 2 };
/// assert!(set.iter().eq(&[1, 2, 3]));
/// ```
#[macro_export]
macro_rules! ord_set {
    () => { $crate::OrdSet::new() };
    ($($item:expr),+ $(,)?) => { $crate::OrdSet::from([$($item),+]) };
}
