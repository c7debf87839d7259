//! Everything at once for a while: writers, readers, a checkpointer, and then every checkpoint is looked at.
//!
//! Two seconds in the ordinary run; `PERENNIAL_STRESS_SECONDS` makes it longer (`.ci/stress` runs ten minutes).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::checkpointer::Durability;
use crate::store::{CheckpointOptions, Store};
use crate::{Checkpointer, HashMap, State, Vector};

const KEYS: u64 = 20_000;
/// Versions whose fingerprints are kept at a time, to hold the checkpoints against.
const REMEMBERED: u64 = 1 << 20;

#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
struct World {
    /// How often the world was changed.
    turn: u64,
    /// Sum of all values, wrapping: whole versions keep it.
    sum: u64,
    values: HashMap<u64, u64>,
    log: Vector<u64>,
}

impl World {
    fn change(&mut self, random: &mut u64) {
        for _ in 0..8 {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (*random >> 33) % KEYS;
            let value = *random ^ key;
            let old = self.values.insert(key, value).unwrap_or(0);
            self.sum = self.sum.wrapping_add(value).wrapping_sub(old);
        }
        self.turn += 1;
        self.log.push_back(self.turn);
        if self.log.len() > 500 {
            self.log.pop_front();
        }
    }

    fn check(&self) {
        let sum = self.values.iter().fold(0_u64, |sum, (_, &value)| sum.wrapping_add(value));
        assert_eq!(sum, self.sum, "half a version");
        assert_eq!(self.log.back().copied().unwrap_or(0), self.turn, "half a version");
    }

    /// Tells versions apart.
    fn fingerprint(&self) -> (u64, u64) {
        (self.turn, self.sum)
    }
}

/// Resident bytes of the process, without those of mapped files (the log, which grows).
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

#[test]
fn readers_never_go_back_and_every_checkpoint_was_published() {
    let seconds = std::env::var("PERENNIAL_STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::options().cache_bytes(4 << 20).open(directory.path().join("store")).unwrap());
    let state = Arc::new(State::new(World::default()));
    let options = Checkpointer::options()
        .every(Duration::from_millis(5))
        .durability(Durability::Group(Duration::from_millis(2)))
        .unsaved_bytes(4 << 20, 64 << 20);
    let checkpointer = options.start(&state, &store).unwrap();

    // All of it from the beginning: the memory that is measured below must not grow by it.
    let published = Mutex::new(vec![(u64::MAX, u64::MAX); REMEMBERED as usize]);
    published.lock().unwrap()[0] = (0, 0);
    let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut resident = Vec::new();
    std::thread::scope(|scope| {
        for seed in 1..=2 {
            let (state, published, done) = (&state, &published, &done);
            scope.spawn(move || {
                let mut random = seed;
                while !done.load(Ordering::Relaxed) {
                    // The fingerprints are noted in the turn, before anybody can see the version.
                    state.update(|world| {
                        world.change(&mut random);
                        published.lock().unwrap()[(world.turn % REMEMBERED) as usize] = world.fingerprint();
                    });
                }
            });
        }
        for reader in 0..4 {
            let (state, done, reads) = (&state, &done, &reads);
            scope.spawn(move || {
                let (mut last, mut held) = (0, None);
                while !done.load(Ordering::Relaxed) {
                    let version = match reader % 2 {
                        0 => {
                            let now = state.load();
                            now.check();
                            assert_eq!(now.version(), now.turn, "each update is one version");
                            now.version()
                        }
                        // Holds one snapshot while it takes the next: the last holder of most.
                        _ => {
                            let now = state.snapshot();
                            now.check();
                            held.replace(now.clone());
                            now.version()
                        }
                    };
                    assert!(version >= last, "a reader went back from version {last} to {version}");
                    last = version;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut asked = 0;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
            asked += 1;
            let label = format!("asked {asked}");
            let saved = checkpointer.request_with(CheckpointOptions::new().label(&label)).wait().unwrap();
            assert_eq!(saved.checkpoint.label, Some(label));
            resident.push(resident_bytes());
        }
        done.store(true, Ordering::Relaxed);
    });
    let stats = checkpointer.stats();
    let newest = checkpointer.close().unwrap().unwrap();
    assert_eq!(newest.version(), state.version(), "closing saves what is unsaved");
    assert!(stats.failed == 0 && stats.checkpoints > 0, "{stats:?}");

    let published = published.into_inner().unwrap();
    let first = state.version().saturating_sub(REMEMBERED - 1);
    let (mut checked, mut before) = (0_u64, u64::MAX);
    let step = (store.checkpoints().count() / 500).max(1);
    for (index, checkpoint) in store.checkpoints().enumerate() {
        let checkpoint = checkpoint.unwrap();
        if index % step != 0 {
            continue;
        }
        let world: World = store.restore(checkpoint.id).unwrap();
        assert!(world.turn <= before, "an older checkpoint holds a newer version");
        before = world.turn;
        if world.turn >= first {
            let (known, now) = (published[(world.turn % REMEMBERED) as usize], world.fingerprint());
            assert_eq!(known, now, "this version was never published");
            world.check();
            checked += 1;
        }
    }
    assert!(checked > 0);
    let quarter = resident.len() / 4;
    let (early, late) = (resident.get(quarter).copied(), resident.last().copied());
    println!(
        "{seconds} s: {} versions, {} reads, {} checkpoints ({} syncs), {checked} restored and compared, \
         resident {} MiB after a quarter, {} MiB at the end",
        state.version(),
        reads.into_inner(),
        stats.checkpoints,
        stats.syncs,
        early.unwrap_or(0) >> 20,
        late.unwrap_or(0) >> 20,
    );
    if let (Some(early), Some(late)) = (early, late) {
        // What may grow is the index of the log, a few bytes for each of its blocks.
        let most = early + early / 4 + (16 << 20);
        assert!(late <= most, "memory grew from {early} to {late} bytes");
    }
}
