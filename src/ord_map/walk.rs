//! Two maps walked side by side in order of their keys, past everything that they share.
//!
//! A cursor stands before a node that it has not entered, or before an entry of a leaf. Where both stand before the same
//! node (invariant 7), both step over it. Where one stands before a node whose keys all lie below those that the other
//! one still has, which the separators around it tell, it steps over it alone. Else the one before the higher node
//! enters it. So nothing is loaded or looked at but what lies between two differences.

use std::cmp::Ordering;

use super::node::{Inner, Link, LinkRef};
use super::tree::Tree;
use crate::node::{BranchLayout, NodeRef};

/// What a cursor steps over at once.
pub(super) enum Part<'a, K, V> {
    /// The whole map.
    Tree(&'a Tree<K, V>),
    /// The child at a slot.
    Child(&'a Inner<K, V>, usize),
    /// An entry.
    Entry(&'a (K, V)),
}

impl<K, V> Clone for Part<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Part<'_, K, V> {}

impl<'a, K, V> Part<'a, K, V> {
    /// The node, loaded, if it is one.
    pub(super) fn node(self) -> Option<LinkRef<'a, K, V>> {
        match self {
            Part::Tree(tree) => tree.node(),
            Part::Child(branch, slot) => branch.child(slot),
            Part::Entry(_) => None,
        }
    }

    /// A tree of the node, loaded, if it is one.
    pub(super) fn to_tree(self) -> Option<Tree<K, V>> {
        match self {
            Part::Tree(tree) => Some(tree.clone()),
            Part::Child(branch, slot) => branch.child_node(slot).map(|node: Link<K, V>| Tree::of(Some(node))),
            Part::Entry(_) => None,
        }
    }

    /// How far the node is from the entries.
    fn height(self) -> u8 {
        match self {
            Part::Tree(tree) => tree.height + 1,
            Part::Child(branch, _) => branch.level(),
            Part::Entry(_) => 0,
        }
    }

    /// Whether both are the same node.
    fn same(self, other: Self) -> bool {
        match (self, other) {
            (Part::Tree(a), Part::Tree(b)) => a.root.same(&b.root),
            (Part::Child(a, slot), Part::Child(b, other_slot)) => a.same_child(slot, b, other_slot),
            (Part::Tree(tree), Part::Child(branch, slot)) | (Part::Child(branch, slot), Part::Tree(tree)) => {
                tree.height + 1 == branch.level() && tree.root.same_as_child(branch, slot)
            }
            _ => false,
        }
    }
}

/// A position in a map that moves forward.
struct Cursor<'a, K, V> {
    /// What comes next; `None` past the end.
    part: Option<Part<'a, K, V>>,
    /// The entries behind the one that comes next, in its leaf.
    rest: &'a [(K, V)],
    /// The branches and slots above.
    above: Vec<(&'a Inner<K, V>, usize)>,
}

impl<K, V> Clone for Cursor<'_, K, V> {
    fn clone(&self) -> Self {
        Self { part: self.part, rest: self.rest, above: self.above.clone() }
    }
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn new(tree: &'a Tree<K, V>) -> Self {
        Self { part: (tree.len > 0).then_some(Part::Tree(tree)), rest: &[], above: Vec::new() }
    }

    /// Steps over what comes next.
    fn advance(&mut self) {
        if let Some((entry, rest)) = self.rest.split_first() {
            (self.part, self.rest) = (Some(Part::Entry(entry)), rest);
            return;
        }
        let mut here = match self.part {
            Some(Part::Child(branch, slot)) => Some((branch, slot)),
            _ => self.above.pop(),
        };
        self.part = loop {
            match here {
                None => break None,
                Some((branch, slot)) if slot + 1 < branch.count() => {
                    break Some(Part::Child(branch, slot + 1));
                }
                Some(_) => here = self.above.pop(),
            }
        };
    }

    /// Goes into the node that comes next.
    fn enter(&mut self, part: Part<'a, K, V>) {
        if let Part::Child(branch, slot) = part {
            self.above.push((branch, slot));
        }
        match part.node() {
            Some(NodeRef::Branch(branch)) => self.part = Some(Part::Child(branch, 0)),
            Some(NodeRef::Leaf(leaf)) => {
                (self.part, self.rest) = (None, leaf.items(false));
                self.advance();
            }
            None => self.advance(),
        }
    }

    /// The branch and slot of the node that comes next, and those above it, from the lowest.
    fn way(&self) -> impl Iterator<Item = (&'a Inner<K, V>, usize)> {
        let here = match self.part {
            Some(Part::Child(branch, slot)) => Some((branch, slot)),
            _ => None,
        };
        here.into_iter().chain(self.above.iter().rev().copied())
    }

    /// A key at most all that are still to come, if one is known.
    fn low(&self) -> Option<&'a K> {
        match self.part {
            Some(Part::Entry((key, _))) => Some(key),
            _ => self
                .way()
                .find(|&(_, slot)| slot > 0)
                .and_then(|(branch, slot)| branch.extra.keys().get(slot - 1)),
        }
    }

    /// A key above all of the node that comes next, if one is known.
    fn high(&self) -> Option<&'a K> {
        self.way().find_map(|(branch, slot)| branch.extra.keys().get(slot))
    }

    /// Whether all of what comes next is known to lie before all that `other` still has.
    fn is_before(&self, other: &Self) -> bool
    where
        K: Ord,
    {
        let Some(low) = other.low() else { return false };
        match self.part {
            Some(Part::Entry((key, _))) => key < low,
            _ => self.high().is_some_and(|high| high <= low),
        }
    }
}

/// What lies between two differences, and the differences.
pub(super) enum Step<'a, K, V> {
    /// Both have this node.
    Shared(Part<'a, K, V>),
    /// Only the old map has these keys.
    Old(Part<'a, K, V>),
    /// Only the new map has these keys.
    New(Part<'a, K, V>),
    /// Both have the key.
    Both(&'a (K, V), &'a (K, V)),
}

/// Two cursors that have passed the same keys.
pub(super) struct Walk<'a, K, V> {
    old: Cursor<'a, K, V>,
    new: Cursor<'a, K, V>,
}

impl<K, V> Clone for Walk<'_, K, V> {
    fn clone(&self) -> Self {
        Self { old: self.old.clone(), new: self.new.clone() }
    }
}

impl<'a, K, V> Walk<'a, K, V> {
    pub(super) fn new(old: &'a Tree<K, V>, new: &'a Tree<K, V>) -> Self {
        Self { old: Cursor::new(old), new: Cursor::new(new) }
    }

    /// Steps over what comes next of children that both have and of entries that are equal in both, to the end of the
    /// shorter node at most.
    pub(super) fn pass_equal(&mut self)
    where
        K: Ord,
        V: PartialEq,
    {
        let Self { old, new } = self;
        match (old.part, new.part) {
            (Some(Part::Child(mine, slot)), Some(Part::Child(theirs, other_slot))) => {
                let most = (mine.count() - slot).min(theirs.count() - other_slot);
                let same = |&step: &usize| mine.same_child(slot + step, theirs, other_slot + step);
                if let Some(last) = (0..most).take_while(same).last() {
                    old.part = Some(Part::Child(mine, slot + last));
                    new.part = Some(Part::Child(theirs, other_slot + last));
                    old.advance();
                    new.advance();
                }
            }
            (Some(Part::Entry(mine)), Some(Part::Entry(theirs))) => {
                let equal =
                    |mine: &(K, V), theirs: &(K, V)| mine.0.cmp(&theirs.0).is_eq() && mine.1 == theirs.1;
                if equal(mine, theirs) {
                    let pairs = old.rest.iter().zip(new.rest);
                    let more = pairs.take_while(|(mine, theirs)| equal(mine, theirs)).count();
                    for cursor in [old, new] {
                        cursor.rest = &cursor.rest[more..];
                        cursor.advance();
                    }
                }
            }
            _ => {}
        }
    }
}

impl<'a, K: Ord, V> Iterator for Walk<'a, K, V> {
    type Item = Step<'a, K, V>;

    fn next(&mut self) -> Option<Step<'a, K, V>> {
        loop {
            let Self { old, new } = self;
            let (Some(mine), Some(theirs)) = (old.part, new.part) else {
                let (cursor, step) = match old.part {
                    Some(part) => (old, Step::Old(part)),
                    None => {
                        let part = new.part?;
                        (new, Step::New(part))
                    }
                };
                cursor.advance();
                return Some(step);
            };
            let order = match (mine, theirs) {
                (Part::Entry(mine), Part::Entry(theirs)) => mine.0.cmp(&theirs.0),
                _ if mine.same(theirs) => {
                    old.advance();
                    new.advance();
                    return Some(Step::Shared(mine));
                }
                _ if old.is_before(new) => Ordering::Less,
                _ if new.is_before(old) => Ordering::Greater,
                _ => {
                    let (height, other_height) = (mine.height(), theirs.height());
                    if height >= other_height {
                        old.enter(mine);
                    }
                    if height <= other_height {
                        new.enter(theirs);
                    }
                    continue;
                }
            };
            if order.is_le() {
                old.advance();
            }
            if order.is_ge() {
                new.advance();
            }
            return Some(match (order, mine, theirs) {
                (Ordering::Equal, Part::Entry(mine), Part::Entry(theirs)) => Step::Both(mine, theirs),
                (Ordering::Greater, ..) => Step::New(theirs),
                _ => Step::Old(mine),
            });
        }
    }
}

/// Two cursors at the same position: for comparing maps entry by entry, which asks for no order of keys.
pub(super) struct Lockstep<'a, K, V> {
    one: Cursor<'a, K, V>,
    two: Cursor<'a, K, V>,
}

impl<'a, K, V> Lockstep<'a, K, V> {
    pub(super) fn new(one: &'a Tree<K, V>, two: &'a Tree<K, V>) -> Self {
        Self { one: Cursor::new(one), two: Cursor::new(two) }
    }

    /// The entries at the first position at which they are not `equal`, past what both share; `None` where a map has
    /// ended.
    #[expect(clippy::type_complexity, reason = "what is left of two maps")]
    pub(super) fn first_difference(
        &mut self,
        equal: impl Fn(&(K, V), &(K, V)) -> bool,
    ) -> Option<(Option<&'a (K, V)>, Option<&'a (K, V)>)> {
        let Self { one, two } = self;
        loop {
            match (one.part, two.part) {
                (None, None) => return None,
                (Some(Part::Entry(mine)), Some(Part::Entry(theirs))) => {
                    if !equal(mine, theirs) {
                        return Some((Some(mine), Some(theirs)));
                    }
                }
                (Some(mine), Some(theirs)) if mine.same(theirs) => {}
                (mine, theirs) => {
                    let [height, other_height] =
                        [mine, theirs].map(|part| part.map_or(0, |part| part.height()));
                    match (mine, theirs) {
                        (Some(Part::Entry(mine)), None) => return Some((Some(mine), None)),
                        (None, Some(Part::Entry(theirs))) => return Some((None, Some(theirs))),
                        _ => {}
                    }
                    if let Some(mine) = mine
                        && height >= other_height
                    {
                        one.enter(mine);
                    }
                    if let Some(theirs) = theirs
                        && height <= other_height
                    {
                        two.enter(theirs);
                    }
                    continue;
                }
            }
            one.advance();
            two.advance();
        }
    }
}
