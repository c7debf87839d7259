//! Letting go of nodes that are on record: clean subtrees become addresses again (invariants 6, 11).
//!
//! A child whose record is durable and reachable is replaced by its address; what its parent's lazy links load from
//! is replaced by a source that keeps exactly these addresses (and those that were lazy before), so that what an
//! older source kept goes when nobody else needs it. Nothing is marked changed: an evicted tree is as clean, or as
//! dirty, as it was.
//!
//! Two walks: the first weighs leaves by age, the second lets go of the oldest ones, and of branches below which
//! nothing is in memory. A leaf's age is the number of evictions since it was loaded or written. It stands in a field
//! that only branches use, is set where a leaf is decoded, and costs reads and changes nothing.
#![expect(unsafe_code, reason = "replaces tagged pointers by addresses")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::super::BranchLayout;
use super::super::branch::Branch;
use super::super::header::{Header, Identity};
use super::super::link::{NodeMut, NodeRef, Word};
use super::super::root::Root;
use super::super::source::{Decode, Source};
use crate::random::PointerSet;
use crate::record::Address;
use crate::record::{PinRecords, RecordReader};

/// Evictions of this process so far, of all stores; wraps, and a leaf that old then passes for a young one.
static EVICTIONS: AtomicU16 = AtomicU16::new(0);

/// What a leaf decoded now is stamped with.
pub(crate) fn now() -> u16 {
    EVICTIONS.load(Ordering::Relaxed)
}

/// Something whose nodes can be let go of: the collections of this crate, and whatever consists of them.
///
/// ```
/// use perennial::footprint::{Evict, Eviction};
/// use perennial::{HashMap, Vector};
///
/// struct World {
///     players: HashMap<u64, u64>,
///     log: Vector<u32>,
///     turn: u64,
/// }
///
/// impl Evict for World {
///     fn evict(&mut self, eviction: &mut Eviction<'_>) {
///         self.players.evict(eviction);
///         self.log.evict(eviction);
///     }
/// }
/// ```
pub trait Evict {
    /// Shows everything in memory that this holds and could load again. Called twice: first to weigh it, then to let go.
    ///
    /// What is not shown stays in memory. What entries hold in turn (a collection in a value) goes with their nodes and
    /// need not be shown.
    fn evict(&mut self, eviction: &mut Eviction<'_>);
}

impl<T: Evict + ?Sized> Evict for &mut T {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        (**self).evict(eviction);
    }
}

impl<T: Evict> Evict for Option<T> {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        self.iter_mut().for_each(|some| some.evict(eviction));
    }
}

/// What an eviction did. See [`Store::evict`](crate::store::Store::evict).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct EvictReport {
    /// Nodes that the state let go of.
    pub nodes: u64,
    /// Their bytes, of a node that stood in several places as often. They are free now, but for those that snapshots
    /// hold as well.
    pub bytes: u64,
    /// Bytes of nodes that the state still holds.
    pub resident_bytes: u64,
}

/// One eviction, as the collections of a state are shown to it.
pub struct Eviction<'a> {
    keeper: Arc<dyn PinRecords>,
    /// Which records are durable, and stay until the keeper is told.
    trusts: &'a dyn Fn(Address) -> bool,
    /// Records from here on were written since the eviction before.
    since: Address,
    now: u16,
    step: Step,
    /// Shared nodes that were weighed, so that what stands in several places counts once.
    seen: PointerSet<Header>,
    evicted: EvictReport,
}

enum Step {
    /// Bytes of the leaves that could go, by age.
    Weigh(BTreeMap<u16, u64>),
    /// Leaves older than this go, and so many bytes of those that are as old.
    LetGo { age: u16, quota_bytes: u64 },
}

impl<'a> Eviction<'a> {
    /// Lets go of nodes of a state, the least recently loaded or written first, until no more than `target_bytes` are left
    /// or nothing else can go.
    pub(crate) fn run<T: Evict + ?Sized>(
        state: &mut T,
        target_bytes: u64,
        keeper: Arc<dyn PinRecords>,
        trusts: &'a dyn Fn(Address) -> bool,
        since: Address,
    ) -> EvictReport {
        let mut eviction = Self {
            keeper,
            trusts,
            since,
            now: now(),
            step: Step::Weigh(BTreeMap::new()),
            seen: PointerSet::default(),
            evicted: EvictReport::default(),
        };
        state.evict(&mut eviction);
        let excess_bytes = eviction.evicted.resident_bytes.saturating_sub(target_bytes);
        if let Step::Weigh(by_age) = &eviction.step
            && excess_bytes > 0
        {
            eviction.step = choose(by_age, excess_bytes);
            state.evict(&mut eviction);
            EVICTIONS.fetch_add(1, Ordering::Relaxed);
        }
        eviction.evicted
    }

    /// Weighs one tree, or lets go of what is to go.
    pub(crate) fn tree<T, X: BranchLayout + Clone>(
        &mut self,
        root: &mut Root<T, X>,
        context: u64,
        decode: Decode<T, X>,
    ) {
        if let Step::Weigh(_) = self.step {
            self.weigh(root);
        } else {
            let backing = Arc::clone(&self.keeper) as Arc<dyn RecordReader>;
            self.let_go(root, &Arc::new(Source { backing, context, decode }));
        }
    }

    fn weigh<T, X: BranchLayout>(&mut self, root: &Root<T, X>) {
        let mut open: Vec<NodeRef<'_, T, X>> = root.resident().into_iter().collect();
        while let Some(node) = open.pop() {
            if !self.is_new(node.header()) {
                continue;
            }
            let bytes = node.allocated_bytes() as u64;
            self.evicted.resident_bytes += bytes;
            match node {
                NodeRef::Leaf(leaf) => {
                    let age = self.address(leaf.header()).map(|address| self.age(leaf.header(), address));
                    if let (Some(age), Step::Weigh(by_age)) = (age, &mut self.step) {
                        *by_age.entry(age).or_default() += bytes;
                    }
                }
                NodeRef::Branch(branch) => open.extend(branch.residents()),
            }
        }
    }

    /// Whether the node was not met before in this walk.
    fn is_new(&mut self, header: &Header) -> bool {
        !header.is_shared() || self.seen.insert(header)
    }

    /// Where the node lies if it is clean and can be loaded again.
    fn address(&self, header: &Header) -> Option<Address> {
        match header.identity() {
            Identity::Clean(tag, address)
                if u64::from(tag) == self.keeper.tag().to_bits() && (self.trusts)(address) =>
            {
                Some(address)
            }
            _ => None,
        }
    }

    fn age(&self, leaf: &Header, address: Address) -> u16 {
        if address >= self.since { 0 } else { self.now.wrapping_sub(leaf.stamp()) }
    }

    fn let_go<T, X: BranchLayout + Clone>(&mut self, root: &mut Root<T, X>, source: &Arc<Source<T, X>>) {
        if let Some((address, old)) = root.unloaded() {
            if old.same_opening(source) {
                self.keeper.keep(address);
                root.replace(Word::of_address(address), Some(source));
            }
            return;
        }
        let word = root.word();
        if word.resident().is_none() {
            return;
        }
        // SAFETY: resident, and owned by the root, which holds whatever takes its place.
        if let Some(address) = unsafe { self.visit(word, source, |twin| root.replace(twin, None)) } {
            let node = root.word();
            root.replace(Word::of_address(address), Some(source));
            // SAFETY: the root owned the reference and no longer does.
            unsafe { self.drop_node::<T, X>(node) };
        }
    }

    /// Lets go of what is below a branch.
    fn below<T, X: BranchLayout + Clone>(&mut self, branch: &mut Branch<T, X>, source: &Arc<Source<T, X>>) {
        let mut links = branch.ranges().filter_map(|start| branch.word(start).address()).peekable();
        // Lazy links of another opening cannot stand beside those of this one.
        let has_links = links.peek().is_some();
        let is_foreign = has_links && branch.source().is_none_or(|old| !old.same_opening(source));
        if has_links && !is_foreign {
            links.for_each(|address| self.keeper.keep(address));
            branch.set_source(source);
        }
        for start in branch.ranges() {
            let (word, end) = (branch.word(start), branch.end_of(start));
            if word.resident().is_none() {
                continue;
            }
            // SAFETY: resident, and owned by the branch, which holds whatever takes its place in the whole range.
            let gone = unsafe { self.visit(word, source, |twin| branch.fill(start, end, twin)) };
            if let Some(address) = gone.filter(|_| !is_foreign) {
                let node = branch.word(start);
                branch.set_source(source);
                branch.put_address(start, end, address);
                // SAFETY: the start owned the reference, and every copy of the word was overwritten.
                unsafe { self.drop_node::<T, X>(node) };
            }
        }
    }

    /// Lets go of what is below a node; the address of its record, kept, if the node itself is to go.
    ///
    /// # Safety
    /// The word must be resident and own a reference to a node of these types, in a slot that the caller has to itself.
    /// `replace` must put what it is given there instead.
    unsafe fn visit<T, X: BranchLayout + Clone>(
        &mut self,
        word: Word,
        source: &Arc<Source<T, X>>,
        replace: impl FnOnce(Word),
    ) -> Option<Address> {
        // SAFETY: passed on to the caller.
        let word = unsafe { word.make_twin::<T, X>(replace) };
        // SAFETY: a leaf is looked at; a branch is unique.
        match unsafe { word.view::<T, X>() } {
            NodeRef::Leaf(leaf) => {
                let (header, bytes) = (leaf.header(), leaf.allocated_bytes(X::TAGGED) as u64);
                let address = self.address(header)?;
                let age = self.age(header, address);
                if self.goes(age, bytes) {
                    self.keeper.keep(address);
                    return Some(address);
                }
                if age == 0 && !header.is_shared() {
                    // SAFETY: unique, in a slot that nobody else can reach.
                    if let NodeMut::Leaf(mut leaf) = unsafe { word.view_mut::<T, X>() } {
                        leaf.header_mut().set_stamp(self.now);
                    }
                }
                None
            }
            NodeRef::Branch(_) => {
                // SAFETY: unique, in a slot that nobody else can reach.
                let NodeMut::Branch(branch) = (unsafe { word.view_mut::<T, X>() }) else { return None };
                self.below(branch, source);
                let holds = |start| branch.word(start).resident().is_some();
                if branch.ranges().any(holds) {
                    return None;
                }
                let address = self.address(branch.header())?;
                self.keeper.keep(address);
                Some(address)
            }
        }
    }

    /// Whether a leaf of this age goes.
    fn goes(&mut self, age: u16, bytes: u64) -> bool {
        let Step::LetGo { age: oldest, quota_bytes } = &mut self.step else { return false };
        if age == *oldest && *quota_bytes > 0 {
            *quota_bytes = quota_bytes.saturating_sub(bytes);
            return true;
        }
        age > *oldest
    }

    /// Gives a node's reference back.
    ///
    /// # Safety
    /// The word must own a reference to a node of these types, and stand nowhere any more.
    unsafe fn drop_node<T, X: BranchLayout>(&mut self, word: Word) {
        // SAFETY: resident as long as the reference is owned.
        let bytes = unsafe { word.view::<T, X>() }.allocated_bytes() as u64;
        self.evicted.nodes += 1;
        self.evicted.bytes += bytes;
        self.evicted.resident_bytes = self.evicted.resident_bytes.saturating_sub(bytes);
        // SAFETY: passed on to the caller.
        unsafe { word.drop_owned::<T, X>() };
    }
}

/// Which leaves go, so that at least so many bytes do.
fn choose(by_age: &BTreeMap<u16, u64>, excess_bytes: u64) -> Step {
    let mut quota_bytes = excess_bytes;
    for (&age, &bytes) in by_age.iter().rev() {
        if bytes >= quota_bytes {
            return Step::LetGo { age, quota_bytes };
        }
        quota_bytes -= bytes;
    }
    Step::LetGo { age: 0, quota_bytes: u64::MAX }
}
