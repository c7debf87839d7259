//! Files of another time: the manifest, one of its slots, or a segment of one moment of a store's life, put beside the files of
//! another one. Each such directory gives what is true, or an error that shows the way; nothing is changed where it is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compaction::{Noise, World};
use crate::Error;
use crate::retention::keep_last;
use crate::storage::{MemoryStorage, Storage};
use crate::store::{CheckpointId, Compression, Options, Store};

type Model = BTreeMap<CheckpointId, World>;
type Files = BTreeMap<String, Vec<u8>>;

/// A store at one moment.
struct Moment {
    files: Files,
    /// The checkpoints that it held.
    model: Model,
}

/// Segments of 4 KiB.
fn options() -> Options {
    Options::new().segment_bytes(4 << 10).block_bytes(256).compression(Compression::None).compact_below(0.9)
}

fn files(storage: &MemoryStorage) -> Files {
    let contents = |name: String| {
        let file = storage.open(&name).unwrap();
        let len = file.len_bytes().unwrap();
        let bytes = file.map(len).unwrap().bytes(0..len).unwrap().into_owned();
        (name, bytes)
    };
    storage.list().unwrap().into_iter().filter(|name| name != "LOCK").map(contents).collect()
}

fn storage(files: &Files) -> MemoryStorage {
    let storage = MemoryStorage::new();
    for (name, bytes) in files {
        storage.create(name, 0).unwrap().write_all_at(bytes, 0).unwrap();
    }
    storage
}

/// A life of checkpoints, drops, compactions, kills and closes; and all checkpoints that ever were.
fn life() -> (Vec<Moment>, Model) {
    let mut disk = MemoryStorage::new();
    let (mut world, mut noise, mut model, mut all) =
        (World::default(), Noise(21), Model::new(), Model::new());
    let mut moments = Vec::new();
    for life in 0..6 {
        let store = options().open_storage(Arc::new(disk.clone())).unwrap();
        for step in 0..4 {
            match (life, step) {
                (1 | 3 | 4, 1) => {
                    let retained = store.retain(&keep_last(2)).unwrap();
                    retained.dropped.iter().for_each(|id| drop(model.remove(id)));
                }
                (1 | 2 | 4, 2) => drop(store.compact().unwrap()),
                _ => {
                    world.step(&mut noise, 12);
                    let id = store.checkpoint(&world).unwrap().id;
                    model.insert(id, world.clone());
                    all.insert(id, world.clone());
                }
            }
            moments.push(Moment { files: files(&disk), model: model.clone() });
        }
        let killed = disk.copy();
        drop(store);
        match life % 2 {
            0 => moments.push(Moment { files: files(&disk), model: model.clone() }),
            _ => disk = killed,
        }
    }
    (moments, all)
}

/// The findings in a mixture of the files of two moments.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Found {
    /// All that the newer moment held, and nothing that neither did.
    Right,
    /// Exactly what the older moment held.
    Older,
    /// Refused when it was opened, or where damage was met.
    Refused,
}

fn look(mixed: &Files, newer: &Model, older: &Model, all: &Model, what: &str) -> Found {
    let disk = storage(mixed);
    let shows_the_way = |error: &Error| {
        assert!(matches!(error, Error::NotAStore { .. } | Error::Corrupt { .. }), "{what}: {error}");
        assert!(error.to_string().contains("salvage"), "{what}: {error}");
    };
    let store: Store = match options().open_storage(Arc::new(disk.clone())) {
        Ok(store) => store,
        Err(error) => {
            shows_the_way(&error);
            assert!(files(&disk) == *mixed, "{what}: something was changed");
            return Found::Refused;
        }
    };
    // What verify sees, reads meet as an error, or as a panic where they cannot fail.
    if let Err(error) = store.verify().unwrap().into_result() {
        shows_the_way(&error);
        return Found::Refused;
    }
    let mut found = Model::new();
    for made in store.checkpoints() {
        let id = made.unwrap_or_else(|e| panic!("{what}: {e}")).id;
        let world: World = store.restore(id).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(world == all[&id], "{what}: {id} is another state");
        found.insert(id, world);
    }
    let has_all = newer.keys().all(|id| found.contains_key(id));
    let only_known = found.keys().all(|id| newer.contains_key(id) || older.contains_key(id));
    match has_all && only_known {
        true => Found::Right,
        false if found.keys().eq(older.keys()) => Found::Older,
        false => panic!("{what}: {:?} were found, of {:?}", found.keys(), newer.keys()),
    }
}

#[test]
fn a_manifest_or_a_slot_of_an_older_time_gives_what_is_true_or_is_refused() {
    let (moments, all) = life();
    let mut counts = BTreeMap::new();
    for (i, newer) in moments.iter().enumerate() {
        for (j, older) in moments[..i].iter().enumerate() {
            let (now, then) = (&newer.files["MANIFEST"], &older.files["MANIFEST"]);
            let mut put = |manifest: Vec<u8>, kind: &str| {
                let mut mixed = newer.files.clone();
                mixed.insert("MANIFEST".into(), manifest);
                let what = format!("{kind} of moment {j} at {i}");
                let found = look(&mixed, &newer.model, &older.model, &all, &what);
                assert!(found != Found::Older, "{what}: what came since is gone");
                *counts.entry(format!("{kind} {found:?}")).or_insert(0) += 1;
                found
            };
            put(then.clone(), "manifest");
            let slot = now.len() / 2;
            if now.len() == then.len() {
                let first = [&then[..slot], &now[slot..]].concat();
                let second = [&now[..slot], &then[slot..]].concat();
                assert_eq!(put(first.clone(), "slot"), Found::Right);
                assert_eq!(put(second, "slot"), Found::Right);
                // One slot of an older time, and the other one damaged.
                let mut damaged = first;
                damaged[slot + 30] ^= 4;
                put(damaged, "damaged");
            }
        }
    }
    println!("{counts:?}");
    assert!(counts["manifest Refused"] > 100 && counts["slot Right"] > 300, "{counts:?}");
}

#[test]
fn segments_of_another_time_give_what_is_true_or_are_refused() {
    let (moments, all) = life();
    let mut counts = BTreeMap::new();
    for (i, newer) in moments.iter().enumerate() {
        for (j, older) in moments.iter().enumerate() {
            for (name, bytes) in older.files.iter().filter(|(name, _)| name.ends_with(".segment")) {
                if newer.files.get(name) == Some(bytes) {
                    continue;
                }
                let mut mixed = newer.files.clone();
                mixed.insert(name.clone(), bytes.clone());
                let what = format!("{name} of moment {j} at {i}");
                // An older segment holds less than was acknowledged, which nobody can tell from a torn end where nothing
                // else in the directory knows that it was durable.
                let least = if j < i { found_of(&mixed, &newer.model) } else { newer.model.clone() };
                // A younger one may hold what was dropped since.
                let other = if j < i { &newer.model } else { &all };
                let found = look(&mixed, &least, other, &all, &what);
                *counts.entry(format!("{found:?}")).or_insert(0) += 1;
            }
        }
    }
    println!("{counts:?}");
    assert!(counts["Refused"] > 100 && counts["Right"] > 100, "{counts:?}");
}

/// The checkpoints up to the newest one that is found.
fn found_of(mixed: &Files, model: &Model) -> Model {
    let store = options().open_storage(Arc::new(storage(mixed)));
    let newest = store.ok().and_then(|store| store.checkpoints().next()?.ok());
    let up_to =
        |newest: CheckpointId| model.range(..=newest).map(|(id, world)| (*id, world.clone())).collect();
    newest.map_or_else(|| model.clone(), |newest| up_to(newest.id))
}
