//! What is done alike with every collection: versions that are kept and gone back to, checkpoints, reopenings.

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial::storage::MemoryStorage;
use perennial::store::{CheckpointId, Options, Persist, Store};
use serde::de::DeserializeOwned;

type Map = BTreeMap<u16, String>;

/// Versions of a collection, each with the model of what is in it, and a store with checkpoints of some.
pub struct Versions<C, M> {
    storage: Arc<MemoryStorage>,
    store: Option<Store>,
    kept: Vec<(C, M)>,
    saved: Vec<(CheckpointId, M)>,
}

impl<C: Persist + Clone + DeserializeOwned, M: Clone> Versions<C, M> {
    pub fn new(collection: &C, model: &M) -> Self {
        let kept = vec![(collection.clone(), model.clone())];
        let mut versions = Self { storage: Arc::default(), store: None, kept, saved: Vec::new() };
        versions.reopen();
        versions
    }

    pub fn keep(&mut self, collection: &C, model: &M) {
        self.kept.push((collection.clone(), model.clone()));
    }

    /// One of those that are kept, whatever the index.
    pub fn kept(&self, index: u8) -> &(C, M) {
        &self.kept[usize::from(index) % self.kept.len()]
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("an open store")
    }

    pub fn checkpoint(&mut self, collection: &C, model: &M) {
        let id = self.store().checkpoint(collection).expect("a checkpoint").id;
        self.saved.push((id, model.clone()));
    }

    fn restore(&self, (id, model): &(CheckpointId, M)) -> (C, M) {
        (self.store().restore(*id).expect("a sound checkpoint"), model.clone())
    }

    /// Opens the store again; the newest checkpoint.
    pub fn reopen(&mut self) -> Option<(C, M)> {
        self.store = None;
        let options = Options::new().segment_bytes(64 << 10);
        self.store = Some(options.open_storage(self.storage.clone()).expect("a sound store"));
        self.saved.last().map(|saved| self.restore(saved))
    }

    /// Keeps a last one, and compares all of them, and all checkpoints, with their models.
    pub fn finish(mut self, collection: &C, model: &M, same: fn(&C, &M) -> bool) {
        self.keep(collection, model);
        let restored: Vec<_> = self.saved.iter().map(|saved| self.restore(saved)).collect();
        assert!(self.kept.iter().chain(&restored).all(|(collection, model)| same(collection, model)));
    }
}

/// Does to the model of a map what a three-way merge does in which its own side wins the conflicts.
pub fn merge(mine: &mut Map, base: &Map, theirs: &Map) {
    for key in base.keys().chain(theirs.keys()) {
        if mine.get(key) == base.get(key) {
            mine.remove(key);
            mine.extend(theirs.get_key_value(key).map(|(key, value)| (*key, value.clone())));
        }
    }
}
