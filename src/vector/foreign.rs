//! Reading trees whose leaves hold more or fewer items than those of the type at hand: it has grown since.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::node::load;
use crate::node::{Branch, BranchLayout, Chain, Node, NodeRef, Root, SLOTS, Source};
use crate::record::Place;
use crate::record::{Address, RecordReader};

/// What a branch of such a tree keeps: how many items are below each child.
pub(super) struct Foreign([u64; SLOTS]);

impl Foreign {
    /// Calls `visit` with each item of the tree at `address`, in order.
    ///
    /// # Errors
    ///
    /// What reading or decoding answered.
    pub(super) fn each<T: DeserializeOwned>(
        backing: &Arc<dyn RecordReader>,
        address: Address,
        place: Place,
        visit: &mut impl FnMut(&T),
    ) -> Result<()> {
        let source = Source { backing: Arc::clone(backing), context: 0, decode: load_node::<T> };
        let root = Root::<T, Self>::lazy(Arc::new(source), address);
        match root.try_get(|| place)? {
            Some(node) => walk(node, visit),
            None => Ok(()),
        }
    }
}

fn walk<T>(node: NodeRef<'_, T, Foreign>, visit: &mut impl FnMut(&T)) -> Result<()> {
    match node {
        NodeRef::Leaf(leaf) => leaf.items(false).iter().for_each(visit),
        NodeRef::Branch(branch) => {
            for start in branch.ranges() {
                if let Some(child) = branch.try_child(start)? {
                    walk(child, visit)?;
                }
            }
        }
    }
    Ok(())
}

fn load_node<T: DeserializeOwned>(
    backing: &Arc<dyn RecordReader>,
    _: u64,
    chain: &Chain,
    place: Place,
) -> Result<Node<T, Foreign>> {
    load::<T, Foreign>(backing, chain, place, |_| Ok(0))
}

impl BranchLayout for Foreign {
    type Key = ();

    const TAGGED: bool = false;
    const NUMBERED: bool = true;

    fn shift<T>() -> u32 {
        0
    }

    fn place<T>(&self, branch: &Branch<T, Self>, start: usize) -> Place {
        Place { what: self.0[start], depth: u32::from(branch.level()) - 1 }
    }

    fn number(&self, slot: usize) -> Option<u64> {
        Some(self.0[slot])
    }

    fn rebuild<T>(
        level: u8,
        starts: u16,
        occupied: u16,
        place: Place,
        numbers: &[u64; SLOTS],
    ) -> Option<Self> {
        let count = occupied.count_ones();
        let fits = starts.count_ones() as usize == SLOTS && u32::from(occupied) == (1 << count) - 1;
        let total =
            numbers[..count as usize].iter().try_fold(0u64, |total, &size| total.checked_add(size))?;
        let expected = level > 0 && u32::from(level) == place.depth && total == place.what;
        (fits && expected).then_some(Self(*numbers))
    }

    fn leaf_fits(place: Place, len: usize) -> bool {
        place == Place { what: len as u64, depth: 0 }
    }
}
