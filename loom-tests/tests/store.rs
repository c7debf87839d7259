//! The store: whoever returns is durable, syncs are shared, a failure poisons all, readers see whole commits.

use loom_tests::{Arc, Disk, Image, model, thread};
use perennial::Vector;
use perennial::storage::Storage;
use perennial::store::{CheckpointId, CheckpointOptions, Compression, Durability, Error, Store};
use serde::{Deserialize, Serialize};

/// What a state holds in two places, the same number in both.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Pair {
    plain: u32,
    items: Vector<u32>,
}

impl Pair {
    fn new(number: u32) -> Self {
        Self { plain: number, items: Vector::from_iter([number]) }
    }

    fn number(&self) -> u32 {
        assert_eq!(self.items.iter().collect::<Vec<_>>(), [&self.plain], "half a state");
        self.plain
    }
}

/// A store of few, small parts.
fn open(storage: impl Storage + 'static) -> Result<Store, Error> {
    Store::options()
        .compression(Compression::None)
        .segment_bytes(0)
        .cache_bytes(0)
        .durability(Durability::Buffered)
        .open_storage(std::sync::Arc::new(storage))
}

/// A store with checkpoint 1, of number 0.
fn store(disk: &Disk) -> Store {
    let store = open(disk.clone()).unwrap();
    checkpoint(&store, 0, Durability::Sync).unwrap();
    store
}

fn checkpoint(store: &Store, number: u32, durability: Durability) -> Result<CheckpointId, Error> {
    let how = CheckpointOptions::new().durability(durability);
    store.commit().roots(&[("state", &number)]).options(&how).write().map(|checkpoint| checkpoint.id)
}

/// Opens what a power cut left, and expects a checkpoint in it.
fn expect(image: &Image, id: CheckpointId, number: u32) {
    let store = Store::options().read_only(true).open_storage(image.storage()).unwrap();
    assert_eq!(store.restore::<u32>(id).expect("an acknowledged checkpoint"), number);
}

#[test]
fn a_checkpoint_is_durable_when_its_sync_returns_and_syncs_are_shared() {
    let fewest = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(usize::MAX));
    let least = std::sync::Arc::clone(&fewest);
    model(move || {
        let disk = Disk::new();
        let store = Arc::new(store(&disk));
        let before = disk.syncs();
        let work = |number| {
            let (store, disk) = (Arc::clone(&store), disk.clone());
            move || {
                let id = checkpoint(&store, number, Durability::Buffered).unwrap();
                store.sync().unwrap();
                (disk.image(), id, number)
            }
        };
        let other = thread::spawn(work(1));
        let mine = work(2)();
        let theirs = other.join().unwrap();
        least.fetch_min(disk.syncs() - before, std::sync::atomic::Ordering::Relaxed);
        for (image, id, number) in [mine, theirs] {
            expect(&image, id, number);
        }
    });
    let fewest = fewest.load(std::sync::atomic::Ordering::Relaxed);
    assert!(fewest == 1 || cfg!(not(loom)), "no sync served both");
}

#[test]
fn a_sync_that_fails_acknowledges_nothing_to_anybody() {
    model(|| {
        let disk = Disk::new();
        let store = Arc::new(store(&disk));
        disk.fail_next_sync();
        let work = |number, durability| {
            let (store, disk) = (Arc::clone(&store), disk.clone());
            move || {
                let id = checkpoint(&store, number, durability)?;
                if durability == Durability::Buffered {
                    store.sync()?;
                }
                Ok::<_, Error>((disk.image(), id, number))
            }
        };
        let other = thread::spawn(work(1, Durability::Buffered));
        let mine = work(2, Durability::Sync)();
        let theirs = other.join().unwrap();
        let failures =
            [&mine, &theirs].into_iter().filter(|done| matches!(done, Err(Error::Io { .. }))).count();
        assert_eq!(failures, 1, "one sync has failed: {:?}", [mine.err(), theirs.err()]);
        for (image, id, number) in [mine, theirs].into_iter().flatten() {
            expect(&image, id, number);
        }
        assert!(matches!(store.sync(), Err(Error::Poisoned { .. })));
        assert!(matches!(checkpoint(&store, 3, Durability::Buffered), Err(Error::Poisoned { .. })));
        assert!(store.latest::<u32>().is_ok(), "a poisoned store can be read");
    });
}

#[test]
fn whoever_closes_the_store_last_leaves_it_clean_with_every_checkpoint() {
    model(|| {
        let disk = Disk::new();
        let store = Arc::new(store(&disk));
        let work = |number| {
            let held = Arc::clone(&store);
            move || {
                let store = held;
                checkpoint(&store, number, Durability::Buffered).unwrap()
            }
        };
        let (other, mine) = (thread::spawn(work(1)), work(2));
        drop(store);
        let ids = [(mine(), 2), (other.join().unwrap(), 1)];
        let image = disk.image();
        for (id, number) in ids {
            expect(&image, id, number);
        }
        // The lock was given back too.
        drop(open(disk).unwrap());
    });
}

#[test]
fn a_reader_beside_a_writer_sees_whole_commits_in_order() {
    model(|| {
        let disk = Disk::new();
        let store = Arc::new(open(disk).unwrap());
        let mut pair = Pair::new(0);
        // The first two of a type are read back on trial, which lets readers see their records early.
        let first = [(); 2].map(|()| store.checkpoint(&pair).unwrap().id)[1];
        let writer = thread::spawn({
            let store = Arc::clone(&store);
            move || {
                pair.plain = 1;
                *pair.items.get_mut(0).unwrap() = 1;
                store.checkpoint(&pair).unwrap().id
            }
        });
        let seen = [(); 2].map(|()| {
            let id = store.checkpoints().next().unwrap().expect("a commit that can be read").id;
            let number = store.restore::<Pair>(id).unwrap().number();
            assert_eq!(number, u32::from(id != first));
            assert!(store.latest::<Pair>().unwrap().unwrap().number() >= number);
            id
        });
        let second = writer.join().unwrap();
        assert!(
            first <= seen[0] && seen[0] <= seen[1] && seen[1] <= second,
            "checkpoints went back for one reader"
        );
        assert_eq!(store.latest::<Pair>().unwrap(), Some(Pair::new(1)));
    });
}

#[test]
fn a_lazy_read_beside_a_compaction_finds_what_was_moved() {
    model(|| {
        let store = Arc::new(open(Disk::new()).unwrap());
        let items = |number: u32| (0..9).map(|n| n * number).collect::<Vector<u32>>();
        let first = store.checkpoint(&items(1)).unwrap().id;
        // Segments of 4 KiB: the first is sealed, and mostly garbage when the second checkpoint is all that is kept.
        for number in 2..=3 {
            store.checkpoint(&(items(number), "x".repeat(3000))).unwrap();
        }
        let lazy: Vector<u32> = store.restore(first).unwrap();
        store.retain(&perennial::retention::keep_last(1)).unwrap();
        let compactor = thread::spawn({
            let store = Arc::clone(&store);
            move || store.compact().unwrap()
        });
        assert_eq!(lazy, items(1));
        let done = compactor.join().unwrap();
        assert!(done.rewritten > 0, "nothing was moved: {done:?}");
        drop(lazy);
        assert_eq!(store.latest::<(Vector<u32>, String)>().unwrap().unwrap().0, items(3));
    });
}
