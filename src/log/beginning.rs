//! The beginning of an opening: it finds a manifest, or a place where a store can be begun.

use std::io;

use super::directory::{Directory, LOCK, LOST_AND_FOUND, MANIFEST, MANIFEST_TEMP};
use super::manifest::Manifest;
use super::options::Options;
use super::slots::{self, Slots};
use super::unfinished;
use crate::error::Result;

/// Reads the manifest for an opening that is to write; `None` if there is none.
pub(crate) fn read_manifest(directory: &Directory) -> Result<Option<(Manifest, Slots)>> {
    let Some(mut found) = slots::read(directory)? else { return Ok(None) };
    if !found.slots.is_settled() || !found.manifest.clean {
        // The process before died, or failed, perhaps before this was durable: what counts is what the medium has.
        found.slots.sync(directory)?;
        let Some(again) = slots::read(directory)? else { return Ok(None) };
        found = again;
    }
    Ok(Some((found.manifest, found.slots)))
}

/// Returns whether there is a manifest.
pub(crate) fn has_manifest(directory: &Directory) -> Result<bool> {
    match directory.storage.open(MANIFEST) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(directory.io_error("open", MANIFEST, e)),
    }
}

/// Refuses a directory without a manifest, unless it is empty and a store may be begun there.
pub(crate) fn check_new(directory: &Directory, options: &Options) -> Result<()> {
    let names = directory.storage.list().map_err(|e| directory.io_error("list", "", e))?;
    if names.iter().any(|name| name == MANIFEST) {
        return Ok(()); // Somebody began a store since: the lock decides.
    }
    if unfinished::is_unfinished(&names) {
        return Err(directory.not_a_store(
            "it holds a copy that a salvage or a migration did not complete",
            "remove the directory, or salvage or migrate into it once more",
        ));
    }
    if names.iter().any(|name| name.ends_with(".segment")) {
        return Err(directory.not_a_store(
            "it holds segments, but no MANIFEST",
            "copy what is whole with `Store::salvage`, or restore the directory from a backup; nothing was changed",
        ));
    }
    // A crash while a store was begun leaves these two.
    let mut own = names.iter().filter(|name| *name != LOST_AND_FOUND).peekable();
    let is_empty = own.peek().is_none();
    let foreign = own.find(|name| *name != LOCK && *name != MANIFEST_TEMP);
    let found = match (foreign, is_empty) {
        (Some(foreign), _) => format!("it holds other files, such as {foreign:?}"),
        (None, true) => "it is an empty directory".to_owned(),
        (None, false) => "a store was begun there and not finished".to_owned(),
    };
    match (options.advice_if_absent(), foreign) {
        (Some(advice), _) => Err(directory.not_a_store(found, advice)),
        (None, Some(_)) => {
            Err(directory.not_a_store(found, "name a directory that is empty, or does not exist yet"))
        }
        (None, None) => Ok(()),
    }
}
