//! Disks that fail: one refuses a call, one loses power.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::Noise;
use crate::storage::{Lock, MemoryStorage, Region, Storage, StorageFile};

/// How the chosen call fails.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// Nothing is done.
    Refuse,
    /// Half of a write is done, nothing of anything else.
    Half,
    /// Everything is done, and an error reported.
    DoneButFailed,
}

struct Trap {
    calls: AtomicU64,
    fail_at: u64,
    fault: Fault,
    failed: AtomicBool,
}

impl Trap {
    fn pass(&self, call: impl FnOnce(bool) -> io::Result<()>) -> io::Result<()> {
        if self.calls.fetch_add(1, Ordering::Relaxed) != self.fail_at {
            return call(true);
        }
        self.failed.store(true, Ordering::Relaxed);
        match self.fault {
            Fault::Refuse => {}
            Fault::Half => call(false)?,
            Fault::DoneButFailed => call(true)?,
        }
        Err(io::Error::other("planted"))
    }
}

/// A storage whose call number so and so fails.
pub struct FaultyStorage {
    disk: MemoryStorage,
    trap: Arc<Trap>,
}

impl FaultyStorage {
    pub fn new(disk: MemoryStorage, fail_at: u64, fault: Fault) -> Self {
        let trap = Trap { calls: AtomicU64::new(0), fail_at, fault, failed: AtomicBool::new(false) };
        Self { disk, trap: Arc::new(trap) }
    }

    pub fn failed(&self) -> bool {
        self.trap.failed.load(Ordering::Relaxed)
    }

    fn wrap(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(FaultyFile { file, trap: Arc::clone(&self.trap) })
    }
}

impl Storage for FaultyStorage {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let mut created = Err(io::ErrorKind::Other.into());
        self.trap.pass(|_| {
            created = self.disk.create(name, len_bytes);
            created.as_ref().map(|_| ()).map_err(|e| e.kind().into())
        })?;
        created.map(|file| self.wrap(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.open(name).map(|file| self.wrap(file))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.open_writable(name).map(|file| self.wrap(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.trap.pass(|whole| if whole { self.disk.rename(from, to) } else { Ok(()) })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.trap.pass(|whole| if whole { self.disk.remove(name) } else { Ok(()) })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.trap.pass(|_| self.disk.sync_dir())
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        self.disk.lock(name)
    }
}

struct FaultyFile {
    file: Arc<dyn StorageFile>,
    trap: Arc<Trap>,
}

impl StorageFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.trap.pass(|whole| {
            let len = if whole { bytes.len() } else { bytes.len() / 2 };
            self.file.write_all_at(&bytes[..len], offset)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.trap.pass(|_| self.file.sync_data())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>> {
        self.file.map(len_bytes)
    }
}

/// A disk that loses power after so and so many calls. Until a file is synced its writes are pending, by sectors;
/// until the directory is synced so are names. What was pending lands, vanishes or turns to garbage.
pub struct PowerStorage {
    /// What a running process sees.
    seen: MemoryStorage,
    power: Arc<Power>,
}

struct Power {
    calls_left: AtomicU64,
    state: Mutex<PowerState>,
}

#[derive(Default)]
struct PowerState {
    next_file: u64,
    /// The durable contents of every file that ever was.
    files: BTreeMap<u64, Vec<u8>>,
    /// Writes that no sync followed yet: file, offset, bytes (none: a change of length).
    pending: Vec<(u64, u64, Vec<u8>)>,
    /// The durable names, and those a running process sees.
    durable_names: BTreeMap<String, u64>,
    names: BTreeMap<String, u64>,
    /// Changes of names that no sync of the directory followed yet: what goes, what comes.
    name_changes: Vec<NameChange>,
}

#[derive(Clone)]
struct NameChange {
    goes: Option<String>,
    comes: Option<(String, u64)>,
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        if let Some(name) = self.goes {
            names.remove(&name);
        }
        names.extend(self.comes);
    }
}

impl Power {
    fn pass<T>(&self, call: impl FnOnce(&mut PowerState) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock().unwrap();
        let left = self.calls_left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other("no power"));
        }
        self.calls_left.store(left - 1, Ordering::Relaxed);
        call(&mut state)
    }
}

impl PowerStorage {
    /// Starts from a disk on which everything is durable.
    pub fn new(disk: MemoryStorage, calls: u64) -> Self {
        let mut state = PowerState::default();
        for name in disk.list().unwrap() {
            state.files.insert(state.next_file, super::contents(&disk, &name));
            state.names.insert(name, state.next_file);
            state.next_file += 1;
        }
        state.durable_names = state.names.clone();
        let power = Power { calls_left: AtomicU64::new(calls), state: Mutex::new(state) };
        Self { seen: disk, power: Arc::new(power) }
    }

    /// Loses power after so and so many calls more.
    pub fn lose_power_after(&self, calls: u64) {
        self.power.calls_left.store(calls, Ordering::Relaxed);
    }

    pub fn is_off(&self) -> bool {
        self.power.calls_left.load(Ordering::Relaxed) == 0
    }

    /// What is there once power is back.
    pub fn after_the_cut(&self, noise: &mut Noise) -> MemoryStorage {
        let state = self.power.state.lock().unwrap();
        let mut files = state.files.clone();
        for (file, offset, bytes) in &state.pending {
            let contents = files.get_mut(file).unwrap();
            let mut at = 0;
            while at < bytes.len() {
                let end = (at + 512 - (*offset as usize + at) % 512).min(bytes.len());
                let (start, stop) = (*offset as usize + at, *offset as usize + end);
                let fate = noise.next(8);
                if fate < 7 && contents.len() < stop {
                    contents.resize(stop, 0);
                }
                match fate {
                    0..4 => contents[start..stop].copy_from_slice(&bytes[at..end]),
                    4 => contents[start..stop].iter_mut().for_each(|byte| *byte = noise.next(256) as u8),
                    _ => {}
                }
                at = end;
            }
        }
        // Each change of a name lands or not, whatever the ones before it did.
        let mut names = state.durable_names.clone();
        state
            .name_changes
            .iter()
            .filter(|_| noise.next(2) == 0)
            .for_each(|change| change.clone().apply(&mut names));
        let disk = MemoryStorage::new();
        for (name, file) in names {
            disk.create(&name, 0).unwrap().write_all_at(&files[&file], 0).unwrap();
        }
        disk
    }

    fn change_names(&self, goes: Option<&str>, comes: Option<(&str, u64)>) {
        let mut state = self.power.state.lock().unwrap();
        let comes = comes.map(|(name, number)| (name.to_owned(), number));
        let change = NameChange { goes: goes.map(str::to_owned), comes };
        change.clone().apply(&mut state.names);
        state.name_changes.push(change);
    }

    fn wrap(&self, name: &str, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let number = self.power.state.lock().unwrap().names[name];
        Arc::new(PowerFile { file, number, power: Arc::clone(&self.power) })
    }
}

impl Storage for PowerStorage {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        self.power.pass(|_| Ok(()))?;
        let file = self.seen.create(name, len_bytes)?;
        let number = {
            let mut state = self.power.state.lock().unwrap();
            let number = state.next_file;
            state.next_file += 1;
            state.files.insert(number, Vec::new());
            // The length is pending like a write of zeros.
            state.pending.push((number, 0, vec![0; len_bytes as usize]));
            number
        };
        self.change_names(None, Some((name, number)));
        Ok(self.wrap(name, file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.seen.open(name).map(|file| self.wrap(name, file))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.seen.open_writable(name).map(|file| self.wrap(name, file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.seen.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.power.pass(|_| Ok(()))?;
        self.seen.rename(from, to)?;
        let number = self.power.state.lock().unwrap().names[from];
        self.change_names(Some(from), Some((to, number)));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.power.pass(|_| Ok(()))?;
        self.seen.remove(name)?;
        self.change_names(Some(name), None);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.power.pass(|state| {
            state.name_changes.clear();
            state.durable_names = state.names.clone();
            Ok(())
        })
    }

    /// Always free: whoever held it was killed.
    fn lock(&self, _name: &str) -> io::Result<Lock> {
        Ok(Lock::Held(Box::new(())))
    }
}

struct PowerFile {
    file: Arc<dyn StorageFile>,
    number: u64,
    power: Arc<Power>,
}

impl StorageFile for PowerFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let was_on = self.power.calls_left.load(Ordering::Relaxed) > 0;
        let passed = self.power.pass(|state| {
            state.pending.push((self.number, offset, bytes.to_vec()));
            Ok(())
        });
        if was_on && self.power.calls_left.load(Ordering::Relaxed) == 0 {
            // Power went in the middle of this call: it fails, and any part of it lands.
            return Err(io::Error::other("no power"));
        }
        passed?;
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.power.pass(|state| {
            let pending = std::mem::take(&mut state.pending);
            for (file, offset, bytes) in pending {
                if file != self.number {
                    state.pending.push((file, offset, bytes));
                    continue;
                }
                let contents = state.files.get_mut(&file).unwrap();
                let end = offset as usize + bytes.len();
                if contents.len() < end {
                    contents.resize(end, 0);
                }
                contents[offset as usize..end].copy_from_slice(&bytes);
            }
            Ok(())
        })
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>> {
        self.file.map(len_bytes)
    }
}
