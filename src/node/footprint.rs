//! What versions hold in memory: together, what they share, and what each alone keeps alive.
//!
//! Nodes are walked as they are, nothing is loaded. A node that the same version was seen to hold ends the walk, and so
//! does one that several were seen to hold: whatever is below it is theirs too.

use super::BranchLayout;
use super::link::NodeRef;
use super::root::Root;
use crate::random::HashMap;

/// Something whose bytes in nodes can be counted: the collections of this crate, and whatever consists of them.
///
/// A collection counts the allocations of its nodes, which hold its entries. What an entry owns beyond (the bytes of a
/// `String`, the nodes of a collection in it) **is not counted**: a collection does not ask that its entries implement this
/// trait. Where entries hold collections, say so with `measure_with`, which every collection has; a node that versions share
/// is then counted once, at any depth.
///
/// ```
/// use perennial::footprint::{Footprint, Meter, resident_bytes};
/// use perennial::{HashMap, Vector};
///
/// struct World {
///     players: HashMap<u64, Player>,
///     log: Vector<u32>,
/// }
/// #[derive(Clone)]
/// struct Player {
///     items: Vector<u64>,
/// }
///
/// impl Footprint for World {
///     fn measure(&self, meter: &mut Meter) {
///         self.players.measure_with(meter, |meter, _, player| player.items.measure(meter));
///         self.log.measure(meter);
///     }
/// }
///
/// let items: Vector<u64> = (0..1000).collect();
/// let players = (0..10).map(|n| (n, Player { items: items.clone() })).collect();
/// let world = World { players, log: (0..1000).collect() };
/// assert!((4_000 + 8_000..25_000).contains(&resident_bytes(&world)), "all have the same items");
/// ```
pub trait Footprint {
    /// Tells the meter of everything in memory that this holds.
    fn measure(&self, meter: &mut Meter);
}

impl<T: Footprint + ?Sized> Footprint for &T {
    fn measure(&self, meter: &mut Meter) {
        (**self).measure(meter);
    }
}

impl<T: Footprint> Footprint for Option<T> {
    fn measure(&self, meter: &mut Meter) {
        self.iter().for_each(|some| some.measure(meter));
    }
}

/// What some versions hold in memory. See [`footprint`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemoryFootprint {
    /// Bytes that any of them holds.
    pub total_bytes: u64,
    /// Bytes that more than one of them holds.
    pub shared_bytes: u64,
    /// Of each: the bytes that none of the others holds. Dropping it frees them, if nobody else holds it.
    pub unique_bytes: Vec<u64>,
}

/// Tells what versions hold in memory, exactly. **O(nodes)**.
///
/// ```
/// use perennial::{HashMap, footprint::footprint};
///
/// let before: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
/// let mut after = before.clone();
/// after.insert(7, 0);
/// let footprint = footprint(&[before, after]);
/// assert!(footprint.shared_bytes > 50 * footprint.unique_bytes[1]);
/// ```
#[must_use]
pub fn footprint<T: Footprint>(versions: &[T]) -> MemoryFootprint {
    let mut meter = Meter::default();
    for version in versions {
        version.measure(&mut meter);
        meter.version += 1;
    }
    let mut found =
        MemoryFootprint { total_bytes: 0, shared_bytes: 0, unique_bytes: vec![0; versions.len()] };
    for (holder, bytes) in meter.seen.into_values() {
        found.total_bytes += bytes;
        match holder {
            Some(version) => found.unique_bytes[version] += bytes,
            None => found.shared_bytes += bytes,
        }
    }
    found
}

/// Tells what one version holds in memory. **O(nodes)**.
#[must_use]
pub fn resident_bytes<T: Footprint + ?Sized>(version: &T) -> u64 {
    let mut meter = Meter::default();
    version.measure(&mut meter);
    meter.seen.into_values().map(|(_, bytes)| bytes).sum()
}

/// Counts what it is told of, each thing once.
#[derive(Default)]
pub struct Meter {
    version: usize,
    /// By address: the only version that holds it, or `None` for several; and its bytes.
    seen: HashMap<usize, (Option<usize>, u64)>,
}

impl Meter {
    /// Counts an allocation of your own that versions may share. `identity` tells it from every other one alive: its
    /// address. Returns whether what it holds in turn is to be counted as well.
    pub fn add<T: ?Sized>(&mut self, identity: *const T, bytes: usize) -> bool {
        let version = self.version;
        let mut is_new = false;
        let (holder, _) = self.seen.entry(identity.cast::<()>().addr()).or_insert_with(|| {
            is_new = true;
            (Some(version), bytes as u64)
        });
        if is_new {
            return true;
        }
        // Several hold it, or this very version: all below is known.
        if holder.is_none_or(|holder| holder == version) {
            return false;
        }
        *holder = None;
        true
    }
}

/// Tells the meter of the resident nodes of a tree.
pub(crate) fn measure<T, X: BranchLayout>(root: &Root<T, X>, meter: &mut Meter) {
    measure_with(root, meter, &mut |_, _| ());
}

/// Tells the meter of the resident nodes of a tree, and `each` of the items of those that it did not know.
pub(crate) fn measure_with<T, X: BranchLayout>(
    root: &Root<T, X>,
    meter: &mut Meter,
    each: &mut dyn FnMut(&mut Meter, &T),
) {
    let mut open: Vec<NodeRef<'_, T, X>> = root.resident().into_iter().collect();
    while let Some(node) = open.pop() {
        let shared = node.shared();
        let own_bytes = node.allocated_bytes() - shared.map_or(0, |(_, bytes)| bytes);
        if !meter.add(std::ptr::from_ref(node.header()), own_bytes) {
            continue;
        }
        if let Some((place, bytes)) = shared {
            meter.add(place, bytes);
        }
        match node {
            NodeRef::Branch(branch) => open.extend(branch.residents()),
            NodeRef::Leaf(leaf) => leaf.items(X::TAGGED).iter().for_each(|item| each(meter, item)),
        }
    }
}
