//! What the models of `loom-tests` need of the nodes. No part of the interface: it is there under `--cfg loom` and
//! `--cfg internals` only, and changes without notice.

use std::cell::RefCell;
use std::rc::Rc;
// Std's on purpose: loom does not see it, so the log gives the models no order that the nodes must give themselves.
// It cannot block them: nothing that holds it passes the turn on.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Serialize, de::DeserializeOwned};

use crate::codec::FlushContext;
use crate::error::{Error, Result};
use crate::node::flush;
use crate::node::load;
use crate::node::load_all;
use crate::node::{
    Branch, BranchLayout, Chain, Evict, Eviction, Node, NodeMut, NodeRef, OwnedLeaf, Root, SLOTS, Source,
    loaded,
};
use crate::record::Place;
use crate::record::{Address, LogScan, PinRecords, Record, RecordHead, RecordReader, RecordWriter, Tag};
use crate::state::Queue;

/// Most deltas between a record and the full one under it.
pub const MAX_CHAIN_LEN: u8 = crate::node::MAX_CHAIN_LEN;

const HERE: Place = Place { what: 0, depth: 0 };

/// A log that is a list of records.
#[derive(Clone)]
pub struct Log {
    tag: Tag,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Log {
    /// An empty log.
    ///
    /// # Panics
    /// When the process has used up its tags.
    #[expect(clippy::new_without_default, reason = "nobody needs it")]
    pub fn new() -> Self {
        Self { tag: Tag::next().expect("a tag"), records: Arc::default() }
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no record stands further above a full one than a flush may put it.
    pub fn is_within_bounds(&self) -> bool {
        let records = self.records();
        let mut chain_len = Vec::<usize>::new();
        for record in records.iter() {
            let base = record.refs.first().filter(|_| record.head.delta);
            chain_len.push(base.map_or(0, |base| chain_len[base.ordinal() as usize] + 1));
        }
        chain_len.into_iter().all(|chain_len| chain_len <= MAX_CHAIN_LEN.into())
    }
}

impl RecordReader for Log {
    fn tag(&self) -> Tag {
        self.tag
    }

    fn read(&self, address: Address) -> Result<Record> {
        let found = self.records().get(address.ordinal() as usize).cloned();
        found.ok_or(Error::Decode { address, type_name: "a record", reason: "there is none".into() })
    }

    fn sweep(&self) -> Box<dyn LogScan + '_> {
        Box::new(self.clone())
    }
}

impl PinRecords for Log {
    /// Nothing goes.
    fn keep(&self, _: Address) {}
}

impl LogScan for Log {
    fn read(&mut self, address: Address) -> Result<Record> {
        RecordReader::read(self, address)
    }
}

impl RecordWriter for Log {
    fn tag(&self) -> Tag {
        self.tag
    }

    fn append(&mut self, head: RecordHead, refs: &[Address], payload: &[u8]) -> Result<Address> {
        let mut records = self.records();
        let address = Address::new(0, records.len() as u32);
        let range = 0..payload.len() as u32;
        records.push(Record { address, head, refs: refs.to_vec(), block: payload.into(), payload: range });
        Ok(address)
    }
}

/// Nothing but slots and items.
#[derive(Clone, Copy)]
struct Plain;

impl BranchLayout for Plain {
    type Key = ();

    const TAGGED: bool = false;
    const NUMBERED: bool = false;

    fn shift<T>() -> u32 {
        0
    }

    fn place<T>(&self, _: &Branch<T, Self>, _: usize) -> Place {
        HERE
    }

    fn number(&self, _: usize) -> Option<u64> {
        None
    }

    fn rebuild<T>(_: u8, _: u16, _: u16, _: Place, _: &[u64; SLOTS]) -> Option<Self> {
        Some(Self)
    }

    fn leaf_fits(_: Place, _: usize) -> bool {
        true
    }
}

/// A branch over leaves.
pub struct Tree<T>(Root<T, Plain>);

impl<T> Clone for Tree<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Serialize + DeserializeOwned + Clone> Tree<T> {
    /// A branch whose ranges start at the slots of `starts`; each holds a leaf of the next items.
    pub fn new<const N: usize>(starts: u16, items: impl IntoIterator<Item = [T; N]>) -> Self {
        let mut branch = Branch::new(1, starts, Plain);
        for (start, items) in branch.ranges().zip(items) {
            let mut leaf = OwnedLeaf::with_capacity(N, false);
            items.into_iter().for_each(|item| leaf.push(item, None));
            branch.set(start, Some(Node::from_leaf(leaf)));
        }
        Self(Root::from_node(Node::from_branch(branch)))
    }

    /// A tree that is one leaf.
    pub fn leaf<const N: usize>(items: [T; N]) -> Self {
        let mut leaf = OwnedLeaf::with_capacity(N, false);
        items.into_iter().for_each(|item| leaf.push(item, None));
        Self(Root::from_node(Node::from_leaf(leaf)))
    }

    /// A tree of which nothing but the root is loaded.
    pub fn restore(log: &Log, address: Address) -> Self {
        let tree = Self::restore_lazily(log, address);
        tree.0.get(|| HERE);
        tree
    }

    /// A tree of which nothing is loaded.
    pub fn restore_lazily(log: &Log, address: Address) -> Self {
        let source = Source { backing: Arc::new(log.clone()), context: 0, decode };
        Self(Root::lazy(Arc::new(source), address))
    }

    /// Loads all of it.
    pub fn load_all(&self)
    where
        T: Send + Sync,
    {
        loaded(load_all(&self.0, HERE));
    }

    /// Lets go of all that is on record in the log.
    pub fn evict(&mut self, log: &Log) {
        Eviction::run(self, 0, Arc::new(log.clone()), &|_| true, Address::new(0, 0));
    }

    /// Writes what is dirty.
    pub fn flush(&self, log: &Log) -> Address {
        let save = FlushContext::new(Rc::new(RefCell::new(log.clone())));
        loaded(flush(&self.0, HERE, &save)).expect("a tree has a root")
    }

    /// The items of the leaf in `slot`, or of the one that is all.
    pub fn get(&self, slot: usize) -> &[T] {
        match self.0.get(|| HERE) {
            Some(NodeRef::Leaf(leaf)) => leaf.items(false),
            Some(NodeRef::Branch(branch)) => branch.child_leaf(slot).map_or(&[], |leaf| leaf.items(false)),
            _ => &[],
        }
    }

    /// The item of the leaf in `slot` at `index`, to be changed.
    pub fn get_mut(&mut self, slot: usize, index: usize) -> &mut T {
        let Some(NodeMut::Branch(branch)) = self.0.get_mut(|| HERE) else { panic!("the root is a branch") };
        match branch.child_mut(slot) {
            Some(NodeMut::Leaf(leaf)) => leaf.item_mut(index, false, 0),
            _ => panic!("no leaf in slot {slot}"),
        }
    }
}

fn decode<T: DeserializeOwned>(
    backing: &Arc<dyn RecordReader>,
    _: u64,
    chain: &Chain,
    place: Place,
) -> Result<Node<T, Plain>> {
    load(backing, chain, place, |_| Ok(0))
}

impl<T: Serialize + DeserializeOwned + Clone> Evict for Tree<T> {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        eviction.tree(&mut self.0, 0, decode);
    }
}

/// The queue of the thread that drops versions.
#[derive(Default)]
pub struct Garbage(Queue);

impl Garbage {
    /// Adds something, unless as much waits as may.
    pub fn push<T: Send + 'static>(&self, value: T) {
        drop(self.0.push(Box::new(value)));
    }

    /// Takes all that waits, after waiting for something if `lingered`, and drops it; how much it was.
    pub fn take(&self, lingered: bool) -> usize {
        self.0.take(lingered).len()
    }
}

/// Lets the threads of this model wait for so many ticks where they would wait for some.
#[cfg(loom)]
pub fn set_ticks(ticks: u32) {
    crate::sync::set_ticks(ticks);
}
