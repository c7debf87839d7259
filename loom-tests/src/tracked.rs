//! An item that shows a missing order between threads.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number whose every use loom compares with those of other threads.
///
/// Loom sees unsynchronised access only where it passes through loom's cells, and the memory of a node does not. So
/// the item brings a cell of its own: written when the item is made, changed or dropped, read when it is looked at. An
/// access that does not happen after the writes before it fails the model. An item that is never dropped is a leaked
/// node, and fails it too.
pub struct Tracked {
    number: u32,
    #[cfg(loom)]
    cell: loom::cell::UnsafeCell<()>,
    #[cfg(loom)]
    _alive: loom::alloc::Track<()>,
}

// SAFETY: the cell holds nothing, and its pointer is never used. It only tells loom of accesses.
#[cfg(loom)]
#[expect(unsafe_code, reason = "loom's cell is not Sync, since others hold something")]
unsafe impl Sync for Tracked {}

impl Tracked {
    /// An item that was written just now.
    pub fn new(number: u32) -> Self {
        let this = Self {
            number,
            #[cfg(loom)]
            cell: loom::cell::UnsafeCell::new(()),
            #[cfg(loom)]
            _alive: loom::alloc::Track::new(()),
        };
        this.written();
        this
    }

    /// The number, read.
    pub fn get(&self) -> u32 {
        #[cfg(loom)]
        self.cell.with(|_| ());
        self.number
    }

    /// Writes another number.
    pub fn set(&mut self, number: u32) {
        self.written();
        self.number = number;
    }

    fn written(&self) {
        #[cfg(loom)]
        self.cell.with_mut(|_| ());
    }
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // The first complaint counts: another one, while the first unwinds, would abort.
        if !std::thread::panicking() {
            self.written();
        }
    }
}

impl Serialize for Tracked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tracked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self::new)
    }
}
