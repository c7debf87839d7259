//! The work that the bytes of a store cause: a count for tests, nothing in other builds.
//!
//! Lengths in a store's files may be chosen by somebody who means harm. Tests hold against the length of the files how
//! many bytes were hashed and unpacked for them; a clock would tell less and be wrong on a busy machine.

/// Work of this thread since it last called `take`.
#[cfg(test)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Work {
    /// Bytes that were checksummed as part of a block.
    pub hashed_bytes: u64,
    /// Bytes that blocks were unpacked to.
    pub unpacked_bytes: u64,
}

#[cfg(test)]
crate::sync::per_thread!(static WORK: std::cell::Cell<Work> = std::cell::Cell::new(Work { hashed_bytes: 0, unpacked_bytes: 0 }));

/// Returns the work of this thread since the last call.
#[cfg(test)]
pub(crate) fn take() -> Work {
    WORK.with(std::cell::Cell::take)
}

/// Counts bytes that are checksummed.
#[inline]
pub(crate) fn hashed(_bytes: usize) {
    #[cfg(test)]
    WORK.with(|work| {
        let before = work.get();
        work.set(Work { hashed_bytes: before.hashed_bytes + _bytes as u64, ..before });
    });
}

/// Counts bytes that a block is unpacked to.
#[inline]
pub(crate) fn unpacked(_bytes: usize) {
    #[cfg(test)]
    WORK.with(|work| {
        let before = work.get();
        work.set(Work { unpacked_bytes: before.unpacked_bytes + _bytes as u64, ..before });
    });
}
