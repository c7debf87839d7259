//! Why compaction meets damage that no kept checkpoint has anything to do with.
//!
//! A state in memory that may still load something holds its checkpoint, or single records, after retention dropped them.
//! Where these are damaged, compaction fails as long as the state lives, and verifying what is kept finds nothing. So the
//! error says who needs what is damaged, and what to do.

use std::sync::Arc;

use super::super::Log;
use super::address_set::AddressSet;
use super::mark::Mark;
use super::throttle::Pace;
use crate::error::{Error, Result};

/// Adds to an error of compaction that only states in memory need what is damaged, if that is so. **O(what is kept)**.
pub(crate) fn explain(log: &Log, error: Error) -> Error {
    let Error::Corrupt { segment, offset, what } = error else { return error };
    let held = {
        let pin_table = log.opening().pin_table();
        let dropped =
            pin_table.pinned().into_iter().map(|commit| commit.id).filter(|&id| !pin_table.keeps(id));
        dropped.map(|id| id.to_string()).collect::<Vec<_>>()
    };
    if !matches!(is_kept_whole(log), Ok(true)) {
        return Error::Corrupt { segment, offset, what };
    }
    let held = match held.is_empty() {
        true => String::new(),
        false => format!(" (of the dropped checkpoints {})", held.join(", ")),
    };
    let what = format!(
        "{what}; no checkpoint that is kept needs it, only states in memory{held}: drop these, and nothing is left to stop \
         compaction"
    );
    Error::Corrupt { segment, offset, what }
}

/// Returns whether all that the kept checkpoints reach can be read.
fn is_kept_whole(log: &Log) -> Result<bool> {
    let Some(position) = log.writer()?.position()? else { return Ok(true) };
    let kept = log.commits().map(|commit| commit.map(Arc::new));
    let mut mark = Mark::over(log.opening(), position, AddressSet::default(), kept)?;
    let mut pace = Pace::free();
    while mark.step(&mut pace)? {}
    Ok(true)
}
