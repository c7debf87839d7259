//! A directory that is held open: names are looked up in it, never along the path that led there.
//!
//! A path may lead elsewhere at the next call (the process changed its working directory, the directory was moved and
//! another one put in its place, a symbolic link was turned). The descriptor goes on meaning the directory it was opened
//! on, wherever that lies by now.
//!
//! *Files that somebody took away.* A checkpoint in a file without a name is lost at the next restart, whatever `fdatasync`
//! said. The directory keeps the identities of the files that were made in it or opened for writing; whenever its change
//! time differs from the one seen last, all of them are looked up again. That costs one `fstat` while nothing happens.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::storage::Identity;
use crate::sync::Mutex;

/// A directory, by descriptor, and the process that opened it.
pub(super) struct HeldDirectory {
    fd: OwnedFd,
    opened_by: u32,
    watched: Mutex<Watched>,
}

/// The files that must be there.
#[derive(Default)]
struct Watched {
    files: BTreeMap<String, Identity>,
    /// The directory's change time when they were last found to be there.
    seen: Option<(i64, i64)>,
}

impl HeldDirectory {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd, opened_by: std::process::id(), watched: Mutex::default() }
    }

    /// Opens a file of the directory.
    pub(super) fn open(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let mode = Mode::from_raw_mode(0o666);
        let flags = flags | OFlags::CLOEXEC;
        match rustix::io::retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, mode)) {
            Ok(opened) => Ok(opened.into()),
            Err(Errno::NOENT) if rustix::fs::fstat(&self.fd)?.st_nlink == 0 => Err(removed("the directory")),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens the directory once more: what is locked through the new descriptor is not locked through the old one.
    pub(super) fn open_again(&self) -> io::Result<OwnedFd> {
        open_directory(&self.fd, OsStr::new("."))
    }

    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::io::retry_on_intr(|| rustix::fs::fsync(&self.fd))?)
    }

    /// Makes the directory's own name durable.
    ///
    /// A process that may not read the parent has the whole file system synced.
    pub(super) fn sync_parent(&self) -> io::Result<()> {
        let parent = match open_directory(&self.fd, OsStr::new("..")) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                #[cfg(target_os = "linux")]
                rustix::io::retry_on_intr(|| rustix::fs::syncfs(&self.fd))?;
                return Ok(());
            }
            opened => opened?,
        };
        Ok(rustix::io::retry_on_intr(|| rustix::fs::fsync(&parent))?)
    }

    /// The identity of the directory.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        Ok(identity_of(&rustix::fs::fstat(&self.fd)?))
    }

    /// The identity of the file of this name; `None` if there is none.
    pub(super) fn identity_of(&self, name: &str) -> io::Result<Option<Identity>> {
        find(&self.fd, OsStr::new(name))
    }

    /// Refuses a process that did not open the directory: a fork of the one that did.
    pub(super) fn expect_owner(&self) -> io::Result<()> {
        let called_in = std::process::id();
        if called_in == self.opened_by {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the directory was opened by process {} and is used by its fork {called_in}, which may only read; open \
             it again in the fork",
            self.opened_by
        )))
    }

    /// Starts to watch over a file that was made, or opened for writing, under this name.
    pub(super) fn watch(&self, name: &str, file: &File) -> io::Result<()> {
        let identity = identity_of(&rustix::fs::fstat(file)?);
        self.watched.lock().files.insert(name.into(), identity);
        Ok(())
    }

    /// Forgets all files: another process may have changed them since.
    pub(super) fn watch_none(&self) {
        *self.watched.lock() = Watched::default();
    }

    /// Removes a file, if it is the one that was made there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.expect_owner()?;
        // Taken off the list first: whoever looks meanwhile does not miss it.
        let watched = self.take_watched(name)?;
        let removed = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
        self.give_back(name, watched, removed)
    }

    /// Renames a file, if it is the one that was made there.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.expect_owner()?;
        let watched = self.take_watched(from)?;
        let renamed = rustix::fs::renameat(&self.fd, from, &self.fd, to);
        if renamed.is_ok() {
            // The file of that name before is replaced, and by whom is known.
            self.watched.lock().files.remove(to);
        }
        self.give_back(from, watched, renamed)
    }

    fn take_watched(&self, name: &str) -> io::Result<Option<Identity>> {
        let mut watched = self.watched.lock();
        if let (Some(expected), Some(found)) = (watched.files.get(name), self.identity_of(name)?)
            && *expected != found
        {
            return Err(replaced(name));
        }
        Ok(watched.files.remove(name))
    }

    /// Watches over a file again where it could not be removed or renamed.
    fn give_back(&self, name: &str, watched: Option<Identity>, done: Result<(), Errno>) -> io::Result<()> {
        let Err(error) = done else { return Ok(()) };
        if let Some(identity) = watched.filter(|_| error != Errno::NOENT) {
            self.watched.lock().files.insert(name.into(), identity);
        }
        Err(error.into())
    }

    /// Makes sure that an open file, and all that are watched over, can be found after a restart.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] with the name of what is missing.
    pub(super) fn check(&self, name: &str, file: &File) -> io::Result<()> {
        if rustix::fs::fstat(file)?.st_nlink == 0 {
            return Err(removed(name));
        }
        let found = rustix::fs::fstat(&self.fd)?;
        if found.st_nlink == 0 {
            return Err(removed("the directory"));
        }
        let seen = Some(changed_at(&found));
        let mut watched = self.watched.lock();
        if watched.seen != seen {
            for (name, expected) in &watched.files {
                match self.identity_of(name)? {
                    None => return Err(removed(name)),
                    Some(found) if found != *expected => return Err(replaced(name)),
                    Some(_) => {}
                }
            }
            watched.seen = seen;
        }
        Ok(())
    }
}

fn removed(name: impl Display) -> io::Error {
    let what = format!(
        "{name} was removed or moved away while it was open; what is written there is lost at the next start, so \
         nothing more is acknowledged: put it back if there is a copy, and open the store again"
    );
    io::Error::new(io::ErrorKind::NotFound, what)
}

fn replaced(name: impl Display) -> io::Error {
    let what = format!(
        "another file was put in the place of {name} while that was open; it was left as it is: restore a store into \
         a directory of its own, or close the store first"
    );
    io::Error::other(what)
}

/// Opens the directory of a name in another one.
pub(super) fn open_directory(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::openat(&parent, name, flags, Mode::empty()))?)
}

/// Opens the directory at a path.
pub(super) fn open_path(path: &std::path::Path) -> io::Result<OwnedFd> {
    open_directory(CWD, path.as_os_str())
}

/// The identity of what has this name, if there is such a thing; of a symbolic link that of the link.
pub(super) fn find(parent: impl AsFd, name: &OsStr) -> io::Result<Option<Identity>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(identity_of(&found))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    reason = "the width of these differs between systems"
)]
fn identity_of(found: &Stat) -> Identity {
    Identity { device: found.st_dev as u64, number: found.st_ino as u64 }
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    reason = "the width of these differs between systems"
)]
fn changed_at(found: &Stat) -> (i64, i64) {
    (found.st_ctime as i64, found.st_ctime_nsec as i64)
}
