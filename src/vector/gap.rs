//! A place in a vector for many edits in a row, as an editor's cursor: the vector is cut there at the first edit, and
//! each further one works at the ends of the two halves.

use std::fmt;

use super::Vector;
use super::node::Leaf;

/// A place between two items of a [`Vector`], for edits that follow each other; see [`Vector::cursor_mut`].
///
/// Dropping the cursor joins the vector again. If it is forgotten ([`std::mem::forget`]), the vector may lack what lies
/// behind the cursor.
pub struct CursorMut<'a, T: Clone> {
    /// All items, or, while the gap is open, those before it: `index` of them.
    vector: &'a mut Vector<T>,
    /// The items behind the gap, while it is open.
    right: Option<Vector<T>>,
    index: usize,
    /// Items that the cursor stepped over since the last edit, with the gap open.
    steps: usize,
}

impl<T: Clone> Vector<T> {
    /// Returns a cursor before the item at `index`. **O(1)**.
    ///
    /// Inserting, removing and stepping at a cursor are **O(1)** amortised, where the same by index is O(log n); the
    /// first edit after a jump is O(log n). Looking and stepping alone copy nothing.
    ///
    /// # Panics
    /// When `index` is past the end by more than none.
    ///
    /// ```
    /// let mut text = perennial::Vector::<char>::from("hello world");
    /// let mut cursor = text.cursor_mut(5);
    /// ", dear".chars().for_each(|letter| cursor.insert_before(letter));
    /// cursor.move_next();
    /// while cursor.remove_next().is_some() {}
    /// "friend".chars().for_each(|letter| cursor.insert_before(letter));
    /// drop(cursor);
    /// assert_eq!(String::from(&text), "hello, dear friend");
    /// ```
    #[track_caller]
    pub fn cursor_mut(&mut self, index: usize) -> CursorMut<'_, T> {
        let len = self.len();
        assert!(index <= len, "a cursor at {index} in a vector of {len} items");
        CursorMut { vector: self, right: None, index, steps: 0 }
    }
}

impl<T: Clone> CursorMut<'_, T> {
    /// How many items lie before the cursor. **O(1)**.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Counts all items. **O(1)**.
    pub fn len(&self) -> usize {
        self.vector.len() + self.right.as_ref().map_or(0, Vector::len)
    }

    /// Tells whether there are no items. **O(1)**.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item behind the cursor.
    pub fn peek_next(&self) -> Option<&T> {
        match &self.right {
            Some(right) => right.first(),
            None => self.vector.get(self.index),
        }
    }

    /// The item before the cursor.
    pub fn peek_prev(&self) -> Option<&T> {
        self.vector.get(self.index.checked_sub(1)?)
    }

    /// The item behind the cursor, to be changed.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// *vector.cursor_mut(1).next_mut().unwrap() = 7;
    /// assert_eq!(vector, [1, 7]);
    /// ```
    pub fn next_mut(&mut self) -> Option<&mut T> {
        match &mut self.right {
            Some(right) => right.first_mut(),
            None => self.vector.get_mut(self.index),
        }
    }

    /// Steps over the next item; whether there is one.
    pub fn move_next(&mut self) -> bool {
        let moves = self.index < self.len();
        if moves {
            self.seek(self.index + 1);
        }
        moves
    }

    /// Steps back over the item before; whether there is one.
    pub fn move_prev(&mut self) -> bool {
        let moves = self.index > 0;
        if moves {
            self.seek(self.index - 1);
        }
        moves
    }

    /// Moves before the item at `index`. **O(1)** for a short way, else the gap is closed: **O(log n)**.
    ///
    /// # Panics
    /// When `index` is past the end by more than none.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2, 3]);
    /// let mut cursor = vector.cursor_mut(0);
    /// cursor.seek(2);
    /// assert_eq!((cursor.peek_prev(), cursor.peek_next()), (Some(&2), Some(&3)));
    /// ```
    #[track_caller]
    pub fn seek(&mut self, index: usize) {
        let len = self.len();
        assert!(index <= len, "a cursor at {index} in a vector of {len} items");
        self.steps += index.abs_diff(self.index);
        if self.steps > Leaf::<T>::CAPACITY {
            self.close();
        }
        if let Some(right) = &mut self.right {
            while self.index < index
                && let Some(item) = right.pop_front()
            {
                self.vector.push_back(item);
                self.index += 1;
            }
            while self.index > index
                && let Some(item) = self.vector.pop_back()
            {
                right.push_front(item);
                self.index -= 1;
            }
        }
        self.index = index;
    }

    /// Inserts an item before the cursor.
    pub fn insert_before(&mut self, item: T) {
        self.open();
        self.vector.push_back(item);
        self.index += 1;
    }

    /// Inserts an item behind the cursor.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// let mut cursor = vector.cursor_mut(1);
    /// cursor.insert_after(7);
    /// assert_eq!((cursor.index(), cursor.peek_next()), (1, Some(&7)));
    /// drop(cursor);
    /// assert_eq!(vector, [1, 7, 2]);
    /// ```
    pub fn insert_after(&mut self, item: T) {
        self.open().push_front(item);
    }

    /// Takes the item behind the cursor out.
    pub fn remove_next(&mut self) -> Option<T> {
        if self.index == self.len() {
            return None;
        }
        self.open().pop_front()
    }

    /// Takes the item before the cursor out.
    ///
    /// ```
    /// let mut vector = perennial::Vector::from([1, 2]);
    /// assert_eq!(vector.cursor_mut(1).remove_prev(), Some(1));
    /// assert_eq!(vector, [2]);
    /// ```
    pub fn remove_prev(&mut self) -> Option<T> {
        if self.index == 0 {
            return None;
        }
        self.open();
        let item = self.vector.pop_back();
        self.index = self.vector.len();
        item
    }

    /// What lies behind the cursor, cut off.
    fn open(&mut self) -> &mut Vector<T> {
        self.steps = 0;
        self.right.get_or_insert_with(|| self.vector.split_off(self.index))
    }

    fn close(&mut self) {
        if let Some(right) = &mut self.right {
            self.vector.append(right);
        }
        (self.right, self.steps) = (None, 0);
    }
}

impl<T: Clone> Drop for CursorMut<'_, T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T: Clone + fmt::Debug> fmt::Debug for CursorMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorMut").field("index", &self.index).field("next", &self.peek_next()).finish()
    }
}
