//! Any change to the files of a store. Where checksums were not made right again, every outcome is the right data or an
//! error; where they were, anything but a panic, a hang or memory without bound.

use std::path::Path;
use std::sync::Arc;

use arbitrary::Arbitrary;
use perennial::retention::keep_last;
use perennial::storage::{MemoryStorage, Storage};
use perennial::store::{Compression, Error, Location, Store, VerifyOptions};

use super::stores::{self, Whole, World, contents, names, replace};

/// A store, what happens to it, and what is then done with it.
#[derive(Arbitrary, Debug)]
pub struct Input {
    store: u8,
    seal: bool,
    read_only: bool,
    step: u8,
    tool: Tool,
    edits: Vec<Edit>,
}

/// One change to a directory. Files and blocks are counted round and round.
#[derive(Arbitrary, Debug)]
enum Edit {
    /// Bytes of a file.
    Write {
        file: u8,
        offset: u16,
        bytes: Vec<u8>,
    },
    /// Bytes of a block, its header included.
    Block {
        segment: u8,
        block: u8,
        offset: u8,
        bytes: Vec<u8>,
    },
    /// Bytes of one place at another: a write that went astray, or one of long ago.
    Copy {
        from: (u8, u16),
        to: (u8, u16),
        len: u16,
    },
    Truncate {
        file: u8,
        len: u16,
    },
    Extend {
        file: u8,
        bytes: u8,
    },
    Remove {
        file: u8,
    },
    Rename {
        from: u8,
        to: u8,
    },
    Create {
        name: u8,
        bytes: Vec<u8>,
    },
}

impl Edit {
    fn make(&self, storage: &MemoryStorage, whole: &Whole) {
        let names = names(storage);
        let Some(most) = names.len().checked_sub(1) else { return };
        let name = |file: u8| names[usize::from(file) % (most + 1)].as_str();
        let change = |name: &str, edit: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = contents(storage, name);
            edit(&mut bytes);
            replace(storage, name, &bytes);
        };
        let overwrite = |name: &str, at: usize, with: &[u8]| {
            change(name, &|bytes| {
                let at = at % bytes.len().max(1);
                let len = with.len().min(bytes.len().saturating_sub(at));
                bytes[at..at + len].copy_from_slice(&with[..len]);
            });
        };
        match self {
            Self::Write { file, offset, bytes } => overwrite(name(*file), (*offset).into(), bytes),
            Self::Block { segment, block, offset, bytes } => {
                if let Some((name, at)) = whole.seals.block(*segment, *block)
                    && names.iter().any(|listed| listed == name)
                {
                    overwrite(name, at + usize::from(*offset), bytes);
                }
            }
            Self::Copy { from, to, len } => {
                let bytes = contents(storage, name(from.0));
                let start = usize::from(from.1) % bytes.len().max(1);
                let end = (start + usize::from(*len)).min(bytes.len());
                overwrite(name(to.0), to.1.into(), &bytes[start..end]);
            }
            Self::Truncate { file, len } => change(name(*file), &|bytes| bytes.truncate((*len).into())),
            Self::Extend { file, bytes: more } => {
                change(name(*file), &|bytes| bytes.resize(bytes.len() + usize::from(*more), 0x5a));
            }
            Self::Remove { file } => _ = storage.remove(name(*file)),
            Self::Rename { from, to } => _ = storage.rename(name(*from), name(*to)),
            Self::Create { name, bytes } => {
                let known =
                    ["MANIFEST", "MANIFEST.tmp", "LOCK", "0000001-1.segment", "0000002-0.segment", "x"];
                replace(storage, known[usize::from(*name) % known.len()], bytes);
            }
        }
    }
}

/// Makes the changes, and meets what is there then.
pub fn run(input: Input) {
    let whole = &stores::all()[usize::from(input.store) % stores::all().len()];
    let storage = whole.storage.copy();
    for edit in input.edits.iter().take(50) {
        edit.make(&storage, whole);
    }
    if input.seal {
        whole.seals.renew(&storage);
    }
    meet(&storage, &input, whole);
}

/// What is done with a damaged store, beside reading it.
#[derive(Arbitrary, Debug, PartialEq)]
enum Tool {
    Nothing,
    Salvage,
    Verify,
    Backup,
    Measure,
    GoOn { compact: bool },
}

fn open(storage: &MemoryStorage, read_only: bool) -> Result<Store, Error> {
    let options = stores::options(Compression::Lz4).create(false).read_only(read_only);
    options.open_storage(Arc::new(storage.clone()))
}

fn meet(storage: &MemoryStorage, input: &Input, whole: &Whole) {
    if input.tool == Tool::Salvage {
        let (from, to) = (Arc::new(storage.copy()), MemoryStorage::new());
        if Store::salvage(
            Location::storage(from, "<old>"),
            Location::storage(Arc::new(to.clone()), Path::new("new")),
        )
        .is_ok()
        {
            let new = open(&to, true).expect("what was salvaged is a store");
            assert!(new.verify().expect("memory can be read").is_clean());
            read(&new, whole, input);
        }
    }
    let Ok(store) = open(storage, input.read_only) else { return };
    match input.tool {
        Tool::Nothing | Tool::Salvage => _ = read(&store, whole, input),
        Tool::Measure => _ = (store.usage(), store.stats()),
        Tool::Verify => {
            // Every item decodes, every key is in its place: then nothing can fail any more.
            let verified =
                store.verify_with(VerifyOptions::new().states::<World>()).expect("memory can be read");
            if verified.is_clean() && verified.other_types == 0 {
                for checkpoint in store.checkpoints() {
                    let world = store.restore::<World>(checkpoint.expect("a commit").id);
                    let read = world.and_then(|world| world.read());
                    read.unwrap_or_else(|error| panic!("verify found nothing wrong, but {error}"));
                }
            }
        }
        Tool::Backup => {
            let to = MemoryStorage::new();
            if store.backup(Location::storage(Arc::new(to.clone()), Path::new("copy"))).is_ok() {
                read(&open(&to, true).expect("a backup that was made is a store"), whole, input);
            }
        }
        Tool::GoOn { compact } => {
            if let Some(world) = read(&store, whole, input) {
                go_on(storage, store, world, compact, input.seal);
            }
        }
    }
}

/// Writes checkpoints on top of what was found. By accident only damaged, the store then holds them.
fn go_on(storage: &MemoryStorage, store: Store, mut world: World, compact: bool, sealed: bool) {
    let mut made = Vec::new();
    for _ in 0..2 {
        world.step();
        made.extend(store.checkpoint(&world).ok().map(|checkpoint| (checkpoint.id, world.clone())));
    }
    if compact {
        let _ = store.retain(&keep_last(2));
        let _ = store.compact();
    }
    drop((world, store));
    // Not for reading only: that looks at segments which nothing that was written here needs.
    let store = match open(storage, false) {
        Ok(store) => store,
        Err(_) if sealed || made.is_empty() => return,
        Err(error) => panic!("what could be written does not open: {error}"),
    };
    for (id, world) in made {
        let found = store.restore::<World>(id).and_then(|found| found.read().map(|_| found));
        assert!(sealed || found.is_ok_and(|found| found == world), "checkpoint {id} that was written");
    }
}

/// Reads some checkpoints; what was damaged by accident only is what it was. The newest that could be read.
fn read(store: &Store, whole: &Whole, input: &Input) -> Option<World> {
    let mut newest = None;
    for checkpoint in store.checkpoints().step_by(1 + usize::from(input.step % 4)).take(3) {
        let Ok(checkpoint) = checkpoint else { break };
        let Ok(world) = store.restore::<World>(checkpoint.id) else { continue };
        if world.read().is_err() {
            continue;
        }
        let expected = whole.states.iter().find(|(id, _)| *id == checkpoint.id);
        let same = expected.is_some_and(|(_, state)| *state == world);
        assert!(input.seal || same, "checkpoint {}", checkpoint.id);
        newest = newest.or(Some(world));
    }
    newest
}
