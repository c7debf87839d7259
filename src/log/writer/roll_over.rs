//! Replacing the manifest: at the writer's first write, at the end of a segment, and whenever others ask for it.

use std::io;

use super::*;

impl Writer {
    /// The manifest as it is, with what is kept now, to be changed and put into its place.
    pub(crate) fn next_manifest(&self) -> Manifest {
        Manifest {
            kept_commits: self.opening.pin_table().kept_commits.for_manifest(),
            ..self.manifest.clone()
        }
    }

    /// Replaces the manifest by `next`, its point moved to the end of the last commit; all before it must be durable.
    pub(crate) fn replace_manifest(&mut self, mut next: Manifest) -> Result<()> {
        self.move_point(&mut next, self.active.as_ref());
        self.put_manifest(next)
    }

    /// Replaces the manifest. A failure poisons, unless the manifest before is sure to be in force.
    fn put_manifest(&mut self, next: Manifest) -> Result<()> {
        self.syncer.check()?;
        debug_assert!(self.newest.as_ref().is_none_or(|newest| newest.id <= self.syncer.durable()));
        let directory = &self.opening.directory;
        let replaced = directory.replace_manifest(&mut self.slots, &next);
        replaced.map_err(|refused| self.refused(refused))?;
        self.manifest = next;
        for entry in self.forgotten.drain(..) {
            // What cannot be removed now is removed by the next opening.
            let _ = directory.remove_segment(self.opening.store_id, entry.number, entry.generation);
        }
        Ok(())
    }

    fn refused(&self, refused: Refused) -> Error {
        match refused.is_harmless {
            true => refused.error,
            false => self.syncer.poison(refused.error),
        }
    }

    /// Makes `manifest` the next one, its point at the end of the last commit.
    pub(crate) fn move_point(&self, manifest: &mut Manifest, active: Option<&Active>) {
        manifest.sequence = self.manifest.sequence + 1;
        manifest.epoch = self.epoch;
        manifest.next_commit_id = self.next_id;
        manifest.newest =
            self.newest.as_ref().map(|newest| CommitRef { id: newest.id, address: newest.address });
        if let Some(active) = active {
            manifest.point = Point { offset: active.part.offset, ordinal: active.ordinal_before_part };
            manifest.index = active.segment.with_index(|index| index.prefix(active.blocks_before_part));
        }
    }

    /// Seals the active segment, if there is one, and begins another with room for `needed` bytes.
    pub(crate) fn roll_over(&mut self, needed: u64) -> Result<()> {
        self.syncer.check()?;
        let number = self.active.as_ref().map_or(0, |active| active.segment.number() + 1);
        self.opening.expect_room(number)?;
        if number >= Address::MAX_SEGMENTS {
            let what = format!("the store has {number} segments, the most it can have; begin a new store");
            return Err(Error::Limit { what });
        }
        self.close_block();
        self.write_out(self.durability)?;
        let index_offset = self.seal()?;
        let index_bytes = u64::from(HEADER_BYTES) + Index::default().bound_bytes(3) as u64;
        let own_bytes = u64::from(FIRST_BATCH) + needed.next_multiple_of(SECTOR_BYTES.into()) + index_bytes;
        // A record and an index of the largest sizes are far from the end of a u32.
        let own_bytes = sector_up(own_bytes as u32);
        let entry = SegmentEntry {
            number,
            generation: 0,
            len_bytes: sector_up(self.segment_bytes).max(own_bytes),
            index_offset: 0,
        };
        self.begin_segment(entry, index_offset)
    }

    /// Writes the index of the active segment behind its blocks, and makes all of it durable; where the index lies. The segment is
    /// sealed by the manifest that says so: until then, what comes may still be written over the index.
    fn seal(&mut self) -> Result<u32> {
        let Some(active) = &self.active else { return Ok(0) };
        let mut raw = Vec::new();
        active.segment.with_index(|index| index.encode(&mut raw));
        let place = active.segment.place(active.offset);
        let facts = BlockFacts {
            kind: BlockKind::Index,
            records: 0,
            first_ordinal: active.next_ordinal,
            epoch: self.epoch,
        };
        let mut bytes = Vec::new();
        block::write(&mut bytes, place, facts, &raw, &mut self.compressor);
        debug_assert!(active.offset as usize + bytes.len() <= active.segment.entry.len_bytes as usize);
        active.file.write_all_at(&bytes, active.offset.into()).map_err(|e| {
            let name = segment_name(active.segment.number(), active.segment.entry.generation);
            self.syncer.poison(self.opening.directory.io_error("write", &name, e))
        })?;
        self.syncer.sync_all()?;
        Ok(place.offset)
    }

    /// Makes the file of a segment, and then lets the manifest name it, and say where the index of the one before lies.
    ///
    /// A full disk poisons nothing: the file is removed, and the writer is as it was.
    fn begin_segment(&mut self, entry: SegmentEntry, index_offset: u32) -> Result<()> {
        let opening = Arc::clone(&self.opening);
        let directory = &opening.directory;
        let made = self.make_segment(entry).map(|(segment, file)| {
            let active = Active::new(
                Arc::clone(&segment),
                Arc::clone(&file),
                Point { offset: FIRST_BATCH, ordinal: 0 },
            );
            let mut next = self.next_manifest();
            if let Some(sealed) = next.segments.last_mut() {
                sealed.index_offset = index_offset;
            }
            next.segments.push(entry);
            next.clean = false;
            next.buffered |= self.durability == Durability::Buffered;
            self.move_point(&mut next, Some(&active));
            (segment, file, active, next)
        });
        let put = match made {
            Ok((segment, file, active, next)) => self.put_manifest(next).map(|()| (segment, file, active)),
            Err(refused) => Err(self.refused(refused)),
        };
        let (segment, file, active) = put.inspect_err(|_| {
            if self.syncer.check().is_ok() {
                // No manifest knows it, and it takes the last room there is.
                let _ = directory.remove_segment(opening.store_id, entry.number, entry.generation);
            }
        })?;
        self.syncer.set_active(file, directory.path.join(segment_name(entry.number, entry.generation)));
        self.active = Some(active);
        self.begun = true;
        opening.add_segment(segment);
        Ok(())
    }

    /// Makes the file of a segment, durably.
    fn make_segment(&self, entry: SegmentEntry) -> Result<(Arc<Segment>, Arc<dyn StorageFile>), Refused> {
        let LogReader { directory, store_id, .. } = &*self.opening;
        let name = segment_name(entry.number, entry.generation);
        let io_error = |action| {
            let name = &name;
            move |e: io::Error| directory.io_error(action, name, e)
        };
        let in_doubt = |action| move |e| Refused::in_doubt(io_error(action)(e));
        let storage = &directory.storage;
        if !self.begun {
            // Perhaps the first segment. The process that made the store may have died before its manifest's name was
            // durable, and a segment without a manifest would be no store at all. The same goes for the directory.
            storage.sync_dir().map_err(in_doubt("sync the directory of"))?;
            if self.manifest.segments.is_empty() {
                storage.sync_name().map_err(in_doubt("sync the parent directory of"))?;
            }
        }
        let created = match storage.create(&name, entry.len_bytes.into()) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                witness::check_unnamed(directory, *store_id, entry.number).map_err(Refused::in_doubt)?;
                storage.remove(&name).map_err(in_doubt("remove"))?;
                storage.create(&name, entry.len_bytes.into())
            }
            created => created,
        };
        let file = created.map_err(|e| Refused::before(io_error("create")(e)))?;
        let written = file.write_all_at(&segment::header(entry, *store_id), 0);
        written.map_err(|e| Refused::before(io_error("write")(e)))?;
        file.sync_data().map_err(in_doubt("sync"))?;
        if !weaken::canary("directory_sync_skipped") {
            storage.sync_dir().map_err(in_doubt("sync the directory of"))?;
        }
        let segment = Segment::new(Arc::clone(directory), *store_id, entry, Some(Index::default()));
        segment.map_through(&*file).map_err(Refused::in_doubt)?;
        Ok((Arc::new(segment), file))
    }
}
