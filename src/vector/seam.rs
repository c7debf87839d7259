//! Cutting and joining in place: what may fail comes first.
//!
//! A cut and a join change the branches on their way and some beside them, and at most one leaf on either side. Loading
//! a branch may fail, and so may cloning the items of a leaf that another version shares; both are done while the
//! vector is still whole. What follows then only moves items, so a vector that nobody shares is changed without a
//! clone, and one that fails has not changed.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::ends::leaf_mut;
use super::node::{Counts, Inner, Leaf};
use super::tree::Tree;
use super::{Part, Vector};
use crate::node::{NodeRef, Source};

/// Branches of a level that a cut and a join on its left or right may touch: one may be left empty, and the next one
/// may trade with the one behind it.
const BESIDE: usize = 2;

/// The openings that the branches at a seam belong to.
pub(super) struct Seam<'a, T> {
    source: Option<&'a Arc<Source<T, Counts>>>,
    /// True if they are more than one: then moving children between branches may have to load them.
    pub(super) is_mixed: bool,
}

impl<'a, T> Seam<'a, T> {
    pub(super) fn new() -> Self {
        Self { source: None, is_mixed: false }
    }

    fn meet(&mut self, branch: &'a Inner<T>) {
        match (self.source, branch.source()) {
            (Some(mine), Some(theirs)) => self.is_mixed |= !mine.shares_pin(theirs),
            (None, theirs) => self.source = theirs,
            (_, None) => {}
        }
    }
}

impl<T> Tree<T> {
    /// Loads the branches that a cut at item `at`, and a join there, may touch. Does nothing in a tree without branches.
    ///
    /// # Panics
    /// With the store's error when one cannot be loaded; nothing has changed then.
    pub(super) fn load_around<'a>(&'a self, at: usize, seam: &mut Seam<'a, T>) {
        let Some(NodeRef::Branch(root)) = self.node() else { return };
        let mut below = at.min(self.len - 1);
        seam.meet(root);
        // The branches of a level that matter, in order; the one on the way is at `here`.
        let (mut level, mut here) = (vec![root], 0);
        while level[here].level() > 1 {
            let (slot, inner) = level[here].extra.locate(below);
            below = inner;
            let before = level[..here].iter().map(|branch| branch.count()).sum::<usize>() + slot;
            let first = before.saturating_sub(BESIDE);
            let slots = level.iter().flat_map(|&branch| (0..branch.count()).map(move |slot| (branch, slot)));
            let wanted = slots.skip(first).take(before - first + BESIDE + 1);
            let next = wanted.filter_map(|(branch, slot)| match branch.child(slot) {
                Some(NodeRef::Branch(child)) => Some(child),
                _ => None,
            });
            level = next.collect();
            level.iter().for_each(|branch| seam.meet(branch));
            here = before - first;
        }
    }
}

impl<T: Clone> Vector<T> {
    /// Makes cutting out the items at `range`, and joining what lies around it with `more` new items between, unable to
    /// fail; whether it is: it is not where branches belong to several openings.
    pub(super) fn prepare_gap(&mut self, range: &Range<usize>, more: usize) -> bool {
        let (head, tree, leaf) = (self.head_len, self.tree.len, Leaf::<T>::CAPACITY);
        let in_tree = |index: usize| index.saturating_sub(head).min(tree);
        let mut seam = Seam::new();
        self.tree.load_around(in_tree(range.start), &mut seam);
        self.tree.load_around(in_tree(range.end), &mut seam);
        if seam.is_mixed {
            return false;
        }
        // Where nothing of the tree is left on a side, the items there move one by one.
        if range.start <= head + leaf {
            leaf_mut(&mut self.head, head);
        }
        if range.end + leaf >= head + tree {
            leaf_mut(&mut self.tail, self.tail_len);
        }
        let mut loose = more;
        for at in [range.end, range.start] {
            if let Some(Part::Tree(index)) = self.locate(at) {
                if let Some((items, inner)) = self.tree.leaf_at(index) {
                    loose += if at == range.end { items.len() - inner } else { inner };
                }
                self.tree.leaf_mut(index);
            }
        }
        self.own_before(range.start, loose, more);
        true
    }

    /// Makes the leaf before the one of item `at` ours if `loose` items are too few for a leaf of their own: then they
    /// are put together with those of that leaf. (So may those of them be that lie before more than a leaf of new ones.)
    fn own_before(&mut self, at: usize, loose: usize, more: usize) {
        let Some(before) = at.checked_sub(self.head_len) else { return };
        let inner = match self.locate(at) {
            Some(Part::Tree(index)) => self.tree.leaf_at(index).map_or(0, |(_, inner)| inner),
            Some(Part::Tail(index)) => index,
            Some(Part::Head(_)) => return,
            None => self.tail_len,
        };
        let few = |items: usize| (1..Leaf::<T>::LEAST).contains(&items);
        if (few(loose) || more > 0 && few(inner))
            && let Some(last) = (before - inner).checked_sub(1)
        {
            self.tree.leaf_mut(last);
        }
    }

    /// Makes [`append_prepared`](Self::append_prepared) unable to fail; whether it is.
    pub(super) fn prepare_append(&mut self, other: &mut Self) -> bool {
        let mut seam = Seam::new();
        self.tree.load_around(self.tree.len, &mut seam);
        other.tree.load_around(0, &mut seam);
        if seam.is_mixed && self.tree.len > 0 && other.tree.len > 0 {
            return false;
        }
        leaf_mut(&mut self.tail, self.tail_len);
        leaf_mut(&mut other.head, other.head_len);
        // Where a vector has no tree, its items move one by one.
        if other.tree.len == 0 {
            leaf_mut(&mut other.tail, other.tail_len);
            return true;
        }
        if self.tree.len == 0 {
            leaf_mut(&mut self.head, self.head_len);
            return true;
        }
        self.own_before(self.len(), self.tail_len + other.head_len, 0);
        true
    }

    /// Makes rotating to item `count` unable to fail; whether it is.
    pub(super) fn prepare_rotation(&mut self, count: usize) -> bool {
        let mut seam = Seam::new();
        for at in [0, count.saturating_sub(self.head_len), self.tree.len] {
            self.tree.load_around(at, &mut seam);
        }
        if seam.is_mixed {
            return false;
        }
        leaf_mut(&mut self.head, self.head_len);
        leaf_mut(&mut self.tail, self.tail_len);
        if let Some(Part::Tree(index)) = self.locate(count) {
            self.tree.leaf_mut(index);
        }
        let loose = self.tail_len + self.head_len;
        self.own_before(self.len(), loose, 0);
        true
    }

    /// Drops the items at the positions of `gone`, which ascend and do not touch. In time O(n), or less where runs of
    /// kept items are long: these keep their nodes. If cloning a shared leaf panics, nothing has changed.
    pub(super) fn remove_runs(&mut self, gone: &[Range<usize>]) {
        if gone.is_empty() {
            return;
        }
        let long = 2 * Leaf::<T>::CAPACITY;
        self.own_beside(gone, long);
        // Nothing below fails. What goes is dropped last.
        let (mut kept, mut rest, mut at) = (Self::new(), mem::take(self), 0);
        let (mut dropped, mut dropped_runs) = (Vec::new(), Vec::new());
        for run in gone {
            rest.move_front(run.start - at, long, &mut kept);
            at = run.end;
            if run.len() > long {
                let behind = rest.split_off(run.len());
                dropped_runs.push(mem::replace(&mut rest, behind));
            } else {
                dropped.extend((0..run.len()).map_while(|_| rest.pop_front()));
            }
        }
        rest.move_front(rest.len(), long, &mut kept);
        *self = kept;
    }

    /// Moves the first `count` items to the end of `other`.
    fn move_front(&mut self, count: usize, long: usize, other: &mut Self) {
        if count > long {
            let behind = self.split_off(count);
            other.append_prepared(self);
            *self = behind;
        } else {
            other.extend((0..count).map_while(|_| self.pop_front()));
        }
    }

    /// Makes every leaf ours that holds items of `gone`, or of a run of kept items that is not `long`, or lies beside
    /// such a leaf. The vector is in memory.
    fn own_beside(&mut self, gone: &[Range<usize>], long: usize) {
        let (head, tree, margin) = (self.head_len, self.tree.len, Leaf::<T>::CAPACITY);
        let (mut owned, mut gone) = (0, gone.iter().peekable());
        while let Some(run) = gone.next() {
            let (start, mut end) = (run.start, run.end);
            while let Some(next) = gone.next_if(|next| next.start - end <= long) {
                end = next.end;
            }
            // A short run at either end is moved item by item as well.
            let start = if start <= long { 0 } else { start - margin };
            let end = if self.len() - end <= long { self.len() } else { end + margin };
            if start < head {
                leaf_mut(&mut self.head, head);
            }
            if end > head + tree {
                leaf_mut(&mut self.tail, self.tail_len);
            }
            let mut index = start.saturating_sub(head).max(owned);
            while index < tree.min(end.saturating_sub(head))
                && let Some((leaf, inner)) = self.tree.leaf_mut(index)
            {
                index += leaf.as_ref().len() - inner;
            }
            owned = index;
        }
    }
}
