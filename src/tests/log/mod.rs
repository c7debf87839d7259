//! The log against a model of it: what was committed is what is read, whatever happens to the disk.

mod basics;
mod crash;
mod faults;
mod inputs;
mod sharing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::log::commit::Root;
use crate::log::{Commit, Draft, Log};
use crate::node::MANY;
use crate::record::{Address, RecordHead, RecordKind, RecordReader, RecordWriter};
use crate::storage::{MemoryStorage, Storage, StorageFile};
use crate::store::{Durability, Options};

/// Small segments and blocks, so that few records reach every shape.
fn small() -> Options {
    Options::new().segment_bytes(8 << 10).block_bytes(512)
}

fn open<S: Storage + Clone + 'static>(storage: &S, options: &Options) -> Result<Log> {
    Log::open(Arc::new(storage.clone()), options, Path::new("store"))
}

/// A stream of numbers that look random.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % below
    }

    /// A payload: half of them compress well.
    fn payload(&mut self, len: u64) -> Vec<u8> {
        let fill = self.next(2) == 0;
        (0..len).map(|i| if fill { (i / 16) as u8 } else { self.next(256) as u8 }).collect()
    }
}

/// How a record of this kind begins that refers to so many nodes, no base counted: `verify` reads this much.
fn beginning(head: RecordHead, nodes: usize) -> Vec<u8> {
    let slots = (1u8 << nodes) - 1;
    match head {
        RecordHead { kind: RecordKind::Branch, delta: true } => vec![MANY, slots],
        RecordHead { kind: RecordKind::Branch, delta: false } => vec![1, slots | 1, u8::from(nodes == 0)],
        _ => Vec::new(),
    }
}

/// One record that was appended.
#[derive(Clone, PartialEq, Debug)]
struct Written {
    address: Address,
    head: RecordHead,
    refs: Vec<Address>,
    payload: Vec<u8>,
}

/// What was committed, by commit id.
#[derive(Clone, Default)]
struct Model {
    commits: BTreeMap<u64, (Commit, Vec<Written>)>,
    pending: Vec<Written>,
    /// A shape, then nodes.
    recent: Vec<Address>,
    kinds: BTreeMap<Address, RecordKind>,
    /// The newest commit that was acknowledged as durable.
    durable: u64,
    /// Every id that a commit ever got, whatever became of it.
    used: BTreeSet<u64>,
}

impl Model {
    /// Appends `count` records of random kinds that refer to earlier ones.
    fn append(&mut self, log: &Log, noise: &mut Noise, count: u64, max_bytes: u64) -> Result<()> {
        for _ in 0..count {
            let kind = match noise.next(8) {
                _ if self.recent.is_empty() => RecordKind::Schema,
                0 => RecordKind::Schema,
                1..4 => RecordKind::Branch,
                _ => RecordKind::Leaf,
            };
            // The first record stands for the shape of the state, others refer to nodes, a delta to one of its kind.
            let nodes = self.recent.get(1..).unwrap_or_default();
            let wanted = if kind == RecordKind::Schema { 0 } else { noise.next(4).min(nodes.len() as u64) };
            let mut refs: Vec<_> =
                (0..wanted).map(|_| nodes[noise.next(nodes.len() as u64) as usize]).collect();
            let base = nodes.iter().rev().find(|node| self.kinds.get(node) == Some(&kind));
            let delta = !refs.is_empty() && noise.next(2) == 0 && base.is_some();
            if let Some(&base) = base.filter(|_| delta) {
                refs[0] = base;
            }
            let head = RecordHead { kind, delta };
            let len = noise.next(max_bytes + 1);
            let mut payload = beginning(head, refs.len() - usize::from(delta));
            payload.extend(noise.payload(len));
            let address = log.writer()?.append(head, &refs, &payload)?;
            assert!(refs.iter().all(|&to| to < address));
            assert!(self.recent.last().is_none_or(|&last| last < address));
            self.kinds.insert(address, kind);
            if kind != RecordKind::Schema || self.recent.is_empty() {
                self.recent.push(address);
            }
            self.pending.push(Written { address, head, refs, payload });
        }
        Ok(())
    }

    /// Commits what was appended, or tries to.
    fn commit(&mut self, log: &Log, durability: Durability) -> Result<Arc<Commit>> {
        let last = log.latest();
        let shape = self.recent.first().copied();
        let roots = shape.map(|shape| Root {
            name: "state".into(),
            shape,
            refs: self.recent[1..].iter().rev().take(3).copied().collect(),
            payload: vec![7; 20],
        });
        let draft = Draft {
            parent: last.as_ref().map(|last| last.id),
            label: self.recent.len().is_multiple_of(2).then(|| format!("after {}", self.recent.len())),
            roots: roots.into_iter().collect(),
            ..Draft::default()
        };
        let expected = draft.clone();
        let commit = log.writer()?.commit(draft, durability)?;
        assert_eq!(
            (&commit.parent, &commit.label, &commit.roots),
            (&expected.parent, &expected.label, &expected.roots)
        );
        assert_eq!(commit.size.records, self.pending.len() as u64);
        assert!(self.used.insert(commit.id), "the id {} was used before", commit.id);
        assert!(last.is_none_or(|last| last.id < commit.id));
        self.commits.insert(commit.id, ((*commit).clone(), std::mem::take(&mut self.pending)));
        if durability == Durability::Sync {
            self.durable = commit.id;
        }
        Ok(commit)
    }

    fn step(&mut self, log: &Log, noise: &mut Noise, count: u64, max_bytes: u64) -> Result<Arc<Commit>> {
        self.append(log, noise, count, max_bytes)?;
        self.commit(log, Durability::Sync)
    }

    fn newest(&self) -> u64 {
        self.commits.keys().next_back().copied().unwrap_or(0)
    }

    /// Forgets the commits after `id`.
    fn cut(&mut self, id: u64) {
        self.commits.retain(|&commit, _| commit <= id);
        self.pending.clear();
        let records = self.commits.values().flat_map(|(_, records)| records);
        let (first, nodes) = (records.clone().next(), records.skip(1));
        let nodes = nodes.filter(|record| record.head.kind != RecordKind::Schema);
        self.recent = first.into_iter().chain(nodes).map(|record| record.address).collect();
    }

    /// Reads everything, or fails at the first error. Panics where the log holds something else than the model.
    fn try_check(&self, log: &Log) -> Result<()> {
        let mut expected = self.commits.values().rev();
        for commit in log.commits() {
            let (model, records) = expected.next().expect("the log has more commits than the model");
            let commit = commit?;
            assert_eq!(&commit, model);
            for written in records {
                let record = log.opening().read(written.address)?;
                assert_eq!(record.payload(), written.payload, "{}", written.address);
                assert_eq!((record.head, &record.refs), (written.head, &written.refs));
                assert_eq!(record.address, written.address);
            }
        }
        assert!(expected.next().is_none(), "the log has fewer commits than the model");
        Ok(())
    }

    fn check(&self, log: &Log) {
        self.try_check(log).unwrap();
        for id in 0..=self.newest() + 1 {
            match self.commits.get(&id) {
                Some((commit, _)) => assert_eq!(*log.find(id).unwrap(), *commit),
                None => assert!(log.find(id).is_err()),
            }
        }
    }
}

/// The name of the only segment that `commit` can lie in.
fn segment_of(commit: &Commit) -> String {
    format!("{:07}-0.segment", commit.address.segment())
}

fn file(storage: &MemoryStorage, name: &str) -> Arc<dyn StorageFile> {
    storage.open_writable(name).unwrap()
}

fn contents(storage: &MemoryStorage, name: &str) -> Vec<u8> {
    let file = file(storage, name);
    let len = file.len_bytes().unwrap();
    file.map(len).unwrap().bytes(0..len).unwrap().into_owned()
}
