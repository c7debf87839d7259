//! The segment that a writer fills.

use std::sync::Arc;

use super::commit::BatchPart;
use super::index::Index;
use super::manifest::Point;
use super::segment::Segment;
use crate::storage::StorageFile;

/// The segment that is being filled.
pub(crate) struct Active {
    pub segment: Arc<Segment>,
    pub file: Arc<dyn StorageFile>,
    /// Offset of the next write.
    pub offset: u32,
    pub next_ordinal: u32,
    /// The part of the batch in progress that lies here.
    pub part: BatchPart,
    /// Number of blocks that the segment had when that part began.
    pub blocks_before_part: usize,
    pub ordinal_before_part: u32,
}

impl Active {
    pub(crate) fn new(segment: Arc<Segment>, file: Arc<dyn StorageFile>, point: Point) -> Self {
        let mut active = Self {
            segment,
            file,
            offset: point.offset,
            next_ordinal: point.ordinal,
            part: BatchPart::default(),
            blocks_before_part: 0,
            ordinal_before_part: 0,
        };
        active.begin_part();
        active
    }

    /// Begins the part of a batch here.
    pub(crate) fn begin_part(&mut self) {
        self.part = BatchPart { offset: self.offset, ..BatchPart::default() };
        self.blocks_before_part = self.segment.with_index(Index::len);
        self.ordinal_before_part = self.next_ordinal;
    }
}
