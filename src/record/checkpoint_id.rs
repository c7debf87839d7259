//! The name of a checkpoint.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names a checkpoint of one store: ascending, never reused.
///
/// ```
/// use perennial::store::{CheckpointId, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("world");
/// let first = Store::open(&path)?.checkpoint(&7u32)?.id;
/// let noted = first.get();
/// assert_eq!(Store::open(&path)?.restore::<u32>(CheckpointId::from(noted))?, 7);
/// # Ok::<(), perennial::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CheckpointId(pub(crate) u64);

impl CheckpointId {
    /// The number, to be noted elsewhere.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for CheckpointId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl From<CheckpointId> for u64 {
    fn from(id: CheckpointId) -> Self {
        id.0
    }
}
