//! The lock of a directory's writer.
//!
//! Two locks are taken. The one on the *directory* itself cannot be deleted or replaced as long as the directory is there.
//! The one on the *file* of the lock's name keeps out versions that know no other, and holds where directories cannot be
//! locked (some network file systems); its text is the process id, for messages.
//!
//! | event | so |
//! |---|---|
//! | the process dies, or executes another program | the system closes the descriptors, and the locks fall |
//! | the guard is dropped by the process that took it | unlocked by name: a child between `fork` and `exec` has copies of the descriptors, and would hold the locks until then |
//! | the guard is dropped by a fork of that process | the copies are closed; the locks stay with the process that took them |
//! | a fork takes a lock | it closes the copies that it still has: else it would stand in its own way after its parent's death |

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::directory::HeldDirectory;
use crate::storage::Lock;

/// Both locks, held until it is dropped.
struct Guard(Arc<Held>);

struct Held {
    taken_by: u32,
    /// The directory, where it can be locked, and the file. `None`: closed.
    descriptors: Mutex<Option<(Option<OwnedFd>, File)>>,
}

/// All locks that were taken and may be held; those of a process before a fork are among them.
static TAKEN: Mutex<Vec<Weak<Held>>> = Mutex::new(Vec::new());

/// Takes the locks of a directory, `name` being that of the file.
pub(super) fn take(directory: &HeldDirectory, name: &str) -> io::Result<Lock> {
    let me = std::process::id();
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    taken.retain(|held| held.upgrade().is_some_and(|held| held.is_kept_by(me)));
    let again = directory.open_again()?;
    let own = match try_lock(&again) {
        Ok(true) => Some(again),
        Ok(false) => return Ok(Lock::HeldBy(holder(directory, name))),
        // This file system locks no directories, or only those opened for writing, which none is.
        Err(Errno::BADF | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => None,
        Err(e) => return Err(e.into()),
    };
    // A link could lead to somebody else's file, and be written to.
    let file = directory.open(name, OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW)?;
    if !try_lock(&file)? {
        return Ok(Lock::HeldBy(holder(directory, name)));
    }
    // Ten digits and a newline always: nothing of a longer, older number stays behind.
    file.write_all_at(format!("{me:<10}\n").as_bytes(), 0)?;
    let held = Arc::new(Held { taken_by: me, descriptors: Mutex::new(Some((own, file))) });
    taken.push(Arc::downgrade(&held));
    Ok(Lock::Held(Box::new(Guard(held))))
}

/// Locks without waiting; false: somebody else has the lock. It belongs to the open file description, so a second opening
/// by this process is refused too.
fn try_lock(descriptor: impl AsFd) -> Result<bool, Errno> {
    match rustix::io::retry_on_intr(|| {
        rustix::fs::flock(&descriptor, FlockOperation::NonBlockingLockExclusive)
    }) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The process that the file names, 0 where that cannot be read.
fn holder(directory: &HeldDirectory, name: &str) -> u32 {
    let mut text = String::new();
    let read = directory.open(name, OFlags::RDONLY).and_then(|file| file.take(16).read_to_string(&mut text));
    read.ok().and_then(|_| text.trim().parse().ok()).unwrap_or(0)
}

impl Held {
    /// Tells whether this process took it; closes the copies of a fork.
    fn is_kept_by(&self, process: u32) -> bool {
        let is_mine = self.taken_by == process;
        if !is_mine {
            drop(self.descriptors.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        is_mine
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let descriptors = self.0.descriptors.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((directory, file)) = descriptors else { return };
        if self.0.taken_by != std::process::id() {
            return;
        }
        // The directory last: whoever gets that finds the file free. What fails here falls with the descriptors.
        let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
        if let Some(directory) = directory {
            let _ = rustix::fs::flock(&directory, FlockOperation::Unlock);
        }
    }
}
