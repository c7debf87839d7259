//! The fields of a commit: ages, and the checkpoints that go with it.
//!
//! | field | bytes |
//! |---|---|
//! | 1 | *time in use* up to the commit, less its time: microseconds, a varint, zigzag. Grows by the time since the commit before, by 60 s at most, and never falls |
//! | 2 | the checkpoints that a policy drops with this commit: the first id, then the distance to each next one, varints |

use super::commit::{Commit, Root};
use super::fields::Fields;
use super::format::{Cursor, chain, checksum, put_varint};
use crate::retention::{IN_USE, Reading, Version};

/// A reader that does not know it can do without.
pub(crate) const IN_USE_FIELD: u64 = 1;
/// A reader that does not know it would list checkpoints whose records may be gone.
pub(crate) const DROPPED_FIELD: u64 = 2;

/// Time in use up to a commit at `time_micros` that follows `before`, in microseconds.
pub(crate) fn in_use_after(before: Option<&Commit>, time_micros: u64) -> u64 {
    let Some(before) = before else { return time_micros };
    let gap = time_micros.saturating_sub(before.time_micros).min((IN_USE / 1000) as u64);
    before.in_use_micros().unwrap_or(before.time_micros).saturating_add(gap)
}

/// The field that says so of a commit at `time_micros`.
pub(crate) fn set_in_use(fields: &mut Fields, time_micros: u64, in_use_micros: u64) {
    let less = in_use_micros.wrapping_sub(time_micros) as i64;
    let mut bytes = Vec::new();
    put_varint(&mut bytes, (less << 1 ^ less >> 63) as u64);
    fields.set(IN_USE_FIELD, bytes);
}

/// The content of that field.
pub(crate) fn in_use_of(fields: &Fields, time_micros: u64) -> Option<u64> {
    let less = Cursor::new(fields.get(IN_USE_FIELD)?).varint()?;
    let less = (less >> 1) as i64 ^ -((less & 1) as i64);
    Some(time_micros.wrapping_add(less as u64))
}

/// The field that says which checkpoints go, ascending; none if none do.
pub(crate) fn set_dropped(fields: &mut Fields, dropped: &[u64]) {
    let mut bytes = Vec::new();
    let mut last = 0;
    for &id in dropped {
        put_varint(&mut bytes, id - last);
        last = id;
    }
    if !dropped.is_empty() {
        fields.set(DROPPED_FIELD, bytes);
    }
}

/// The fields that a copy of the commit takes over.
pub(crate) fn copied(commit: &Commit) -> Fields {
    let mut fields = Fields::default();
    if let Some(in_use) = commit.in_use_micros() {
        set_in_use(&mut fields, commit.time_micros, in_use);
    }
    fields
}

/// Returns whether the fields of a commit of this id decode.
pub(crate) fn is_sound(fields: &Fields, id: u64) -> bool {
    let in_use = fields.get(IN_USE_FIELD).is_none_or(|bytes| {
        let mut cursor = Cursor::new(bytes);
        cursor.varint().is_some() && cursor.remaining() == 0
    });
    in_use && dropped(fields).is_some_and(|dropped| dropped.last().is_none_or(|&last| last < id))
}

/// The ids of field 2, ascending; `None` if it does not decode.
fn dropped(fields: &Fields) -> Option<Vec<u64>> {
    let Some(bytes) = fields.get(DROPPED_FIELD) else { return Some(Vec::new()) };
    let mut cursor = Cursor::new(bytes);
    let (mut ids, mut last) = (Vec::new(), 0u64);
    while cursor.remaining() > 0 {
        let distance = cursor.varint().filter(|&distance| distance > 0)?;
        last = last.checked_add(distance)?;
        ids.push(last);
    }
    Some(ids)
}

/// Returns a commit as a policy is asked about it.
pub(crate) fn version_of(commit: &Commit) -> Version {
    let in_use = commit.in_use_micros();
    version(commit.depth, commit.time_micros, in_use, commit.label.as_deref(), &commit.roots)
}

/// The same of a commit that is not made yet.
pub(crate) fn version(
    depth: u64,
    time_micros: u64,
    in_use_micros: Option<u64>,
    label: Option<&str>,
    roots: &[Root],
) -> Version {
    let nanos = |micros: u64| i128::from(micros) * 1000;
    Version {
        number: depth,
        reading: Reading { time: nanos(time_micros), in_use: in_use_micros.map(nanos) },
        name: label.map(Into::into),
        contents: Some(digest(roots)),
    }
}

/// Stands for what is in a commit: the same for two of one store exactly if they refer to the same records and hold
/// the same bytes.
fn digest(roots: &[Root]) -> u64 {
    let of_root = |digest, root: &Root| {
        let mut words = vec![root.refs.len() as u64, root.shape.to_bits()];
        words.extend(root.refs.iter().map(|to| to.to_bits()));
        words.extend([checksum(root.name.as_bytes()), checksum(&root.payload)]);
        words.into_iter().fold(digest, chain)
    };
    roots.iter().fold(0, of_root)
}

impl Commit {
    /// The checkpoints that a policy dropped with this commit, ascending.
    pub(crate) fn dropped(&self) -> Vec<u64> {
        dropped(&self.fields).unwrap_or_default()
    }

    /// Time in use up to this commit; `None`: it is of a version that did not write it down.
    pub(crate) fn in_use_micros(&self) -> Option<u64> {
        in_use_of(&self.fields, self.time_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Address;

    fn at(time_micros: u64, before: Option<&Commit>) -> Commit {
        let mut commit = Commit::of_test(before.map_or(1, |before| before.id + 1), Address::new(0, 0));
        commit.time_micros = time_micros;
        set_in_use(&mut commit.fields, time_micros, in_use_after(before, time_micros));
        commit
    }

    #[test]
    fn time_in_use_grows_by_a_minute_at_most_and_never_falls() {
        let second = 1_000_000;
        let mut last = at(1000 * second, None);
        assert_eq!(last.in_use_micros(), Some(1000 * second));
        for (time, expected) in
            [(1030, 1030), (1090, 1090), (9000, 1150), (0, 1150), (10, 1160), (u64::MAX / second, 1220)]
        {
            let next = at(time * second, Some(&last));
            assert_eq!(next.in_use_micros(), Some(expected * second), "{time}");
            last = next;
        }
        // After a commit that says nothing of it.
        let old = Commit { time_micros: 500 * second, ..Commit::of_test(1, Address::new(0, 0)) };
        assert_eq!(at(505 * second, Some(&old)).in_use_micros(), Some(505 * second));
    }

    #[test]
    fn dropped_ids_come_back_and_refuse_what_is_out_of_order() {
        let mut fields = Fields::default();
        set_dropped(&mut fields, &[]);
        assert_eq!((&fields, dropped(&fields)), (&Fields::default(), Some(vec![])));
        let ids = vec![1, 2, 700, u64::MAX - 1];
        set_dropped(&mut fields, &ids);
        assert_eq!(dropped(&fields), Some(ids));
        assert!(is_sound(&fields, u64::MAX) && !is_sound(&fields, u64::MAX - 1));
        for bytes in
            [&[0][..], &[1, 0], &[0x80], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            fields.set(DROPPED_FIELD, bytes.to_vec());
            assert!(!is_sound(&fields, u64::MAX), "{bytes:?}");
        }
        let mut fields = Fields::default();
        fields.set(IN_USE_FIELD, vec![1, 1]);
        assert!(!is_sound(&fields, 1));
    }
}
