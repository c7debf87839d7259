//! Loading a whole tree: level by level, in the order of the log, with all cores.
//!
//! The records of a node lie scattered over the log, its base where it was written in full, its deltas behind. So each
//! thread sweeps once from the end of the log to its beginning: it keeps the nodes it has begun in a heap by the
//! address they need next, reads the highest, and decodes a node when its full record is there. Blocks are decoded
//! once a thread, whatever the length of the chains; what is kept meanwhile is the deltas.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::thread;

use super::super::BranchLayout;
use super::super::branch::{Branch, Child};
use super::super::link::NodeRef;
use super::super::root::Root;
use super::super::source::Source;
use super::load::Chain;
use crate::error::Result;
use crate::record::Address;
use crate::record::Place;

/// Fewer nodes than this a thread are not worth starting one.
const MIN_NODES: usize = 256;

/// A child that is only in the log, and where it belongs.
struct Missing<'a, T, X: BranchLayout> {
    address: Address,
    branch: &'a Branch<T, X>,
    start: usize,
    source: &'a Arc<Source<T, X>>,
}

/// Loads every node of a tree that is not in memory yet. **O(n)**, parallel.
///
/// # Errors
/// The first that reading or decoding answered; what could be loaded is loaded.
pub(crate) fn load_all<T: Send + Sync, X: BranchLayout + Send + Sync>(
    root: &Root<T, X>,
    place: Place,
) -> Result<()> {
    let Some(NodeRef::Branch(root)) = root.try_get(|| place)? else { return Ok(()) };
    let mut level = vec![root];
    while !level.is_empty() {
        let mut missing = Vec::new();
        for &branch in &level {
            let Some(source) = branch.source() else { continue };
            for start in branch.ranges() {
                if let Some(Child::Lazy(address)) = branch.peek(start) {
                    missing.push(Missing { address, branch, start, source });
                }
            }
        }
        missing.sort_unstable_by_key(|node| node.address);
        load(&missing)?;
        level = level
            .iter()
            .flat_map(|branch| branch.residents())
            .filter_map(|child| match child {
                NodeRef::Branch(branch) => Some(branch),
                NodeRef::Leaf(_) => None,
            })
            .collect();
    }
    Ok(())
}

fn load<T: Send + Sync, X: BranchLayout + Send + Sync>(missing: &[Missing<'_, T, X>]) -> Result<()> {
    let worthwhile = missing.len() / MIN_NODES;
    // Asking for the number of cores takes longer than loading a small tree: it reads files of the system's.
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let threads = if worthwhile < 2 { 1 } else { cores().min(worthwhile) };
    // Under loom, threads of the system could not touch the slots.
    if threads < 2 || cfg!(loom) {
        return sweep(missing);
    }
    thread::scope(|scope| {
        let parts = missing.chunks(missing.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || sweep(part))).collect();
        let (mut outcome, mut panicked) = (Ok(()), None);
        for thread in running {
            match (thread.join(), &panicked) {
                (Ok(result), _) => outcome = outcome.and(result),
                (Err(panic), None) => panicked = Some(panic),
                // Of several panics one goes on. What another said is the user's, and may panic when it is dropped.
                (Err(panic), Some(_)) => std::mem::forget(panic),
            }
        }
        // A panic in the user's Deserialize goes on in the caller.
        panicked.map_or(outcome, |panic| std::panic::resume_unwind(panic))
    })
}

/// Loads some nodes of ascending addresses, reading the log backwards.
fn sweep<T, X: BranchLayout>(missing: &[Missing<'_, T, X>]) -> Result<()> {
    let Some(first) = missing.first() else { return Ok(()) };
    let mut log = first.source.backing.sweep();
    let above = missing.last().map_or(0, |last| last.address.segment() as usize + 1);
    let mut begun = Begun { lowest: above, ..Begun::default() };
    let mut rest = missing.len();
    loop {
        let next = rest.checked_sub(1).map(|index| missing[index].address);
        // What was begun and needs a record further back than the next node has comes later.
        let (address, index, mut chain) = match (begun.highest(next), next) {
            (Some(needed), next) if next.is_none_or(|next| needed > next) => begun.pop(),
            (_, Some(next)) => {
                rest -= 1;
                (next, rest, Chain::default())
            }
            (_, None) => return Ok(()),
        };
        let node = &missing[index];
        // A tree may hold parts of several openings; the pass is over the first one's log.
        let record = match node.source.same_opening(first.source) {
            true => log.read(address),
            false => node.source.backing.read(address),
        };
        let Ok(record) = record else {
            // Perhaps compaction removed it after it wrote what stands upon it in full.
            node.branch.install(node.start, node.source.load(node.address, node.branch.place(node.start))?);
            continue;
        };
        // A delta waits for its base, which may lie at the other end of the log.
        let record = if record.head.delta { record.detach() } else { record };
        if let Some(needs) = chain.push(record)? {
            begun.push(needs, index, chain);
        } else {
            let loaded = node.source.decode(&chain, node.branch.place(node.start))?;
            node.branch.install(node.start, loaded);
        }
    }
}

/// Nodes of which newer records were read, by the address they need next.
///
/// Most need one far back, so only those of the segments at hand are kept in order: the others wait
/// unsorted, segment by segment.
#[derive(Default)]
struct Begun {
    /// Small entries, because they move: the address and a place in `chains`.
    ordered: BinaryHeap<(Address, u32)>,
    /// The lowest segment whose entries are ordered.
    lowest: usize,
    /// Entries of lower segments, by segment.
    waiting: Vec<Vec<(Address, u32)>>,
    chains: Vec<(usize, Chain)>,
    free: Vec<u32>,
}

impl Begun {
    /// The highest address needed, if it may be above `next`.
    fn highest(&mut self, next: Option<Address>) -> Option<Address> {
        let down_to = next.map_or(0, |next| next.segment() as usize);
        while self.ordered.is_empty() && self.lowest > down_to {
            self.lowest -= 1;
            if let Some(entries) = self.waiting.get_mut(self.lowest) {
                self.ordered = std::mem::take(entries).into();
            }
        }
        self.ordered.peek().map(|&(address, _)| address)
    }

    fn push(&mut self, needs: Address, index: usize, chain: Chain) {
        let place = match self.free.pop() {
            Some(place) => {
                self.chains[place as usize] = (index, chain);
                place
            }
            None => {
                self.chains.push((index, chain));
                (self.chains.len() - 1) as u32
            }
        };
        let segment = needs.segment() as usize;
        if segment >= self.lowest {
            self.ordered.push((needs, place));
            return;
        }
        if self.waiting.len() <= segment {
            self.waiting.resize_with(segment + 1, Vec::new);
        }
        self.waiting[segment].push((needs, place));
    }

    /// Takes the highest; there must be one.
    fn pop(&mut self) -> (Address, usize, Chain) {
        let (address, place) = self.ordered.pop().expect("a node was begun");
        self.free.push(place);
        let (index, chain) = std::mem::take(&mut self.chains[place as usize]);
        (address, index, chain)
    }
}
