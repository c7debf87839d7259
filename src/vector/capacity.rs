//! Capacity, which a tree of nodes does not have: methods of std's names that do nothing, so that code can stay as it is.

use super::Vector;

impl<T> Vector<T> {
    /// Makes an empty vector; the capacity is ignored: leaves are allocated when items come. **O(1)**, allocates nothing.
    ///
    /// ```
    /// assert!(perennial::Vector::<u8>::with_capacity(1000).is_empty());
    /// ```
    pub fn with_capacity(_capacity: usize) -> Self {
        Self::new()
    }

    /// Does nothing: leaves are allocated when items come. **O(1)**.
    pub fn reserve(&mut self, _additional: usize) {}

    /// Does nothing: at most the leaves at the ends have spare room. **O(1)**.
    pub fn shrink_to_fit(&mut self) {}
}
