//! A slot of a branch or of a root: how an address in it becomes a node, and when two slots hold the same.
#![expect(unsafe_code, reason = "looks at the nodes of words")]

use std::sync::Arc;

use super::BranchLayout;
use super::link::{Node, Word};
use super::source::Source;
use crate::error::Result;
use crate::record::Place;
use crate::sync::{AtomicPtr, Ordering};
use crate::weaken;

/// Loads the address in `slot` and publishes the node there; of racing loads the first wins.
pub(super) fn settle<T, X: BranchLayout>(
    slot: &AtomicPtr<()>,
    source: Option<&Arc<Source<T, X>>>,
    place: Place,
) -> Result<Word> {
    let word = Word(slot.load(Ordering::Acquire));
    let Some(address) = word.address() else { return Ok(word) };
    let source = source.expect("a link to a record has a source");
    Ok(publish(slot, source.load(address, place)?))
}

/// Swaps `node` into a slot that held an address; the word that stands there afterwards.
pub(super) fn publish<T, X: BranchLayout>(slot: &AtomicPtr<()>, node: Node<T, X>) -> Word {
    let current = slot.load(Ordering::Acquire);
    if Word(current).address().is_none() {
        return Word(current);
    }
    if weaken::is("load_unchecked") {
        slot.store(node.word().0, Ordering::Release);
        return node.into_word();
    }
    let (won, lost) =
        (weaken::ordering("load", Ordering::AcqRel), weaken::ordering("load_lost", Ordering::Acquire));
    match slot.compare_exchange(current, node.word().0, won, lost) {
        Ok(_) => node.into_word(),
        Err(theirs) => Word(theirs),
    }
}

/// Whether two words that are not nothing stand for the same node.
pub(super) fn same_word<T, X: BranchLayout>(
    mine: Word,
    my_source: Option<&Arc<Source<T, X>>>,
    theirs: Word,
    their_source: Option<&Arc<Source<T, X>>>,
) -> bool {
    let identity = |word: Word, source: Option<&Arc<Source<T, X>>>| match word.address() {
        Some(address) => source.map(|source| super::header::clean_word(source.backing.tag(), address)),
        // SAFETY: resident, and alive while the slots it was read from are borrowed by the caller.
        None => unsafe { word.header() }.clean_word(),
    };
    (mine == theirs && mine.resident().is_some()) || {
        let mine = identity(mine, my_source);
        mine.is_some() && mine == identity(theirs, their_source)
    }
}
