//! Two vectors walked side by side, past everything that they share.
//!
//! A cursor stands before a node that it has not entered, or inside a leaf. While both stand before nodes of the
//! same level that are one and the same (invariant 7), both step over them, however much lies below; otherwise the
//! one at the higher level enters its node, and inside leaves items are compared.

use super::node::{Counts, Inner};
use super::{Vector, leaf_place};
use crate::node::{NodeRef, Root};
use crate::record::Place;

/// Where a cursor stands.
enum At<'a, T> {
    /// Before a whole part of the vector; the last says whether its items lie in reverse.
    Part(&'a Root<T, Counts>, Place, bool),
    /// Before the child at a slot.
    Child(&'a Inner<T>, usize),
    /// Inside a leaf, with these items to come, from the back if the last says so.
    Items(&'a [T], bool),
    /// Past everything.
    End,
}

impl<T> Clone for At<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for At<'_, T> {}

impl<T> At<'_, T> {
    /// Items in the node.
    fn len(&self) -> usize {
        match *self {
            At::Part(_, place, _) => place.what as usize,
            At::Child(branch, slot) => branch.size(slot),
            At::Items(items, _) => items.len(),
            At::End => 0,
        }
    }

    /// Steps to the items: 0 inside a leaf, 1 before one.
    fn height(&self) -> u32 {
        match self {
            At::Part(_, place, _) => place.depth + 1,
            At::Child(branch, _) => u32::from(branch.level()),
            At::Items(..) | At::End => 0,
        }
    }

    /// Whether both stand before the same node.
    fn same(&self, other: &Self) -> bool {
        match (*self, *other) {
            (At::Child(a, slot), At::Child(b, other_slot)) => a.same_child(slot, b, other_slot),
            (At::Part(a, _, turned), At::Part(b, _, other_turned)) => turned == other_turned && a.same(b),
            (At::Part(root, place, false), At::Child(branch, slot))
            | (At::Child(branch, slot), At::Part(root, place, false)) => {
                place.depth + 1 == u32::from(branch.level()) && root.same_as_child(branch, slot)
            }
            _ => false,
        }
    }
}

/// A position in a vector that moves forward, or backward if `BACK`.
struct Cursor<'a, T, const BACK: bool> {
    vector: &'a Vector<T>,
    at: At<'a, T>,
    /// The branches and slots above `at`.
    above: Vec<(&'a Inner<T>, usize)>,
    /// Parts begun.
    parts: u8,
}

impl<T, const BACK: bool> Clone for Cursor<'_, T, BACK> {
    fn clone(&self) -> Self {
        Self { vector: self.vector, at: self.at, above: self.above.clone(), parts: self.parts }
    }
}

impl<'a, T, const BACK: bool> Cursor<'a, T, BACK> {
    fn new(vector: &'a Vector<T>) -> Self {
        let mut cursor = Self { vector, at: At::End, above: Vec::new(), parts: 0 };
        cursor.next_part();
        cursor
    }

    fn next_part(&mut self) {
        let vector = self.vector;
        self.at = loop {
            self.parts += 1;
            let part = match if BACK { 4 - i32::from(self.parts) } else { i32::from(self.parts) } {
                1 => At::Part(&vector.head, leaf_place(vector.head_len), true),
                2 => At::Part(&vector.tree.root, vector.tree.place(), false),
                3 => At::Part(&vector.tail, leaf_place(vector.tail_len), false),
                _ => break At::End,
            };
            if part.len() > 0 {
                break part;
            }
        };
    }

    /// Steps over the node it stands before, or out of the leaf it stands in.
    fn advance(&mut self) {
        let mut here = match self.at {
            At::Child(branch, slot) => Some((branch, slot)),
            _ => self.above.pop(),
        };
        while let Some((branch, slot)) = here {
            let next =
                if BACK { slot.checked_sub(1) } else { Some(slot + 1).filter(|&slot| slot < branch.count()) };
            if let Some(next) = next {
                self.at = At::Child(branch, next);
                return;
            }
            here = self.above.pop();
        }
        if self.parts < 4 {
            self.next_part();
        } else {
            self.at = At::End;
        }
    }

    /// Goes into the node it stands before.
    fn enter(&mut self) {
        let (node, turned) = match self.at {
            At::Part(root, place, turned) => (root.get(|| place), turned),
            At::Child(branch, slot) => {
                self.above.push((branch, slot));
                (branch.child(slot), false)
            }
            At::Items(..) | At::End => return,
        };
        self.at = match node {
            Some(NodeRef::Branch(branch)) => At::Child(branch, if BACK { branch.count() - 1 } else { 0 }),
            Some(NodeRef::Leaf(leaf)) => At::Items(leaf.items(false), BACK != turned),
            None => At::End,
        };
    }

    /// The next item.
    fn next_item(&mut self) -> Option<&'a T> {
        loop {
            match self.at {
                At::End => return None,
                At::Items([], _) => self.advance(),
                At::Items([rest @ .., item], true) => {
                    self.at = At::Items(rest, true);
                    return Some(item);
                }
                At::Items([item, rest @ ..], false) => {
                    self.at = At::Items(rest, false);
                    return Some(item);
                }
                _ => self.enter(),
            }
        }
    }
}

/// Two cursors that have stepped over equally many items.
pub(super) struct Pair<'a, T, const BACK: bool> {
    old: Cursor<'a, T, BACK>,
    new: Cursor<'a, T, BACK>,
}

impl<T, const BACK: bool> Clone for Pair<'_, T, BACK> {
    fn clone(&self) -> Self {
        Self { old: self.old.clone(), new: self.new.clone() }
    }
}

impl<'a, T, const BACK: bool> Pair<'a, T, BACK> {
    /// Both at their beginning (at their end, if `BACK`).
    pub(super) fn new(old: &'a Vector<T>, new: &'a Vector<T>) -> Self {
        Self { old: Cursor::new(old), new: Cursor::new(new) }
    }

    /// Steps over equal items, at most `limit`; how many. Then both stand before items that differ, or the limit
    /// is reached, or one of the vectors has ended.
    pub(super) fn skip_equal(&mut self, limit: usize) -> usize
    where
        T: PartialEq,
    {
        let mut skipped = 0;
        while skipped < limit {
            skipped += self.skip_shared(limit - skipped);
            let (old, new) = (&mut self.old, &mut self.new);
            match (old.at, new.at) {
                (At::End, _) | (_, At::End) => break,
                (At::Items([], _), _) => old.advance(),
                (_, At::Items([], _)) => new.advance(),
                (At::Items(a, a_back), At::Items(b, b_back)) => {
                    let wanted = a.len().min(b.len()).min(limit - skipped);
                    let equal = equal_run(a, a_back, b, b_back, wanted);
                    skipped += equal;
                    old.at = At::Items(rest(a, a_back, equal), a_back);
                    new.at = At::Items(rest(b, b_back, equal), b_back);
                    if equal < wanted {
                        break;
                    }
                }
                (a, b) => {
                    let (a, b) = (a.height(), b.height());
                    if a >= b {
                        old.enter();
                    }
                    if b >= a {
                        new.enter();
                    }
                }
            }
        }
        skipped
    }

    /// Steps over nodes that are the same, of at most `limit` items; how many.
    fn skip_shared(&mut self, limit: usize) -> usize {
        let mut skipped = 0;
        while self.old.at.same(&self.new.at) && self.old.at.len() <= limit - skipped {
            skipped += self.old.at.len();
            self.old.advance();
            self.new.advance();
        }
        skipped
    }

    /// The next item of both.
    pub(super) fn next_items(&mut self) -> Option<(&'a T, &'a T)> {
        Some((self.old.next_item()?, self.new.next_item()?))
    }

    /// The next item of the old vector alone.
    pub(super) fn next_old(&mut self) -> Option<&'a T> {
        self.old.next_item()
    }

    /// The next item of the new vector alone.
    pub(super) fn next_new(&mut self) -> Option<&'a T> {
        self.new.next_item()
    }
}

/// What is left of `items` after `count` were taken.
fn rest<T>(items: &[T], back: bool, count: usize) -> &[T] {
    if back { &items[..items.len() - count] } else { &items[count..] }
}

/// How many of the next `wanted` items are equal.
fn equal_run<T: PartialEq>(a: &[T], a_back: bool, b: &[T], b_back: bool, wanted: usize) -> usize {
    fn next<T>(items: &[T], back: bool, wanted: usize) -> &[T] {
        if back { &items[items.len() - wanted..] } else { &items[..wanted] }
    }
    let (a, b) = (next(a, a_back, wanted), next(b, b_back, wanted));
    // Slices of plain numbers compare as memory.
    if a_back == b_back && a == b {
        return wanted;
    }
    let place = |index: usize, back: bool| if back { wanted - 1 - index } else { index };
    (0..wanted).find(|&index| a[place(index, a_back)] != b[place(index, b_back)]).unwrap_or(wanted)
}
