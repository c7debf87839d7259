//! Records copied from one log into another, each once, without knowing what they hold.
//!
//! Records refer to each other by index into the addresses that stand before their payload: they can be moved, and
//! what shares a record goes on sharing it.

use super::commit::Root;
use crate::error::Result;
use crate::node::Version;
use crate::node::merge;
use crate::random::HashMap;
use crate::record::{Address, RecordHead, RecordKind, RecordReader, RecordWriter};

/// Most records of one node: no writer makes longer chains, so a longer one is damage, and is not followed again for each
/// of its records.
pub(crate) const MAX_CHAIN_RECORDS: usize = 256;

/// Where records went.
#[derive(Default)]
pub(crate) struct Copied {
    moved: HashMap<Address, Address>,
}

impl Copied {
    /// Copies a record and all that it reaches, as far as that was not copied before; where the record went.
    pub(crate) fn copy(
        &mut self,
        from: &dyn RecordReader,
        address: Address,
        sink: &mut dyn RecordWriter,
    ) -> Result<Address> {
        let mut open = vec![address];
        while let Some(&next) = open.last() {
            if self.moved.contains_key(&next) {
                open.pop();
                continue;
            }
            let (head, refs, payload) = read(from, next)?;
            let before = open.len();
            open.extend(refs.iter().filter(|to| !self.moved.contains_key(to)));
            if open.len() == before {
                let refs: Vec<_> = refs.iter().map(|to| self.moved[to]).collect();
                self.moved.insert(next, sink.append(head, &refs, &payload)?);
                open.pop();
            }
        }
        Ok(self.moved[&address])
    }

    /// Copies all that a root of a commit reaches; the root as the new log names it.
    pub(crate) fn root(
        &mut self,
        from: &dyn RecordReader,
        root: &Root,
        sink: &mut dyn RecordWriter,
    ) -> Result<Root> {
        let shape = self.copy(from, root.shape, sink)?;
        let refs = root.refs.iter().map(|&to| self.copy(from, to, sink)).collect::<Result<_>>()?;
        Ok(Root { shape, refs, ..root.clone() })
    }
}

/// Reads a record. A branch that is a delta is made a full one: its base may name children that a delta says anew, and
/// that compaction therefore gave up.
pub(crate) fn read(from: &dyn RecordReader, address: Address) -> Result<(RecordHead, Vec<Address>, Vec<u8>)> {
    let record = from.read(address)?;
    let (head, refs, payload) = (record.head, record.refs.clone(), record.payload().to_vec());
    if head.kind == RecordKind::Branch && head.delta {
        let mut chain = vec![Version::of(record)];
        while let Some(base) =
            chain.last().and_then(Version::base).filter(|_| chain.len() < MAX_CHAIN_RECORDS)
        {
            chain.push(Version::of(from.read(base)?));
        }
        if let Some(full) = merge(&chain) {
            return Ok(full);
        }
    }
    Ok((head, refs, payload))
}
