//! Full disks: a store that met one is never stuck. It goes on reading; dropping checkpoints takes no room; compaction gives back
//! first what takes none; and with room the same store goes on, without being opened again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::compaction::{Noise, World, check, small};
use crate::Error;
use crate::retention::{every_nth, keep_last};
use crate::storage::{SimStorage, Storage};
use crate::store::{CheckpointId, Store};

type Model = BTreeMap<CheckpointId, World>;

fn is_full<T: std::fmt::Debug>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::StorageFull)
}

fn used(disk: &SimStorage) -> u64 {
    disk.list().unwrap().iter().map(|name| disk.contents(name).unwrap().len() as u64).sum()
}

/// Checkpoints until the disk is full; the number of checkpoints.
fn fill(store: &Store, world: &mut World, noise: &mut Noise, model: &mut Model) -> usize {
    for made in 0.. {
        world.step(noise, 6);
        match store.checkpoint(world) {
            Ok(checkpoint) => drop(model.insert(checkpoint.id, world.clone())),
            error => {
                assert!(is_full(&error), "{error:?}");
                return made;
            }
        }
    }
    unreachable!("it fills up")
}

/// Fills a disk, drops all but two, compacts and fills it again, some rounds long, in one opening.
fn rounds(store: &Store, mut filled: impl FnMut()) {
    let (mut world, mut noise, mut model) = (World::default(), Noise(3), Model::new());
    for round in 0..4 {
        let made = fill(store, &mut world, &mut noise, &mut model);
        assert!(made > 50, "round {round}: only {made} checkpoints found room");
        filled();
        let retained = store.retain(&keep_last(2)).unwrap();
        retained.dropped.iter().for_each(|id| drop(model.remove(id)));
        let compacted = store.compact().unwrap();
        assert!(compacted.removed > 5, "round {round}: {compacted:?}");
    }
    check(store, &model);
}

#[test]
fn a_full_disk_is_given_back_by_dropping_and_compacting() {
    let disk = SimStorage::new();
    disk.set_capacity(Some(1 << 20));
    let store = small().open_storage(Arc::new(disk.clone())).unwrap();
    // Not a byte is left.
    rounds(&store, || disk.set_capacity(Some(used(&disk).min(1 << 20))));
    drop(store);
    assert!(small().open_storage(Arc::new(disk)).unwrap().verify().unwrap().is_clean());
}

#[test]
fn a_full_disk_of_the_file_system_is_given_back_by_dropping_and_compacting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "perennial-test", path]).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        println!("no tmpfs can be mounted here: nothing was tested");
        return;
    }
    struct Unmount<'a>(&'a str);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").args(["-l", self.0]).status();
        }
    }
    let _unmount = Unmount(path);
    let store = small().open(Path::new(path).join("store")).unwrap();
    rounds(&store, || {
        // Somebody else takes what is left.
        let filler = Path::new(path).join("filler");
        let left = (0..).map_while(|n| {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&filler).ok()?;
            file.write_all(&vec![n as u8; 1024]).ok()
        });
        left.for_each(drop);
    });
    drop(store);
    assert!(small().open(Path::new(path).join("store")).unwrap().verify().unwrap().is_clean());
}

#[test]
fn where_no_segment_is_dead_compaction_gives_back_what_it_has_room_for() {
    let disk = SimStorage::new();
    let options = small().compact_below(0.95);
    let store = options.open_storage(Arc::new(disk.clone())).unwrap();
    let (mut world, mut noise, mut model) = (World::default(), Noise(5), Model::new());
    for _ in 0..300 {
        world.step(&mut noise, 12);
        model.insert(store.checkpoint(&world).unwrap().id, world.clone());
    }
    let retained = store.retain(&(keep_last(2) | every_nth(8))).unwrap();
    retained.dropped.iter().for_each(|id| drop(model.remove(id)));
    let before = used(&disk);
    let (mut freed, mut refused) = (0, 0);
    for room in [0, 1 << 10, 4 << 10, 12 << 10, 20 << 10] {
        let disk = disk.crash_point().killed();
        let store = options.open_storage(Arc::new(disk.clone())).unwrap();
        disk.set_capacity(Some(before + room));
        match store.compact() {
            Ok(compacted) => freed += compacted.old_bytes - compacted.new_bytes,
            error => {
                assert!(is_full(&error), "{error:?}");
                refused += 1;
            }
        }
        check(&store, &model);
        disk.set_capacity(None);
        // It is not poisoned, and a pass with room does the rest.
        store.compact().unwrap();
        let (mut world, mut model) = (world.clone(), model.clone());
        world.step(&mut Noise(9), 5);
        model.insert(store.checkpoint(&world).unwrap().id, world);
        check(&store, &model);
        drop(store);
        check(&options.open_storage(Arc::new(disk)).unwrap(), &model);
    }
    assert!(freed > 0 && refused < 4, "{freed} bytes, {refused} passes without any");
}
