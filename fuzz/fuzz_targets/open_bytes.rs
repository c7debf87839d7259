//! Any change to the files of a store: every outcome is the right data or an error.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use perennial::HashMap;
use perennial::storage::{MemoryStorage, Storage};
use perennial::store::Options;

#[derive(Arbitrary, Debug)]
struct Change {
    file: u8,
    offset: u16,
    bytes: Vec<u8>,
}

fuzz_target!(|changes: Vec<Change>| {
    let storage = Arc::new(MemoryStorage::new());
    let options = Options::new().segment_bytes(16 << 10);
    let mut states = Vec::new();
    {
        let store = options.open_storage(storage.clone()).expect("a new store");
        let mut map: HashMap<u32, String> = (0..100).map(|n| (n, n.to_string())).collect();
        for tick in 0..5 {
            map.insert(tick * 7, format!("tick {tick}"));
            states.push((store.checkpoint(&map).expect("a checkpoint").id, map.clone()));
        }
    }
    let names = storage.list().expect("a listing");
    for change in &changes {
        let Ok(file) = storage.open_writable(&names[usize::from(change.file) % names.len()]) else {
            continue;
        };
        let len = file.len_bytes().unwrap_or(0);
        if u64::from(change.offset) + change.bytes.len() as u64 <= len {
            let _ = file.write_all_at(&change.bytes, u64::from(change.offset));
        }
    }
    let Ok(store) = options.open_storage(storage) else { return };
    for (id, state) in states {
        let Ok(map) = store.restore::<HashMap<u32, String>>(id) else { continue };
        if map.load_all().is_ok() {
            assert_eq!(map, state);
        }
    }
});
