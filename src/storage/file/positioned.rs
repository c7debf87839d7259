//! A region without a map: positioned reads (`pread`) into buffers of the caller's.
//!
//! A file that a stranger truncates, or a medium that refuses, is an error of one read here, where touching a map would
//! kill the process with SIGBUS. The price is a system call and a copy for each read, and a descriptor that stays open as
//! long as the region lives: that is what keeps a file readable after it was removed or replaced.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::storage::{Region, beyond};

/// The first bytes of an open file.
pub(super) struct PositionedFile {
    pub file: Arc<File>,
    pub len_bytes: u64,
}

impl Region for PositionedFile {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let inside = if range.end > self.len_bytes { None } else { range.end.checked_sub(range.start) };
        let len = inside.ok_or_else(|| beyond(&range, self.len_bytes))?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
        // The standard library loops over short reads and EINTR.
        match self.file.read_exact_at(&mut bytes, range.start) {
            Ok(()) => Ok(Cow::Owned(bytes)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.truncated(&range)),
            Err(e) => Err(e),
        }
    }
}

impl PositionedFile {
    fn truncated(&self, range: &Range<u64>) -> io::Error {
        let Range { start, end } = range;
        let now = match self.file.metadata() {
            Ok(metadata) => format!("it has {} bytes now", metadata.len()),
            Err(error) => format!("its length now is unknown ({error})"),
        };
        let what = format!(
            "bytes {start}..{end} were asked for; the file had {} when it was opened, {now}: it was truncated",
            self.len_bytes
        );
        io::Error::new(io::ErrorKind::UnexpectedEof, what)
    }
}
