//! A commit: the record that makes a checkpoint real.
//!
//! Its block is the last of its batch and takes one ordinal of its segment. In order, as varints unless said:
//! id; time; parent (0: none); label (0: none, else length + 1, bytes); durable floor; depth; previous and jump
//! (each: id, 0: none; depth; address relative to the commit's); offset where the batch starts in this segment;
//! number of its blocks in this segment; chained checksum of those (8 bytes); records; bytes of the records;
//! stored bytes of the whole batch without the commit; number of roots, each: name (length, bytes), address of
//! its shape, number of addresses, the addresses, payload (length, bytes); further [fields](super::fields).

use super::aging;
use super::block::{Block, BlockKind, HEADER_BYTES, corrupt};
use super::fields::Fields;
use super::file_region::FileRegion;
use super::format::{Cursor, Place, VARINT_BYTES, put_varint};
use super::record::{get_address, put_address};
use crate::error::{Error, Result};
use crate::random::HashSet;
use crate::record::Address;

/// The fields of a commit that this build knows. (An even one that is not listed makes a reader refuse the commit.)
const KNOWN_FIELDS: &[u64] = &[aging::DROPPED_FIELD];

/// One named root of a commit: the state's own bytes, which refer to nodes by index into `refs`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Root {
    /// Unique in its commit.
    pub name: String,
    /// The record that holds the shape of the root's type.
    pub shape: Address,
    /// The records the payload refers to.
    pub refs: Vec<Address>,
    /// The encoded state.
    pub payload: Vec<u8>,
}

/// What a caller wants committed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Draft {
    /// The commit that this one was derived from.
    pub parent: Option<u64>,
    /// A note for people.
    pub label: Option<String>,
    /// The states.
    pub roots: Vec<Root>,
    /// The id and the time that it is to have (the id may not be one that was used), where it is a copy.
    pub copy_of: Option<(u64, u64)>,
    /// Further fields.
    pub fields: Fields,
}

/// An earlier commit, as a later one refers to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub id: u64,
    /// Number of commits before it.
    pub depth: u64,
    pub address: Address,
}

/// The part of a batch that lies in its commit's segment. (Parts in earlier segments were durable before the
/// manifest named this segment.)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BatchPart {
    /// Offset of its first block.
    pub offset: u32,
    /// Number of its blocks.
    pub blocks: u32,
    /// Their checksums, chained.
    pub checksum: u64,
}

/// How much a batch holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BatchSize {
    /// Number of records.
    pub records: u64,
    /// Their length before compression.
    pub record_bytes: u64,
    /// What its blocks take on disk, headers included, the commit not.
    pub stored_bytes: u64,
}

/// A commit, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Commit {
    /// Ascending from 1, never reused; gaps are left by crashes.
    pub id: u64,
    /// Where it lies.
    pub address: Address,
    /// Microseconds since 1970, as the machine's clock showed; ids order, not this.
    pub time_micros: u64,
    /// The commit that this one was derived from.
    pub parent: Option<u64>,
    /// A note for people.
    pub label: Option<String>,
    /// The newest commit known to be durable when this one was written; 0: none.
    pub durable_floor: u64,
    /// Number of commits before it.
    pub depth: u64,
    /// The commit before.
    pub previous: Option<Link>,
    /// A commit further back, so that any one is found in O(log n) steps.
    pub jump: Option<Link>,
    /// Where its batch lies.
    pub part: BatchPart,
    /// How much its batch holds.
    pub size: BatchSize,
    /// The states.
    pub roots: Vec<Root>,
    /// Further fields, known and unknown.
    pub fields: Fields,
    /// Bytes written on disk for the batch, this commit included.
    pub written_bytes: u64,
}

impl Commit {
    /// This commit, as a later one refers to it.
    pub(crate) fn link(&self) -> Link {
        Link { id: self.id, depth: self.depth, address: self.address }
    }

    /// The commit it jumps to: the first one jumps to itself.
    pub(crate) fn jump(&self) -> Link {
        self.jump.unwrap_or(self.link())
    }

    /// At most how many bytes the commit of a draft takes.
    pub(crate) fn bound_bytes(draft: &Draft) -> u64 {
        let varint = VARINT_BYTES as u64;
        let roots: u64 = draft.roots.iter().map(root_bound_bytes).sum();
        24 * varint
            + draft.label.as_ref().map_or(0, |label| label.len() as u64)
            + roots
            + draft.fields.bound_bytes()
    }

    /// A commit of a test, without anything in it.
    #[cfg(test)]
    pub(crate) fn of_test(id: u64, address: Address) -> Self {
        Self {
            id,
            address,
            time_micros: 0,
            parent: None,
            label: None,
            durable_floor: 0,
            depth: id - 1,
            previous: None,
            jump: None,
            part: BatchPart::default(),
            size: BatchSize::default(),
            roots: Vec::new(),
            fields: Fields::default(),
            written_bytes: 0,
        }
    }

    /// Encodes all but what the block's header says.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for value in [self.id, self.time_micros, self.parent.unwrap_or(0)] {
            put_varint(&mut out, value);
        }
        put_varint(&mut out, self.label.as_ref().map_or(0, |label| label.len() as u64 + 1));
        out.extend_from_slice(self.label.as_deref().unwrap_or_default().as_bytes());
        put_varint(&mut out, self.durable_floor);
        put_varint(&mut out, self.depth);
        for link in [self.previous, self.jump] {
            put_varint(&mut out, link.map_or(0, |link| link.id));
            if let Some(link) = link {
                put_varint(&mut out, link.depth);
                put_address(&mut out, self.address, link.address);
            }
        }
        put_varint(&mut out, self.part.offset.into());
        put_varint(&mut out, self.part.blocks.into());
        out.extend_from_slice(&self.part.checksum.to_le_bytes());
        for value in [self.size.records, self.size.record_bytes, self.size.stored_bytes] {
            put_varint(&mut out, value);
        }
        put_varint(&mut out, self.roots.len() as u64);
        for root in &self.roots {
            put_counted(&mut out, root.name.as_bytes());
            put_address(&mut out, self.address, root.shape);
            put_varint(&mut out, root.refs.len() as u64);
            root.refs.iter().for_each(|&to| put_address(&mut out, self.address, to));
            put_counted(&mut out, &root.payload);
        }
        self.fields.encode(&mut out);
        out
    }

    /// Reads the commit at `place`, which must be the record `ordinal` of its segment, written under `epoch`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it is not there; [`Error::UnknownField`] if it has a field that must be known and is not;
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn read(region: &FileRegion, place: Place, ordinal: u32, epoch: u64) -> Result<Self> {
        let block = Block::read(region, place)?;
        let header = block.header;
        let fits =
            header.kind == BlockKind::Commit && header.first_ordinal == ordinal && header.epoch == epoch;
        if !fits || ordinal >= Address::MAX_ORDINALS {
            return Err(corrupt(
                place,
                format!("the commit {ordinal} was expected, but another block is here"),
            ));
        }
        let mut commit = Self::decode(Address::new(place.segment, ordinal), block.raw())
            .ok_or_else(|| corrupt(place, "the commit does not decode"))?;
        if let Some(field) = commit.fields.unknown(KNOWN_FIELDS) {
            let what = format!("commit {} (segment {}, offset {})", commit.id, place.segment, place.offset);
            return Err(Error::UnknownField { what, field });
        }
        commit.written_bytes =
            commit.size.stored_bytes + u64::from(HEADER_BYTES) + u64::from(header.stored_bytes);
        Ok(commit)
    }

    fn decode(address: Address, bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        // There must be room for an id after it.
        let id = cursor.varint().filter(|&id| id > 0 && id < u64::MAX)?;
        let time_micros = cursor.varint()?;
        let parent = Some(cursor.varint()?).filter(|&parent| parent > 0);
        let label = match cursor.varint()? {
            0 => None,
            len => Some(text(cursor.take(usize::try_from(len - 1).ok()?)?)?),
        };
        let (durable_floor, depth) = (cursor.varint()?, cursor.varint()?);
        let (previous, jump) = (link(&mut cursor, address)?, link(&mut cursor, address)?);
        let older = |link: Option<Link>| link.is_none_or(|link| link.id < id && link.depth < depth);
        let chained = previous.is_some() == (depth > 0) && previous.is_some() == jump.is_some();
        if !older(previous) || !older(jump) || !chained || durable_floor >= id {
            return None;
        }
        let part =
            BatchPart { offset: cursor.varint_u32()?, blocks: cursor.varint_u32()?, checksum: cursor.u64()? };
        let size = BatchSize {
            records: cursor.varint()?,
            record_bytes: cursor.varint()?,
            stored_bytes: cursor.varint().filter(|&bytes| bytes < u64::MAX / 2)?,
        };
        let count = usize::try_from(cursor.varint()?).ok().filter(|&count| count <= cursor.remaining())?;
        let mut roots = Vec::new();
        // A name of its own for each: in few bytes there are no millions of roots.
        let mut names = HashSet::default();
        for _ in 0..count {
            let name = cursor.counted()?;
            if !names.insert(name) {
                return None;
            }
            let name = text(name)?;
            let shape = get_address(&mut cursor, address)?;
            let refs = usize::try_from(cursor.varint()?).ok().filter(|&refs| refs <= cursor.remaining())?;
            let refs = (0..refs).map(|_| get_address(&mut cursor, address)).collect::<Option<_>>()?;
            roots.push(Root { name, shape, refs, payload: cursor.counted()?.to_vec() });
        }
        let fields = Fields::decode(&mut cursor).filter(|fields| aging::is_sound(fields, id))?;
        Some(Self {
            id,
            address,
            time_micros,
            parent,
            label,
            durable_floor,
            depth,
            previous,
            jump,
            part,
            size,
            roots,
            fields,
            written_bytes: 0,
        })
    }
}

fn root_bound_bytes(root: &Root) -> u64 {
    let varints = 5 + 2 * root.refs.len() as u64;
    varints * VARINT_BYTES as u64 + root.name.len() as u64 + root.payload.len() as u64
}

fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// Reads a link: the outer `None` means that it does not decode, the inner one that there is none.
fn link(cursor: &mut Cursor<'_>, own: Address) -> Option<Option<Link>> {
    match cursor.varint()? {
        0 => Some(None),
        id => Some(Some(Link { id, depth: cursor.varint()?, address: get_address(cursor, own)? })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        let link = |id, ordinal| Some(Link { id, depth: id - 1, address: Address::new(2, ordinal) });
        let root = |name: &str| Root {
            name: name.into(),
            shape: Address::new(0, 0),
            refs: vec![Address::new(3, 1), Address::new(3, 41)],
            payload: vec![7; 300],
        };
        Commit {
            id: 12,
            address: Address::new(3, 42),
            time_micros: 1_700_000_000_000_000,
            parent: Some(11),
            label: Some("before the boss".into()),
            durable_floor: 10,
            depth: 11,
            previous: link(11, 6),
            jump: link(8, 5),
            part: BatchPart { offset: 1024, blocks: 3, checksum: 99 },
            size: BatchSize { records: 40, record_bytes: 4000, stored_bytes: 2000 },
            roots: vec![root("a"), root("")],
            fields: Fields::default(),
            written_bytes: 0,
        }
    }

    #[test]
    fn comes_back_within_its_bound() {
        let first = Commit { parent: None, label: None, previous: None, jump: None, depth: 0, ..commit() };
        let mut extended = commit();
        extended.fields.set(7, vec![7; 300]);
        for commit in [commit(), first, extended] {
            let bytes = commit.encode();
            let draft = Draft {
                parent: commit.parent,
                label: commit.label.clone(),
                roots: commit.roots.clone(),
                copy_of: None,
                fields: commit.fields.clone(),
            };
            assert!(bytes.len() as u64 <= Commit::bound_bytes(&draft));
            assert_eq!(Commit::decode(commit.address, &bytes), Some(commit.clone()));
            // Without its fields it is a commit again.
            let end = Commit { fields: Fields::default(), ..commit.clone() }.encode().len();
            let cut = |len: usize| Commit::decode(commit.address, &bytes[..len]);
            assert!((0..bytes.len()).all(|len| len == end || cut(len).is_none()));
        }
    }

    #[test]
    fn a_link_to_a_younger_commit_is_refused() {
        let mut commit = commit();
        commit.jump = commit.jump.map(|link| Link { id: 12, ..link });
        assert_eq!(Commit::decode(commit.address, &commit.encode()), None);
        commit.jump = None;
        assert_eq!(Commit::decode(commit.address, &commit.encode()), None);
    }
}
