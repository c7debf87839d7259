//! Reading maps whose keys no longer belong where they lie.

use std::sync::Arc;

use crate::codec::ResolvingReader;
use crate::error::Result;
use crate::record::{Address, LogScan, Record, RecordReader, Tag};

/// A log from which hash maps are built anew. Its tag is its own, so nothing that is read through it passes for a
/// node of the log.
pub(super) struct Rebuilding {
    pub(super) backing: Arc<dyn RecordReader>,
    pub(super) tag: Tag,
}

impl RecordReader for Rebuilding {
    fn tag(&self) -> Tag {
        self.tag
    }

    fn read(&self, address: Address) -> Result<Record> {
        self.backing.read(address)
    }

    fn decoded(&self, address: Address, node: usize) {
        self.backing.decoded(address, node);
    }

    fn sweep(&self) -> Box<dyn LogScan + '_> {
        self.backing.sweep()
    }

    fn driven(&self) -> Option<&ResolvingReader> {
        self.backing.driven()
    }

    fn rebuilds(&self) -> bool {
        true
    }
}
