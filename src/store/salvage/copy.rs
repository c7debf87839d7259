//! Which records of a damaged store are whole, and their way into a new one.
//!
//! Records refer only to what lies before them (invariant 5). So one pass over the log from its beginning to its end knows,
//! when it meets a record, whether all that the record needs is whole; a walk back over what was noted finds what the whole
//! checkpoints reach; and a second pass in the same direction copies it, each record after those that it refers to. No
//! record is read at random, so no block is unpacked more than twice, whatever refers to what.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Place, corrupt};
use crate::error::{Error, Result};
use crate::log::aging;
use crate::log::block::RecordBlock;
use crate::log::commit::{Draft, Root};
use crate::log::copy::MAX_CHAIN_RECORDS;
use crate::log::index::BlockEntry;
use crate::log::options::Durability;
use crate::log::reader::{LogReader, read_block};
use crate::log::segment::Segment;
use crate::log::verify::{Wanted, Watched, no_beginning};
use crate::log::{Log, WriterGuard};
use crate::node::merge;
use crate::node::{Version, needs_of};
use crate::random::HashMap;
use crate::record::{Address, Record, RecordHead, RecordKind, RecordWriter};

/// Branches are kept in memory, since later ones are deltas of them: in all at most so many times the bytes of the store.
/// They are hardly ever compressed.
const KEPT_PER_BYTE: u64 = 16;
/// Chains of branches are merged: in all at most so many times the bytes of all records. A branch of long keys, of which
/// one child changes at each checkpoint, takes 20.
const MERGED_PER_BYTE: u64 = 256;
/// And so much in any case.
const MIN_BYTES: u64 = 64 << 20;

/// The records of a damaged store, and those of them that are to be copied.
pub(super) struct Copy<'a> {
    from: &'a Arc<LogReader>,
    /// By segment; of each in the order of their ordinals.
    records: BTreeMap<u32, Vec<Known>>,
    /// Blocks that cannot be read: segment, first ordinal, and the one behind the last; and why.
    damage: BTreeMap<(u32, u32), (u32, Arc<str>)>,
    /// The branches, as they were written.
    branches: HashMap<Address, Version>,
    /// Bytes of memory that may still be used for them.
    kept_left: u64,
    /// Bytes that may still be merged.
    merged_left: u64,
    /// The commits to copy, by id.
    commits: BTreeMap<u64, Address>,
    copied: u64,
}

/// Knowledge of a record.
struct Known {
    ordinal: u32,
    is_needed: bool,
    /// Address of its copy.
    moved: Option<Address>,
    fate: Fate,
}

/// True if a record can be copied.
enum Fate {
    /// It and all that it reaches can be read: what it is, and what it refers to.
    Whole(RecordKind, Box<[Address]>),
    Lost(Lost),
}

/// A place that cannot be read, and the reason.
#[derive(Clone)]
struct Lost {
    at: Address,
    what: Arc<str>,
}

/// A record as it is to be copied.
struct Form {
    head: RecordHead,
    refs: Vec<Address>,
    payload: Vec<u8>,
}

impl<'a> Copy<'a> {
    /// Looks at all records of a store.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub(super) fn of(from: &'a Arc<LogReader>, watched: &mut Watched<'_>) -> Result<Self> {
        let segments = from.segments();
        let bytes: u64 = segments.iter().map(|segment| u64::from(segment.entry.len_bytes)).sum();
        let mut copy = Self {
            from,
            records: BTreeMap::new(),
            damage: BTreeMap::new(),
            branches: HashMap::default(),
            kept_left: MIN_BYTES + KEPT_PER_BYTE * bytes,
            merged_left: MIN_BYTES,
            commits: BTreeMap::new(),
            copied: 0,
        };
        for segment in &segments {
            copy.look_at(segment)?;
            watched.add(segment.entry.len_bytes.into());
        }
        Ok(copy)
    }

    /// Looks at the records of one segment.
    fn look_at(&mut self, segment: &Segment) -> Result<()> {
        let number = segment.number();
        let index = segment.blocks()?;
        for (entry, epoch, end) in index.iter().filter(|(entry, ..)| !entry.is_commit) {
            let block = segment.expect_apart(&index, entry).and_then(|()| read(segment, entry, epoch));
            let block = match block {
                Ok(block) => block,
                Err(error @ (Error::Io { .. } | Error::MissingFeature { .. })) => return Err(error),
                Err(error) => {
                    self.damage.insert((number, entry.first_ordinal), (end, error.to_string().into()));
                    continue;
                }
            };
            self.merged_left = self.merged_left.saturating_add(MERGED_PER_BYTE * block.raw_bytes());
            for (ordinal, _) in block.lengths().rev().filter(|&(ordinal, _)| ordinal < end) {
                let address = Address::new(number, ordinal);
                let fate = match block.record(address) {
                    Ok(record) => self.fate(record),
                    Err(error) => Err(Lost { at: address, what: error.to_string().into() }),
                };
                let fate = fate.unwrap_or_else(Fate::Lost);
                let known = Known { ordinal, is_needed: false, moved: None, fate };
                self.records.entry(number).or_default().push(known);
            }
        }
        Ok(())
    }

    /// Decides whether a record, and all that it reaches, is whole. All before it are decided.
    fn fate(&mut self, record: Record) -> Result<Fate, Lost> {
        let address = record.address;
        let lost = |what: String| Lost { at: address, what: what.into() };
        if record.head.kind == RecordKind::Branch {
            let version = Version::of(record.clone());
            let bytes = version.memory_bytes() as u64;
            self.kept_left = self.kept_left.checked_sub(bytes).ok_or_else(|| {
                lost(format!(
                    "its {bytes} bytes are more than the branches of a store of this length can take"
                ))
            })?;
            self.branches.insert(address, version);
        }
        let form = self.form(record).map_err(lost)?;
        let needs = needs_of(form.head, &form.refs, &form.payload, u16::MAX)
            .ok_or_else(|| lost(no_beginning(address)))?;
        let base = needs.base.map(|(base, _)| (base, Wanted::version(form.head.kind)));
        for (to, wanted) in needs.nodes.into_iter().map(|to| (to, Wanted::Node)).chain(base) {
            self.expect(to, wanted)?;
        }
        Ok(Fate::Whole(form.head.kind, form.refs.into()))
    }

    /// The record as it is to be copied. A branch that is a delta is made a full one: its base may name children that a
    /// delta says anew, and that compaction therefore gave up.
    fn form(&mut self, record: Record) -> Result<Form, String> {
        let head = record.head;
        if head.kind == RecordKind::Branch && head.delta {
            let mut chain = vec![Version::of(record.clone())];
            while let Some(version) =
                chain.last().and_then(Version::base).and_then(|base| self.branches.get(&base))
            {
                let bytes = version.memory_bytes() as u64;
                self.merged_left = self
                    .merged_left
                    .checked_sub(bytes)
                    .ok_or("its deltas stand upon more bytes than a writer lets them")?;
                chain.push(version.clone());
                if chain.len() > MAX_CHAIN_RECORDS {
                    return Err(format!("more than {MAX_CHAIN_RECORDS} records stand one upon the other"));
                }
            }
            if let Some((head, refs, payload)) = merge(&chain) {
                return Ok(Form { head, refs, payload });
            }
        }
        let payload = record.payload().to_vec();
        Ok(Form { head, refs: record.refs, payload })
    }

    /// Returns the knowledge of the record at an address.
    fn known(&mut self, address: Address) -> Option<&mut Known> {
        let records = self.records.get_mut(&address.segment())?;
        let i = records.binary_search_by_key(&address.ordinal(), |known| known.ordinal).ok()?;
        records.get_mut(i)
    }

    /// Makes sure that the record at an address is whole, and is what others take it for.
    fn expect(&mut self, to: Address, wanted: Wanted) -> Result<(), Lost> {
        let Some(known) = self.known(to) else {
            return Err(Lost { at: to, what: self.why_missing(to) });
        };
        match &known.fate {
            Fate::Lost(lost) => Err(lost.clone()),
            Fate::Whole(kind, _) => wanted.fits(to, *kind).map_err(|what| Lost { at: to, what: what.into() }),
        }
    }

    fn why_missing(&self, address: Address) -> Arc<str> {
        let (segment, ordinal) = (address.segment(), address.ordinal());
        let below = self.damage.range((segment, 0)..=(segment, ordinal)).next_back();
        if let Some((_, (_, what))) = below.filter(|(_, (end, _))| ordinal < *end) {
            return Arc::clone(what);
        }
        match self.from.segment(segment) {
            Err(error) => error.to_string().into(),
            Ok(segment) => {
                corrupt(segment.place(0), format!("the segment has no record {ordinal}")).to_string().into()
            }
        }
    }

    /// Notes that a checkpoint is to be copied, if it is whole.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn take(&mut self, id: u64, address: Address) -> Result<()> {
        let commit = self.from.read_commit(address)?;
        let refs = |root: &Root| -> Vec<_> {
            let nodes = root.refs.iter().map(|&to| (to, Wanted::Node));
            [(root.shape, Wanted::Schema)].into_iter().chain(nodes).collect()
        };
        let refs: Vec<_> = commit.roots.iter().flat_map(refs).collect();
        for &(to, wanted) in &refs {
            self.expect(to, wanted).map_err(|Lost { at, what }| {
                let place = Place { store_id: 0, segment: at.segment(), offset: 0 };
                corrupt(place, format!("the record {at} is lost: {what}"))
            })?;
        }
        for (to, _) in refs {
            self.need(to);
        }
        self.commits.insert(id, address);
        Ok(())
    }

    fn need(&mut self, address: Address) {
        if let Some(known) = self.known(address) {
            known.is_needed = true;
        }
    }

    /// Notes all that the noted checkpoints reach: from the end of the log to its beginning, so that whoever needs a record
    /// is met before it.
    fn reach(&mut self) {
        let segments: Vec<u32> = self.records.keys().copied().collect();
        for segment in segments.into_iter().rev() {
            for i in (0..self.records.get(&segment).map_or(0, Vec::len)).rev() {
                let refs = match self.records.get_mut(&segment).and_then(|records| records.get_mut(i)) {
                    Some(Known { is_needed: true, fate: Fate::Whole(_, refs), .. }) => std::mem::take(refs),
                    _ => continue,
                };
                refs.iter().for_each(|&to| self.need(to));
            }
        }
    }

    /// Writes the noted checkpoints, and all that they reach, into a new log. Returns the number of records.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Poisoned`] if the system refuses; others if the old store was changed meanwhile.
    pub(super) fn write(mut self, to: &Log, watched: &mut Watched<'_>) -> Result<u64> {
        self.reach();
        // What was merged to look at it is merged once more to copy it.
        self.merged_left = u64::MAX;
        let mut turn = to.writer()?;
        let mut waiting = std::mem::take(&mut self.commits).into_iter().peekable();
        for segment in self.from.segments() {
            let number = segment.number();
            let index = segment.blocks()?;
            for (entry, epoch, end) in index.iter() {
                let first = Address::new(number, entry.first_ordinal);
                // Commits keep their order by id, whatever damage did to that by place.
                while let Some((_, address)) = waiting.next_if(|(_, address)| *address < first) {
                    self.commit(address, &mut turn)?;
                }
                if entry.is_commit || !self.is_needed(number, entry.first_ordinal, end) {
                    continue;
                }
                let block = read(&segment, entry, epoch)?;
                for (ordinal, _) in block.lengths().rev().filter(|&(ordinal, _)| ordinal < end) {
                    self.copy(block.record(Address::new(number, ordinal))?, &mut turn)?;
                }
            }
            watched.add(segment.entry.len_bytes.into());
        }
        waiting.try_for_each(|(_, address)| self.commit(address, &mut turn))?;
        Ok(self.copied)
    }

    /// Returns whether a record of these ordinals is to be copied.
    fn is_needed(&self, segment: u32, first: u32, end: u32) -> bool {
        let Some(records) = self.records.get(&segment) else { return false };
        let from = records.partition_point(|known| known.ordinal < first);
        records[from..].iter().take_while(|known| known.ordinal < end).any(|known| known.is_needed)
    }

    /// Copies a record, if it is to be.
    fn copy(&mut self, record: Record, turn: &mut WriterGuard) -> Result<()> {
        let address = record.address;
        if self.known(address).is_none_or(|known| !known.is_needed) {
            return Ok(());
        }
        let Form { head, refs, payload } = self.form(record).map_err(|what| changed(address, &what))?;
        let refs = self.moved(&refs)?;
        let moved = turn.append(head, &refs, &payload)?;
        self.copied += 1;
        if let Some(known) = self.known(address) {
            known.moved = Some(moved);
        }
        Ok(())
    }

    /// Returns the addresses of the copies of these records.
    fn moved(&mut self, refs: &[Address]) -> Result<Vec<Address>> {
        let moved = |&to: &Address| {
            self.known(to).and_then(|known| known.moved).ok_or_else(|| changed(to, "it is gone"))
        };
        refs.iter().map(moved).collect()
    }

    /// Copies a commit. All that it reaches was copied.
    fn commit(&mut self, address: Address, turn: &mut WriterGuard) -> Result<()> {
        let commit = self.from.read_commit(address)?;
        let fields = aging::copied(&commit);
        let mut roots = Vec::with_capacity(commit.roots.len());
        for root in commit.roots {
            let shape = self.moved(&[root.shape])?[0];
            roots.push(Root { shape, refs: self.moved(&root.refs)?, ..root });
        }
        let copy_of = Some((commit.id, commit.time_micros));
        let draft = Draft { parent: commit.parent, label: commit.label, roots, copy_of, fields };
        turn.commit(draft, Durability::Buffered).map(drop)
    }
}

/// Reads a block of records.
fn read(segment: &Segment, entry: BlockEntry, epoch: u64) -> Result<RecordBlock> {
    read_block(segment, entry, epoch, Address::new(segment.number(), entry.first_ordinal))
}

/// Says that the old store is no longer what it was a moment ago.
fn changed(address: Address, what: &str) -> Error {
    let place = Place { store_id: 0, segment: address.segment(), offset: 0 };
    corrupt(place, format!("the record {address} was whole when it was first looked at: {what}"))
}
