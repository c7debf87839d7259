//! Loading a whole tree: level by level, in the order of the log, with all cores.
//!
//! The records of a node lie scattered over the log, its base where it was written in full, its deltas behind. So each
//! thread sweeps once from the end of the log to its beginning: it keeps the nodes it has begun in a heap by the
//! address they need next, reads the highest, and decodes a node when its full record is there. Blocks are decoded
//! once a thread, whatever the length of the chains; what is kept meanwhile is the deltas.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::thread;

use super::branch::{Branch, Child};
use super::link::NodeRef;
use super::load::Chain;
use super::root::Root;
use super::source::Source;
use super::{Address, Place, Shape};
use crate::error::Result;

/// Fewer nodes than this a thread are not worth starting one.
const LEAST_NODES: usize = 256;

/// A child that is only in the log, and where it belongs.
struct Missing<'a, T, X: Shape> {
    address: Address,
    branch: &'a Branch<T, X>,
    start: usize,
    source: &'a Arc<Source<T, X>>,
}

/// Loads every node of a tree that is not in memory yet. **O(n)**, parallel.
///
/// # Errors
/// The first that reading or decoding answered; what could be loaded is loaded.
pub(crate) fn load_all<T: Send + Sync, X: Shape>(root: &Root<T, X>, place: Place) -> Result<()> {
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
            .flat_map(|branch| branch.ranges().filter_map(|start| branch.peek(start)))
            .filter_map(|child| match child {
                Child::Resident(NodeRef::Branch(branch)) => Some(branch),
                _ => None,
            })
            .collect();
    }
    Ok(())
}

fn load<T: Send + Sync, X: Shape>(missing: &[Missing<'_, T, X>]) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(missing.len() / LEAST_NODES);
    if threads < 2 {
        return sweep(missing);
    }
    thread::scope(|scope| {
        let parts = missing.chunks(missing.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || sweep(part))).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            // A panic in the user's Deserialize goes on in the caller.
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Loads some nodes, reading the log backwards.
fn sweep<T, X: Shape>(missing: &[Missing<'_, T, X>]) -> Result<()> {
    let mut chains: Vec<Chain> = missing.iter().map(|_| Chain::default()).collect();
    let mut needed: BinaryHeap<(Address, usize)> =
        missing.iter().enumerate().map(|(index, node)| (node.address, index)).collect();
    while let Some((address, index)) = needed.pop() {
        let node = &missing[index];
        if let Some(base) = chains[index].push(node.source.backing.read(address)?)? {
            needed.push((base, index));
            continue;
        }
        let chain = std::mem::take(&mut chains[index]);
        let loaded = node.source.decode(&chain, node.branch.place(node.start))?;
        node.branch.install(node.start, loaded);
    }
    Ok(())
}
