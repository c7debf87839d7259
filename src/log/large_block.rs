//! The last block that was too large for the cache, kept while somebody reads all of a store.
//!
//! Compaction once put small records before a large one, so a block of many records may be of any length. Who reads the
//! records one after the other would unpack such a block once for each of them.

use std::sync::Arc;

use super::block::RecordBlock;
use super::manifest::SegmentEntry;
use crate::sync::Mutex;

/// The block, and how many readers want it kept.
#[derive(Default)]
pub(crate) struct LargeBlock(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    readers: usize,
    block: Option<(SegmentEntry, u32, Arc<RecordBlock>)>,
}

impl LargeBlock {
    /// Returns the block, if it is the one at this place.
    pub(crate) fn get(&self, segment: SegmentEntry, offset: u32) -> Option<Arc<RecordBlock>> {
        let kept = self.0.lock();
        let (of, at, block) = kept.block.as_ref()?;
        (*of == segment && *at == offset).then(|| Arc::clone(block))
    }

    /// Keeps the block, if somebody wants that and it holds more than one record.
    pub(crate) fn offer(&self, segment: SegmentEntry, offset: u32, block: &Arc<RecordBlock>) {
        let mut kept = self.0.lock();
        if kept.readers > 0 && block.len() > 1 {
            let before = kept.block.replace((segment, offset, Arc::clone(block)));
            drop(kept);
            drop(before);
        }
    }

    /// Keeps blocks from now on, while the guard lives.
    pub(crate) fn keep(&self) -> KeepLarge<'_> {
        self.0.lock().readers += 1;
        KeepLarge(self)
    }
}

/// A reader of all of a store.
pub(crate) struct KeepLarge<'a>(&'a LargeBlock);

impl Drop for KeepLarge<'_> {
    fn drop(&mut self) {
        let mut kept = self.0.0.lock();
        kept.readers -= 1;
        if kept.readers == 0 {
            let block = kept.block.take();
            drop(kept);
            drop(block);
        }
    }
}
