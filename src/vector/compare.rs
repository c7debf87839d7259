//! Comparison with std's vectors, deques, slices and arrays, from both sides.

use std::collections::VecDeque;

use super::Vector;

fn eq_slice<T: PartialEq<U>, U>(vector: &Vector<T>, mut slice: &[U]) -> bool {
    vector.len() == slice.len()
        && vector.chunks().all(|chunk| {
            let (now, later) = slice.split_at(chunk.len());
            slice = later;
            chunk == now
        })
}

fn slice_eq<T: PartialEq<U>, U>(mut slice: &[T], vector: &Vector<U>) -> bool {
    vector.len() == slice.len()
        && vector.chunks().all(|chunk| {
            let (now, later) = slice.split_at(chunk.len());
            slice = later;
            now == chunk
        })
}

/// `Vector == Slice` and `Slice == Vector`, item by item.
macro_rules! equal {
    ($([$($generics:tt)*] $mine:ty, $theirs:ty;)+) => {$(
        impl<T: PartialEq<U>, U, $($generics)*> PartialEq<$theirs> for Vector<T> {
            /// Compares item by item. **O(n)**.
            fn eq(&self, other: &$theirs) -> bool {
                eq_slice(self, &other[..])
            }
        }

        impl<T: PartialEq<U>, U, $($generics)*> PartialEq<Vector<U>> for $mine {
            /// Compares item by item. **O(n)**.
            fn eq(&self, other: &Vector<U>) -> bool {
                slice_eq(&self[..], other)
            }
        }
    )+};
}

equal! {
    [] [T], [U];
    [] &[T], &[U];
    [] &mut [T], &mut [U];
    [const N: usize] [T; N], [U; N];
    [const N: usize] &[T; N], &[U; N];
    [] Vec<T>, Vec<U>;
}

impl<T: PartialEq<U>, U> PartialEq<VecDeque<U>> for Vector<T> {
    /// Compares item by item. **O(n)**.
    ///
    /// ```
    /// use std::collections::VecDeque;
    /// assert_eq!(perennial::Vector::from([1, 2]), VecDeque::from([1, 2]));
    /// ```
    fn eq(&self, other: &VecDeque<U>) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(mine, theirs)| mine == theirs)
    }
}

impl<T: PartialEq<U>, U> PartialEq<Vector<U>> for VecDeque<T> {
    /// Compares item by item. **O(n)**.
    fn eq(&self, other: &Vector<U>) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(mine, theirs)| mine == theirs)
    }
}
