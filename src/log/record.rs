//! A record on disk: head byte, addresses relative to its own, payload.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind (2 bits), delta (1 bit), number of addresses (5 bits; 31: a varint with the rest follows) |
//! | varints | the addresses, see [`put_address`] |
//! | rest | payload |
//!
//! A relative address is short (most records refer to neighbours), and can only point backwards (invariant 5).

use super::format::{Cursor, MAX_RECORD_BYTES, VARINT_BYTES, put_varint};
use crate::error::Error;
use crate::record::{Address, RecordHead, RecordKind};

const MANY_REFS: usize = 31;

/// At most how many bytes a record takes.
pub(crate) fn bound_bytes(refs: usize, payload_bytes: usize) -> u64 {
    1 + VARINT_BYTES as u64 + refs as u64 * (2 * VARINT_BYTES as u64) + payload_bytes as u64
}

/// Appends the record that will lie at `own`. All of `refs` must lie before it.
pub(crate) fn encode(out: &mut Vec<u8>, own: Address, head: RecordHead, refs: &[Address], payload: &[u8]) {
    debug_assert!(!head.delta || !refs.is_empty(), "a delta's first address is its base");
    let kind = match head.kind {
        RecordKind::Leaf => 0,
        RecordKind::Branch => 1,
        RecordKind::Schema => 2,
    };
    out.push(kind | u8::from(head.delta) << 2 | (refs.len().min(MANY_REFS) as u8) << 3);
    if refs.len() >= MANY_REFS {
        put_varint(out, (refs.len() - MANY_REFS) as u64);
    }
    for &to in refs {
        put_address(out, own, to);
    }
    out.extend_from_slice(payload);
}

/// Decodes the record at `own`: its head, its addresses, and where in `bytes` the payload starts.
///
/// # Errors
///
/// What is wrong with the bytes.
pub(crate) fn decode(own: Address, bytes: &[u8]) -> Result<(RecordHead, Vec<Address>, usize), &'static str> {
    let mut cursor = Cursor::new(bytes);
    let first = cursor.u8().ok_or("the record is empty")?;
    let kind = match first & 3 {
        0 => RecordKind::Leaf,
        1 => RecordKind::Branch,
        2 => RecordKind::Schema,
        _ => return Err("the record is of a kind this version does not know"),
    };
    let head = RecordHead { kind, delta: first & 4 != 0 };
    let count = match usize::from(first >> 3) {
        MANY_REFS => cursor.varint().and_then(|more| usize::try_from(more).ok()?.checked_add(MANY_REFS)),
        few => Some(few),
    };
    // An address takes a byte or more, so this bounds what is allocated by what is there.
    let count =
        count.filter(|&count| count <= cursor.remaining()).ok_or("the record ends in its addresses")?;
    let mut refs = Vec::with_capacity(count);
    for _ in 0..count {
        refs.push(get_address(&mut cursor, own).ok_or("an address of the record does not point backwards")?);
    }
    if head.delta && refs.is_empty() {
        return Err("the delta record has no base");
    }
    Ok((head, refs, cursor.position()))
}

/// Appends `to` as seen from `own`: in the same segment the distance of ordinals, doubled; else the distance of
/// segments, doubled plus one, then the ordinal.
pub(crate) fn put_address(out: &mut Vec<u8>, own: Address, to: Address) {
    debug_assert!(to < own, "{to} does not lie before {own} (invariant 5)");
    if to.segment() == own.segment() {
        put_varint(out, u64::from(own.ordinal().wrapping_sub(to.ordinal())) << 1);
    } else {
        put_varint(out, u64::from(own.segment().wrapping_sub(to.segment())) << 1 | 1);
        put_varint(out, u64::from(to.ordinal()));
    }
}

/// Reads an address as seen from `own`; `None` unless it lies before it.
pub(crate) fn get_address(cursor: &mut Cursor<'_>, own: Address) -> Option<Address> {
    let first = cursor.varint()?;
    let distance = u32::try_from(first >> 1).ok().filter(|&distance| distance > 0)?;
    if first & 1 == 0 {
        return Some(Address::new(own.segment(), own.ordinal().checked_sub(distance)?));
    }
    let segment = own.segment().checked_sub(distance)?;
    let ordinal = cursor.varint_u32().filter(|&ordinal| ordinal < Address::MAX_ORDINALS)?;
    Some(Address::new(segment, ordinal))
}

/// Says that something is larger than a record may be.
pub(crate) fn too_large(what: &str, bytes: u64) -> Error {
    let what = format!(
        "{what} takes up to {bytes} bytes, the limit is {MAX_RECORD_BYTES}; hold it in several entries"
    );
    Error::Limit { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: RecordHead = RecordHead { kind: RecordKind::Leaf, delta: false };

    #[test]
    fn records_come_back_with_any_number_of_addresses() {
        let own = Address::new(9, 1000);
        for count in [0, 1, 2, 30, 31, 32, 33, 200] {
            for kind in [RecordKind::Leaf, RecordKind::Branch, RecordKind::Schema] {
                for delta in [false, true] {
                    if delta && count == 0 {
                        continue;
                    }
                    let refs: Vec<_> = (0..count).map(|i| Address::new(i % 10, 999 - i)).collect();
                    let head = RecordHead { kind, delta };
                    let mut bytes = Vec::new();
                    encode(&mut bytes, own, head, &refs, b"payload");
                    assert!(bytes.len() as u64 <= bound_bytes(refs.len(), 7));
                    let (found, found_refs, payload) = decode(own, &bytes).unwrap();
                    assert_eq!((found, found_refs, &bytes[payload..]), (head, refs, &b"payload"[..]));
                }
            }
        }
    }

    #[test]
    fn a_typical_branch_delta_takes_nine_bytes() {
        let own = Address::new(3, 5000);
        let head = RecordHead { kind: RecordKind::Branch, delta: true };
        let mut bytes = vec![];
        encode(&mut bytes, own, head, &[Address::new(2, 4000), Address::new(3, 4990)], &[0, 64]);
        let with_length = 1 + bytes.len();
        assert!((7..=9).contains(&with_length), "{with_length} bytes");
    }

    #[test]
    fn an_address_that_does_not_point_backwards_is_refused() {
        let own = Address::new(2, 10);
        for (first, ordinal) in [(0u64, None), (11 << 1, None), (1, Some(0)), (3 << 1 | 1, Some(0))] {
            let mut bytes = vec![1 << 3];
            put_varint(&mut bytes, first);
            ordinal.inspect(|&ordinal| put_varint(&mut bytes, ordinal));
            assert!(decode(own, &bytes).is_err(), "{first}");
        }
        let mut bytes = vec![1 << 3];
        put_varint(&mut bytes, 1 << 1 | 1);
        put_varint(&mut bytes, u64::from(Address::MAX_ORDINALS));
        assert!(decode(own, &bytes).is_err());
    }

    #[test]
    fn any_bytes_decode_or_are_refused() {
        let own = Address::new(1, 3);
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                for len in 1..6 {
                    let bytes = [first, second, second, 0xff, 0xff, 0xff];
                    if let Ok((_, refs, _)) = decode(own, &bytes[..len]) {
                        assert!(refs.iter().all(|&to| to < own));
                    }
                }
            }
        }
        let mut bytes = vec![31 << 3];
        put_varint(&mut bytes, u64::MAX);
        assert!(decode(own, &bytes).is_err());
        assert!(decode(own, &[]).is_err());
        let mut bytes = Vec::new();
        encode(&mut bytes, own, LEAF, &[], b"");
        assert_eq!(bytes.len(), 1);
    }
}
