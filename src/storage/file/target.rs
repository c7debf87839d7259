//! A place for a new directory: a name in a parent that is held open.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::FileStorage;
use super::directory::{find, open_directory, open_path};
use crate::error::{Error, Result};
use crate::storage::Storage;

/// A name in a directory that is held open.
pub(crate) struct Target {
    parent: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Target {
    /// Finds the place of a path. A symbolic link that leads to a directory stands for that.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if its parent is no directory, [`Error::Io`] if the system refuses.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let end = match path.is_symlink() {
            true => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            false => path.to_owned(),
        };
        let not_a_store = |found, advice| Error::NotAStore { path: path.to_owned(), found, advice };
        let Some(name) = end.file_name() else {
            return Err(not_a_store(
                "it is a path without a name of its own".to_owned(),
                "name the directory by its name in another one",
            ));
        };
        let parent = parent_of(&end);
        match open_path(parent) {
            Ok(opened) => Ok(Self { parent: opened, name: name.to_owned(), path: path.to_owned() }),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                let found = format!("nothing is there, and its parent {} is no directory", parent.display());
                Err(not_a_store(found, "check the path, or create the parent directory first"))
            }
            Err(e) => Err(Error::Io {
                action: "open the parent directory of",
                path: path.to_owned(),
                source: Arc::new(e),
            }),
        }
    }

    /// The same place, its name followed by this.
    pub(crate) fn beside(&self, suffix: &str) -> Result<Self> {
        let parent = self.parent.try_clone().map_err(|e| self.io_error("open the parent directory of", e))?;
        let longer = |name: &std::ffi::OsStr| {
            let mut name = name.to_owned();
            name.push(suffix);
            name
        };
        let path = PathBuf::from(longer(self.path.as_os_str()));
        Ok(Self { parent, name: longer(&self.name), path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory that is there; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if it is something else, [`Error::Io`] if the system refuses.
    pub(crate) fn find(&self) -> Result<Option<FileStorage>> {
        match open_directory(&self.parent, &self.name) {
            Ok(fd) => Ok(Some(FileStorage::of(&self.path, fd))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(not_a_directory(&self.path)),
            Err(e) => Err(self.io_error("open", e)),
        }
    }

    /// Opens the directory; makes it where there is none, durably.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub(crate) fn make(&self) -> Result<FileStorage> {
        match rustix::fs::mkdirat(&self.parent, &self.name, Mode::from_raw_mode(0o777)) {
            // Somebody else made it at the same time.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(self.io_error("create the directory", e.into())),
        }
        let made = self.find()?.ok_or_else(|| Error::NotAStore {
            path: self.path.clone(),
            found: "it is a symbolic link that leads nowhere".to_owned(),
            advice: "make the directory that it leads to, or name another one",
        })?;
        self.sync()?;
        Ok(made)
    }

    /// Moves a directory here, where nothing is or an empty directory, and makes that durable.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses, or `from` is another directory than `made` by now.
    pub(crate) fn replace_by(&self, from: &Self, made: &FileStorage) -> Result<()> {
        let found = find(&from.parent, &from.name).map_err(|e| from.io_error("look at", e))?;
        if found.is_none() || found != made.identity().map_err(|e| from.io_error("look at", e))? {
            let what = "it was moved away or replaced while it was written; it was left as it is";
            return Err(from.io_error("move the directory", io::Error::other(what)));
        }
        rustix::fs::renameat(&from.parent, &from.name, &self.parent, &self.name)
            .map_err(|e| self.io_error("move the directory to", e.into()))?;
        self.sync()
    }

    fn sync(&self) -> Result<()> {
        rustix::io::retry_on_intr(|| rustix::fs::fsync(&self.parent))
            .map_err(|e| self.io_error("sync the parent directory of", e.into()))
    }

    fn io_error(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { action, path: self.path.clone(), source: Arc::new(source) }
    }
}

/// Refuses a symbolic link to what is not there: no directory can be made in its place.
pub(super) fn refuse_dangling(path: &Path) -> Result<()> {
    let Ok(to) = std::fs::read_link(path) else { return Ok(()) };
    Err(Error::NotAStore {
        path: path.to_owned(),
        found: format!("it is a symbolic link to {}, where nothing is", to.display()),
        advice: "create the directory that it names, or name another one",
    })
}

pub(super) fn not_a_directory(path: &Path) -> Error {
    Error::NotAStore {
        path: path.to_owned(),
        found: "it is a file, not a directory".into(),
        advice: "name the directory that holds the store",
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
