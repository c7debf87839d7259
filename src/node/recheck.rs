//! Finding changes that no checkpoint sees, in builds with debug assertions.
//!
//! A flush writes what was changed through `&mut`, which marks it (invariant 1). A value that is changed behind `&`, by
//! a lock, a cell or an atomic in it, leaves its leaf clean: the checkpoint succeeds, and the change is not in it. So
//! each checkpoint encodes a few leaves again that it would pass over, and compares digests of what was written of them.
//! Nothing is read from the log, and release builds do none of this.
//!
//! Only an object is compared with itself: a leaf that a flush of this process encoded, and that has been neither copied
//! nor decoded since. A `HashSet` of std's in a value, say, has one order as long as it lives, and perhaps another
//! when it was decoded; both are right. What tells a leaf is where it lies in memory and a count of copies in its header
//! ([`Header::copied`](super::header::Header::copied)); and when a leaf is decoded where another one lay, that one is forgotten.

use std::rc::Rc;

use serde::Serialize;

use super::BranchLayout;
use super::branch::Child;
use super::header::{Header, Identity};
use super::leaf::LeafRef;
use super::link::NodeRef;
use super::root::Root;
use crate::codec::{FlushContext, Portion, RoundTrip};
use crate::error::{Error, Result};
use crate::record::Address;
use crate::record::recheck::{Digest, LeafId, Look};

/// The leaf that has this header.
pub(super) fn leaf_id(header: &Header) -> LeafId {
    LeafId { node: std::ptr::from_ref(header).addr(), copies: header.copies() }
}

/// Encodes some clean leaves of a tree that was flushed just now again.
///
/// # Errors
/// [`Error::Encode`] if one of them has changed.
pub(super) fn look<T: Serialize, X: BranchLayout>(root: &Root<T, X>, save: &FlushContext) -> Result<()> {
    let (Some(rechecks), Some(node)) = (save.rechecks(), root.resident()) else { return Ok(()) };
    let save = save.once_more(RoundTrip::Look(rechecks.look()));
    match save.trial() {
        Some(RoundTrip::Look(look)) => look.visit(node, &save, true),
        _ => Ok(()),
    }
}

impl Look {
    /// Looks at a collection in an item that is being encoded again; where its root was written, by whatever store.
    ///
    /// # Errors
    /// [`Error::Encode`] if there is no such record: it was changed, and the leaf that it is in does not know.
    pub(super) fn collection<T: Serialize, X: BranchLayout>(
        &self,
        root: &Root<T, X>,
        save: &Rc<FlushContext>,
    ) -> Result<Option<Address>> {
        if let Some((address, _)) = root.unloaded() {
            return Ok(Some(address));
        }
        let Some(node) = root.resident() else { return Ok(None) };
        let Identity::Clean(_, address) = node.header().identity() else { return Err(self.unseen::<T>()) };
        self.visit(node, save, true)?;
        Ok(Some(address))
    }

    /// Goes from some leaf on to the last one, and then from the first one, as far as that is to go.
    fn visit<T: Serialize, X: BranchLayout>(
        &self,
        node: NodeRef<'_, T, X>,
        save: &Rc<FlushContext>,
        anywhere: bool,
    ) -> Result<()> {
        let branch = match node {
            NodeRef::Leaf(leaf) => return self.leaf::<T, X>(leaf, save),
            NodeRef::Branch(branch) => branch,
        };
        let starts: Vec<_> = branch.ranges().collect();
        let first = if anywhere { self.random(starts.len()) } else { 0 };
        for (step, &start) in starts[first..].iter().chain(&starts[..first]).enumerate() {
            if self.leaves.get() == 0 || self.nodes.get() == 0 || self.bytes.get() == 0 {
                break;
            }
            self.nodes.set(self.nodes.get() - 1);
            if let Some(Child::Resident(child)) = branch.peek(start) {
                self.visit(child, save, anywhere && step == 0)?;
            }
        }
        Ok(())
    }

    fn leaf<T: Serialize, X: BranchLayout>(
        &self,
        leaf: LeafRef<'_, T>,
        save: &Rc<FlushContext>,
    ) -> Result<()> {
        let Identity::Clean(tag, address) = leaf.header().identity() else { return Ok(()) };
        let known = self.rechecks.known(leaf_id(leaf.header()), address);
        let Some(known) = known.filter(|_| u64::from(tag) == save.tag().to_bits()) else { return Ok(()) };
        self.leaves.set(self.leaves.get().saturating_sub(1));
        let (mut bytes, mut refs) = (Vec::new(), Vec::new());
        let mut groups: Vec<_> = leaf.items(X::TAGGED).chunks(1 << X::shift::<T>()).zip(known).collect();
        // Collections in the first ones may use up what is to be looked at.
        let first = self.random(groups.len());
        groups.rotate_left(first);
        for (items, known) in groups {
            let Some(known) = known else { continue };
            bytes.clear();
            refs.clear();
            refs.resize(known.refs as usize, address);
            let encoded = match items {
                [item] if X::shift::<T>() == 0 => save.encode(item, &mut bytes, &mut refs),
                items => save.encode_portion(Portion::Items, items, &mut bytes, &mut refs),
            };
            self.bytes.set(self.bytes.get().saturating_sub(bytes.len()));
            match encoded {
                Ok(()) if Digest::of(known.refs as usize, &bytes) == known => {}
                Ok(()) => return Err(self.unseen::<T>()),
                Err(error) if self.met.get() => return Err(error),
                // What else an encoder says now is not what this is about.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn unseen<T>(&self) -> Error {
        self.met.set(true);
        unseen::<T>()
    }
}

fn unseen<T>() -> Error {
    Error::Encode {
        type_name: std::any::type_name::<T>(),
        reason: "one of them was changed behind a shared reference (a lock, a cell or an atomic in it) after it was \
                 written, and checkpoints do not see that: the change would be lost. Change it through `get_mut` or \
                 `iter_mut`, insert it anew, or keep it outside of the state. (Only builds with debug assertions look \
                 for this, and only at a few entries each time.)"
            .into(),
    }
}
