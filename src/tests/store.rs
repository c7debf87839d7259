//! The typed store, on memory and on files.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::HashMap;
use crate::storage::MemoryStorage;
use crate::store::{CheckpointId, CheckpointOptions, Durability, Error, Options, Persist, Store};

fn memory() -> (Arc<MemoryStorage>, Store) {
    let storage = Arc::new(MemoryStorage::new());
    let store = Options::new().open_storage(storage.clone()).unwrap();
    (storage, store)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Player {
    name: String,
    hp: u32,
    items: HashMap<u16, u8>,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
struct World {
    tick: u64,
    players: HashMap<u32, Player>,
}

fn world(players: u32) -> World {
    let player =
        |n: u32| Player { name: format!("player {n}"), hp: n, items: [(1, 2)].into_iter().collect() };
    World { tick: 0, players: (0..players).map(|n| (n, player(n))).collect() }
}

#[test]
fn checkpoints_come_back_after_reopening() {
    let (storage, store) = memory();
    assert_eq!(store.latest::<World>().unwrap(), None);
    let mut state = world(2000);
    let mut versions = vec![(store.checkpoint(&state).unwrap().id, state.clone())];
    for tick in 1..50 {
        state.tick = tick;
        if let Some(player) = state.players.get_mut(&(tick as u32 * 7)) {
            player.hp += 1000;
            player.items.insert(tick as u16, 1);
        }
        state.players.remove(&(tick as u32 * 11 + 1));
        versions.push((store.checkpoint(&state).unwrap().id, state.clone()));
    }
    drop(store);
    let store = Options::new().open_storage(storage).unwrap();
    assert_eq!(store.latest::<World>().unwrap().unwrap(), state);
    for (id, version) in &versions {
        assert_eq!(store.restore::<World>(*id).unwrap(), *version);
    }
    let listed: Vec<_> = store.checkpoints().map(|checkpoint| checkpoint.unwrap().id).collect();
    let expected: Vec<_> = versions.iter().rev().map(|(id, _)| *id).collect();
    assert_eq!(listed, expected);
}

#[test]
fn an_unchanged_state_writes_no_nodes() {
    let (_, store) = memory();
    let state = world(500);
    assert!(store.checkpoint(&state).unwrap().nodes > 500);
    let again = store.checkpoint(&state).unwrap();
    assert_eq!(again.nodes, 0);
    assert!(again.bytes < 400, "{} bytes for nothing", again.bytes);
}

#[test]
fn several_states_commit_together_and_share() {
    let (storage, store) = memory();
    let (one, two) = (world(100), world(100).players);
    let states: [(&str, &dyn Persist); 3] = [("one", &one), ("two", &two), ("three", &one.players)];
    let many = store.commit().roots(&states).write().unwrap();
    assert_eq!(many.roots, ["one", "two", "three"]);
    assert!(matches!(store.latest::<World>(), Err(Error::UnknownRoot { .. })));
    let twice: [(&str, &dyn Persist); 2] = [("one", &one), ("one", &one)];
    assert!(matches!(store.commit().roots(&twice).write(), Err(Error::Encode { .. })));
    drop(store);
    let store = Options::new().open_storage(storage).unwrap();
    assert_eq!(
        store
            .latest_checkpoint()
            .and_then(|view| view.map(|view| view.restore_root::<World>("one")).transpose())
            .unwrap()
            .unwrap(),
        one
    );
    let three: HashMap<u32, Player> = store.get(many.id).unwrap().restore_root("three").unwrap();
    assert!(three.ptr_eq(&store.get(many.id).unwrap().restore_root::<World>("one").unwrap().players));
}

#[test]
fn labels_parents_and_unknown_ids() {
    let (_, store) = memory();
    let first = store.checkpoint(&world(1)).unwrap();
    store.checkpoint(&world(2)).unwrap();
    let how = CheckpointOptions::new().label("branch").parent(first.id).durability(Durability::Buffered);
    let branch = store.commit().roots(&[("state", &world(3))]).options(&how).write().unwrap();
    assert_eq!((branch.parent, branch.label.as_deref()), (Some(first.id), Some("branch")));
    let how = CheckpointOptions::new().parent(CheckpointId(99));
    assert!(matches!(
        store.commit().roots(&[("state", &world(3))]).options(&how).write(),
        Err(Error::UnknownCheckpoint { id: CheckpointId(99) })
    ));
    assert!(matches!(
        store.restore::<World>(CheckpointId(99)),
        Err(Error::UnknownCheckpoint { id: CheckpointId(99) })
    ));
}

#[test]
fn another_shape_is_refused_with_the_difference() {
    #[derive(Debug, Serialize, Deserialize)]
    struct World {
        tick: u32,
        players: HashMap<u32, Player>,
    }
    let (_, store) = memory();
    store.checkpoint(&world(3)).unwrap();
    let error = store.latest::<World>().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::ShapeMismatch { .. }));
    assert!(text.contains("- World.tick is stored as u64 and asked for as u32"), "{text}");
}

/// Refused at the first checkpoint, and the store goes on.
fn refused<T: Serialize + DeserializeOwned + 'static>(value: T, expected: &str) {
    let (_, store) = memory();
    let error = store.checkpoint(&value).unwrap_err();
    assert!(matches!(error, Error::Encode { .. }) && error.to_string().contains(expected), "{error}");
    assert_eq!(store.checkpoints().count(), 0);
    store.checkpoint(&world(1)).unwrap();
    assert_eq!(store.latest::<super::store::World>().unwrap().unwrap(), world(1));
}

#[test]
fn what_cannot_be_read_back_is_refused_at_the_first_checkpoint() {
    #[derive(Serialize, Deserialize)]
    struct Skips {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    }
    refused(Skips { name: None }, "skip");

    #[derive(Serialize, Deserialize, Clone)]
    #[serde(untagged)]
    enum Untagged {
        Number(u32),
        Text(String),
    }
    refused(Untagged::Number(1), "untagged");
    refused(Some(Untagged::Text(String::new())), "untagged");
    refused(HashMap::<u32, Untagged>::new(), "untagged");

    #[derive(Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, u32>,
    }
    refused(Flat { rest: Default::default() }, "flatten");

    #[derive(Clone, Serialize, Deserialize)]
    struct Lopsided {
        #[serde(serialize_with = "as_text")]
        number: u64,
    }
    fn as_text<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("the number {number}"))
    }
    refused(HashMap::from([(1u8, Lopsided { number: 70 })]), "read back");
}

#[test]
fn a_panic_while_encoding_commits_nothing_and_the_store_goes_on() {
    #[derive(Clone, Deserialize)]
    struct Moody(u32);
    impl Serialize for Moody {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            assert!(self.0 != 500, "moody");
            serializer.serialize_newtype_struct("Moody", &self.0)
        }
    }
    let (storage, store) = memory();
    let mut map: HashMap<u32, Moody> = (0..400).map(|n| (n, Moody(n))).collect();
    store.checkpoint(&map).unwrap();
    map.extend((400..600).map(|n| (n, Moody(n))));
    let attempt = std::panic::AssertUnwindSafe(|| store.checkpoint(&map));
    assert!(std::panic::catch_unwind(attempt).is_err());
    assert_eq!(store.checkpoints().count(), 1);
    map.insert(500, Moody(0));
    store.checkpoint(&map).unwrap();
    drop(store);
    let store = Options::new().open_storage(storage).unwrap();
    let restored: HashMap<u32, Moody> = store.latest().unwrap().unwrap();
    assert_eq!(restored.len(), 600);
    assert!(restored.iter().all(|(&key, value)| value.0 == if key == 500 { 0 } else { key }));
}

#[test]
fn a_lazy_state_outlives_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("world");
    let state = world(3000);
    let store = Store::open(&path).unwrap();
    store.checkpoint(&state).unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Locked { pid, .. }) if pid == std::process::id()));
    drop(store);
    let store = Store::open(&path).unwrap();
    let restored: World = store.latest().unwrap().unwrap();
    drop(store);
    let _writer = Store::open(&path).unwrap();
    assert_eq!(restored, state);
}

/// A vector of every edit, checkpointed often and reopened, equals a `Vec` at each checkpoint.
#[test]
fn vectors_come_back_at_every_checkpoint() {
    use crate::Vector;
    let (storage, mut store) = memory();
    let (mut vector, mut model) = (Vector::<u32>::new(), Vec::<u32>::new());
    let mut random = 1u64;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as usize % below.max(1)
    };
    let mut versions = Vec::new();
    for step in 0..3000u32 {
        let len = model.len();
        match next(12) {
            0..=2 => (0..next(60)).for_each(|_| (vector.push_back(step), model.push(step)).1),
            3 => (0..next(30)).for_each(|_| (vector.push_front(step), model.insert(0, step)).1),
            4 | 5 => {
                let at = next(len + 1);
                vector.insert(at, step);
                model.insert(at, step);
            }
            6 if len > 0 => assert_eq!(vector.remove(step as usize % len), model.remove(step as usize % len)),
            7 | 8 if len > 0 => {
                let at = next(len);
                vector.set(at, step);
                model[at] = step;
            }
            9 => {
                let at = next(len + 1);
                let mut tail = vector.split_off(at);
                let mut rest = model.split_off(at);
                tail.append(&mut vector);
                rest.append(&mut model);
                (vector, model) = (tail, rest);
            }
            10 if len > 3000 => {
                vector.truncate(len / 2);
                model.truncate(len / 2);
            }
            _ => assert_eq!((vector.pop_back(), vector.pop_front()), {
                let back = model.pop();
                (back, (!model.is_empty()).then(|| model.remove(0)))
            }),
        }
        if next(10) == 0 {
            versions.push((store.checkpoint(&vector).unwrap().id, model.clone()));
        }
        if next(150) == 0 {
            drop(store);
            store = Options::new().open_storage(storage.clone()).unwrap();
            if let Some(restored) = store.latest().unwrap() {
                vector = restored;
                model = versions.last().unwrap().1.clone();
            }
        }
    }
    for (id, model) in versions {
        let restored: Vector<u32> = store.restore(id).unwrap();
        assert_eq!(restored.iter().copied().collect::<Vec<_>>(), model);
    }
}
