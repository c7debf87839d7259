//! The list of further fields at the end of a commit and of a manifest: room for later versions of the format.
//!
//! Each field is its tag, the length of its bytes (both varints), and the bytes; tags ascend, and an empty list takes
//! no byte. A reader ignores an **odd** tag that it does not know. An **even** one changes what the rest means: a reader
//! that does not know it refuses the whole by name.

use super::format::{Cursor, VARINT_BYTES, put_varint};

/// Further fields, by ascending tag.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fields(Vec<(u64, Vec<u8>)>);

impl Fields {
    /// The bytes of a field.
    pub(crate) fn get(&self, tag: u64) -> Option<&[u8]> {
        self.0.binary_search_by_key(&tag, |(tag, _)| *tag).ok().map(|i| &*self.0[i].1)
    }

    /// Adds a field, or replaces the one of this tag.
    pub(crate) fn set(&mut self, tag: u64, bytes: Vec<u8>) {
        match self.0.binary_search_by_key(&tag, |(tag, _)| *tag) {
            Ok(i) => self.0[i].1 = bytes,
            Err(i) => self.0.insert(i, (tag, bytes)),
        }
    }

    /// The first field that a reader must know, of which it knows only `known`.
    pub(crate) fn unknown(&self, known: &[u64]) -> Option<u64> {
        self.0.iter().map(|(tag, _)| *tag).find(|tag| tag % 2 == 0 && !known.contains(tag))
    }

    /// At most how many bytes the list takes.
    pub(crate) fn bound_bytes(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| 2 * VARINT_BYTES as u64 + bytes.len() as u64).sum()
    }

    /// Appends the list; nothing if it is empty.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for (tag, bytes) in &self.0 {
            put_varint(out, *tag);
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }

    /// Reads all that is left as a list; `None` if it is none.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut fields: Vec<(u64, Vec<u8>)> = Vec::new();
        while cursor.remaining() > 0 {
            let (tag, bytes) = (cursor.varint()?, cursor.counted()?);
            if fields.last().is_some_and(|(last, _)| *last >= tag) {
                return None;
            }
            fields.push((tag, bytes.to_vec()));
        }
        Some(Self(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(fields: &Fields) -> Vec<u8> {
        let mut bytes = Vec::new();
        fields.encode(&mut bytes);
        bytes
    }

    #[test]
    fn come_back_and_take_nothing_when_there_are_none() {
        assert!(encoded(&Fields::default()).is_empty());
        let mut fields = Fields::default();
        fields.set(300, vec![1, 2]);
        fields.set(1, Vec::new());
        fields.set(300, vec![7; 200]);
        let bytes = encoded(&fields);
        assert!(bytes.len() as u64 <= fields.bound_bytes());
        assert_eq!(Fields::decode(&mut Cursor::new(&bytes)), Some(fields.clone()));
        assert_eq!((fields.get(1), fields.get(2)), (Some(&[][..]), None));
        assert_eq!(fields.get(300), Some(&[7; 200][..]));
    }

    #[test]
    fn only_even_tags_have_to_be_known() {
        let mut fields = Fields::default();
        fields.set(3, vec![1]);
        assert_eq!(fields.unknown(&[]), None);
        fields.set(4, vec![1]);
        assert_eq!((fields.unknown(&[]), fields.unknown(&[4])), (Some(4), None));
    }

    #[test]
    fn what_is_out_of_order_or_cut_short_is_no_list() {
        for bytes in [&[3, 0, 3, 0][..], &[3, 0, 1, 0], &[3], &[3, 2, 0], &[0x80]] {
            assert_eq!(Fields::decode(&mut Cursor::new(bytes)), None, "{bytes:?}");
        }
    }
}
