//! The commit at the end of a batch: what it says, and what goes with it.

use std::sync::Arc;

use super::{Writer, no_segment};
use crate::error::{Error, Result};
use crate::log::aging;
use crate::log::block::{self, BlockFacts, BlockKind};
use crate::log::commit::{BatchSize, Commit, Draft};
use crate::log::format::{MAX_RECORD_BYTES, sector_up};
use crate::log::index::BlockEntry;
use crate::log::options::Durability;
use crate::log::record;
use crate::record::Address;
use crate::retention;
use crate::weaken;

impl Writer {
    /// Writes the commit of the batch; with it, the ids of the commits that the policy drops.
    pub(crate) fn write_commit(
        &mut self,
        mut draft: Draft,
        durability: Durability,
    ) -> Result<(Arc<Commit>, Vec<u64>)> {
        self.syncer.check()?;
        let previous = self.newest.as_deref().map(Commit::link);
        let depth = previous.map_or(0, |previous| previous.depth + 1);
        let (id, time_micros) = draft.copy_of.unwrap_or_else(|| (self.next_id, self.clock.now_micros()));
        let id = id.max(self.next_id);
        if id == u64::MAX {
            return Err(Error::Limit {
                what: "no id is left for another checkpoint; begin a new store".into(),
            });
        }
        if draft.fields.get(aging::IN_USE_FIELD).is_none() {
            let in_use = aging::in_use_after(self.newest.as_deref(), time_micros);
            aging::set_in_use(&mut draft.fields, time_micros, in_use);
        }
        let next = self.thin(id, depth, time_micros, &mut draft);
        let bound = Commit::bound_bytes(&draft);
        if bound > MAX_RECORD_BYTES {
            return Err(record::too_large("the roots of the checkpoint", bound));
        }
        self.close_block();
        // An empty store, or one without room: the commit opens a segment.
        let offset = self.make_room(bound, Address::MAX_ORDINALS)?;
        // What may fail and leave the writer as it was comes before the commit is in the buffer: from there a later call would
        // write it, though it was refused.
        self.begin(durability)?;
        let Some(active) = &mut self.active else { return Err(no_segment()) };
        let mut commit = Commit {
            id,
            address: Address::new(active.segment.number(), active.next_ordinal),
            time_micros,
            parent: draft.parent,
            label: draft.label,
            durable_floor: self.syncer.durable(),
            depth,
            previous,
            jump: self.newest.as_deref().map(|newest| self.opening.jump_after(newest)),
            part: active.part,
            size: self.batch,
            roots: draft.roots,
            fields: draft.fields,
            written_bytes: 0,
        };
        let facts = BlockFacts {
            kind: BlockKind::Commit,
            records: 1,
            first_ordinal: active.next_ordinal,
            epoch: self.epoch,
        };
        let start = self.buffer.len();
        let place = active.segment.place(offset);
        block::write(&mut self.buffer, place, facts, &commit.encode(), &mut self.compressor);
        commit.written_bytes = self.batch.stored_bytes + (self.buffer.len() - start) as u64;
        self.entries.push(BlockEntry { offset, first_ordinal: active.next_ordinal, is_commit: true });
        active.next_ordinal += 1;
        if weaken::is("written_early") {
            self.syncer.set_written(commit.id);
        }
        if weaken::is("newest_early") {
            self.opening.set_newest(Some(Arc::new(commit.clone())));
        }
        self.write_out(durability)?;
        let mut dropped = Vec::new();
        if let (Some(thinning), Some(next)) = (&mut self.thinning, next) {
            dropped.clone_from(&next.dropped);
            thinning.apply(next);
        }
        Ok((self.committed(commit), dropped))
    }

    /// Asks the policy what goes with a commit, which then says so.
    fn thin(&self, id: u64, depth: u64, time_micros: u64, draft: &mut Draft) -> Option<retention::Next> {
        let thinning = self.thinning.as_ref()?;
        let in_use = aging::in_use_of(&draft.fields, time_micros);
        let version = aging::version(depth, time_micros, in_use, draft.label.as_deref(), &draft.roots);
        let next = thinning.next(id, version);
        aging::set_dropped(&mut draft.fields, &next.dropped);
        Some(next)
    }

    /// Moves everything past a commit that was written.
    fn committed(&mut self, commit: Commit) -> Arc<Commit> {
        let commit = Arc::new(commit);
        self.syncer.set_written(commit.id);
        self.next_id = commit.id + 1;
        self.newest = Some(Arc::clone(&commit));
        self.batch = BatchSize::default();
        if let Some(active) = &mut self.active {
            active.offset = sector_up(active.offset).min(active.segment.entry.len_bytes);
            active.begin_part();
        }
        commit
    }
}
