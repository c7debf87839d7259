//! Conversion from std's collections and slices, and back.

use std::collections::{BinaryHeap, VecDeque};
use std::iter::Sum;

use super::Vector;

impl<T> From<Vec<T>> for Vector<T> {
    /// Moves the items over. **O(n)**.
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T> From<Box<[T]>> for Vector<T> {
    /// Moves the items over. **O(n)**.
    fn from(items: Box<[T]>) -> Self {
        items.into_iter().collect()
    }
}

impl<T, const N: usize> From<[T; N]> for Vector<T> {
    /// Moves the items over. **O(n)**.
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T> From<VecDeque<T>> for Vector<T> {
    /// Moves the items over. **O(n)**.
    fn from(items: VecDeque<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T> From<BinaryHeap<T>> for Vector<T> {
    /// Moves the items over, in the arbitrary order that they have in the heap. **O(n)**.
    fn from(items: BinaryHeap<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Clone> From<&[T]> for Vector<T> {
    /// Clones the items. **O(n)**.
    fn from(items: &[T]) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Clone, const N: usize> From<&[T; N]> for Vector<T> {
    /// Clones the items. **O(n)**.
    ///
    /// ```
    /// assert_eq!(perennial::Vector::from(&[1, 2]), [1, 2]);
    /// ```
    fn from(items: &[T; N]) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Clone> From<&Vec<T>> for Vector<T> {
    /// Clones the items. **O(n)**.
    fn from(items: &Vec<T>) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Clone> From<&VecDeque<T>> for Vector<T> {
    /// Clones the items. **O(n)**.
    fn from(items: &VecDeque<T>) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Clone> From<Vector<T>> for Vec<T> {
    /// Moves the items over, or clones those that other versions share. **O(n)**.
    fn from(vector: Vector<T>) -> Self {
        vector.into_iter().collect()
    }
}

impl<T: Clone> From<&Vector<T>> for Vec<T> {
    /// Clones the items. **O(n)**. See [`to_vec`](Vector::to_vec).
    fn from(vector: &Vector<T>) -> Self {
        vector.to_vec()
    }
}

impl<T: Clone> From<Vector<T>> for Box<[T]> {
    /// Moves the items over, or clones those that other versions share. **O(n)**.
    fn from(vector: Vector<T>) -> Self {
        vector.into_iter().collect()
    }
}

impl<T: Clone> From<Vector<T>> for VecDeque<T> {
    /// Moves the items over, or clones those that other versions share. **O(n)**.
    fn from(vector: Vector<T>) -> Self {
        vector.into_iter().collect()
    }
}

impl<T: Ord + Clone> From<Vector<T>> for BinaryHeap<T> {
    /// Moves the items over, or clones those that other versions share. **O(n)**.
    fn from(vector: Vector<T>) -> Self {
        vector.into_iter().collect()
    }
}

impl<T: Clone, const N: usize> TryFrom<Vector<T>> for [T; N] {
    type Error = Vector<T>;

    /// Moves the items over, or clones those that other versions share. **O(n)**.
    ///
    /// # Errors
    /// The vector as it was, if it does not have `N` items.
    ///
    /// ```
    /// use perennial::Vector;
    /// let [x, y] = <[i32; 2]>::try_from(Vector::from([1, 2])).unwrap();
    /// assert_eq!((x, y), (1, 2));
    /// assert_eq!(<[i32; 3]>::try_from(Vector::from([1, 2])), Err(Vector::from([1, 2])));
    /// ```
    fn try_from(vector: Vector<T>) -> Result<Self, Vector<T>> {
        if vector.len() != N {
            return Err(vector);
        }
        // Of a `Vec` of this length nothing comes back.
        Self::try_from(Vec::from(vector)).map_err(Vector::from)
    }
}

impl<T: Clone> Sum for Vector<T> {
    /// Joins vectors, one behind the other. **O(log n)** for each.
    ///
    /// ```
    /// use perennial::Vector;
    /// let whole: Vector<u32> = [Vector::from([1, 2]), Vector::new(), Vector::from([3])].into_iter().sum();
    /// assert_eq!(whole, [1, 2, 3]);
    /// ```
    fn sum<I: Iterator<Item = Self>>(vectors: I) -> Self {
        vectors.fold(Self::new(), |whole, part| whole + part)
    }
}

impl<'a, T: Clone> Sum<&'a Self> for Vector<T> {
    /// Joins vectors, one behind the other, and shares their nodes. **O(log n)** for each.
    fn sum<I: Iterator<Item = &'a Self>>(vectors: I) -> Self {
        vectors.cloned().sum()
    }
}
