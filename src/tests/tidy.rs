//! Keeps the source tree in order: what may name what, where `unsafe` may stand, how long a file may grow.
//!
//! Each rule looks at one file and returns its complaints; a last test plants offences and expects each to be found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The floors of the house, from the ground up: a room names rooms of the floors below its own. (`docs::design` says what each is.)
const FLOORS: &[&[&str]] = &[
    &["sync", "weaken"],
    &["error", "record"],
    &["random", "metrics"],
    &["schema"],
    &["codec"],
    &["node"],
    COLLECTIONS,
    &["state", "footprint", "retention"],
    &["value"],
    &["storage"],
    &["log"],
    &["store"],
    &["checkpointer"],
];

/// Rooms that name one above: a reading end says by which schema its records are read.
const KNOWN: &[(&str, &str)] = &[("record", "codec")];

const COLLECTIONS: &[&str] = &["hash_map", "hash_set", "ord_map", "ord_set", "vector"];

/// Rooms below that a room does not name all the same.
const APART: &[(&str, &[&[&str]])] = &[
    ("state", &[&["codec", "schema"]]),
    ("log", &[&["codec", "schema", "state", "footprint"], COLLECTIONS]),
    ("store", &[&["state", "footprint"], COLLECTIONS]),
];

/// Files whose atomics are counters in statics, through which nothing is published.
const COUNTERS: &[&str] = &["record/address.rs", "node/disk/evict.rs", "random.rs"];

const MAX_LINES: usize = 600;

/// Spelled so that this file does not find itself.
const FORBIDDEN: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
    concat!("#[ig", "nore"),
];

/// A file: its path below `src/` (with `/`), its text.
struct File {
    path: String,
    text: String,
}

impl File {
    /// Where the file lives: the first part of its path.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_test(&self) -> bool {
        self.room() == "tests" || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The text before the module of unit tests.
    fn shipped(&self) -> &str {
        let end = self.text.find("\n#[cfg(test)]\nmod tests {").map_or(self.text.len(), |at| at + 1);
        &self.text[..end]
    }

    /// What is shipped, without comments.
    fn code(&self) -> String {
        self.shipped()
            .lines()
            .map(|line| line.split("//").next().unwrap_or(""))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// How many `super` lead from here to the root of the crate.
    fn depth(&self) -> usize {
        self.path.split('/').count() - usize::from(self.path.ends_with("/mod.rs"))
    }
}

/// Whether `text` holds `word` with no letter, digit or underscore on either side.
fn holds_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

fn identifier(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// The first names of `{a::B, c::{D, E}, F}`: a, c, F.
fn group(text: &str) -> Vec<&str> {
    let (mut names, mut depth) = (Vec::new(), 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => (),
        }
        if depth == 1 && matches!(c, '{' | ',') {
            names.push(identifier(&text[at + 1..]));
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// The names that follow `crate::` anywhere in the code.
fn named_from_root(code: &str) -> BTreeSet<&str> {
    code.match_indices("crate::")
        .flat_map(|(at, root)| {
            let rest = code[at + root.len()..].trim_start();
            if rest.starts_with('{') { group(rest) } else { vec![identifier(rest)] }
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// What `lib.rs` re-exports: name -> the room it comes from. `crate::State` names `state`.
fn re_exports(lib: &str) -> BTreeMap<&str, &str> {
    let mut rooms = BTreeMap::new();
    for (at, word) in lib.match_indices("pub use ") {
        let path = &lib[at + word.len()..];
        let path = path[..path.find(';').unwrap_or(path.len())].trim_start_matches("crate::");
        let (room, rest) = path.split_once("::").unwrap_or((path, path));
        let is_name = |c: char| !c.is_alphanumeric() && c != '_';
        rooms.extend(rest.split(is_name).filter(|name| !name.is_empty()).map(|name| (name, room)));
    }
    rooms
}

fn check_floors(file: &File, re_exports: &BTreeMap<&str, &str>) -> Vec<String> {
    if file.is_test() || matches!(file.room(), "lib" | "bin" | "docs") {
        return Vec::new();
    }
    let code = file.code();
    let named: BTreeSet<_> =
        named_from_root(&code).into_iter().map(|name| *re_exports.get(name).unwrap_or(&name)).collect();
    let mut complaints = Vec::new();
    let room = file.room();
    let floor_of = |room: &str| FLOORS.iter().position(|floor| floor.contains(&room));
    if let Some(floor) = floor_of(room) {
        let is_above = |other: &&&str| **other != room && floor_of(other).is_some_and(|other| other > floor);
        let above = named.iter().filter(is_above);
        let is_listed = |above: &&&str| KNOWN.contains(&(room, **above));
        complaints.extend(
            above
                .filter(|above| !is_listed(above))
                .map(|above| format!("{room} may not name crate::{above}")),
        );
    }
    for (_, apart) in APART.iter().filter(|(apart, _)| *apart == room) {
        let apart = apart.iter().copied().flatten().filter(|other| named.contains(*other));
        complaints.extend(apart.map(|apart| format!("{room} may not name crate::{apart}")));
    }
    let knows = |side: &str| file.room() == side || named.contains(side);
    if file.room() != "checkpointer" && knows("state") && knows("store") {
        complaints.push("only the checkpointer names both state and store".into());
    }
    if code.contains(&"super::".repeat(file.depth())) {
        complaints.push("reaches the root of the crate by `super`: write `crate::`".into());
    }
    complaints
}

fn check_primitives(file: &File) -> Vec<String> {
    if file.path == "sync.rs" || file.is_test() {
        return Vec::new();
    }
    let code = file.code();
    let mut complaints: Vec<String> = ["arc_swap", "parking_lot"]
        .into_iter()
        .filter(|name| holds_word(&code, name))
        .map(|name| format!("names {name}: only sync.rs does"))
        .collect();
    let names_atomics = ["std", "core"].iter().any(|krate| code.contains(&format!("{krate}::sync::atomic")));
    if names_atomics && !COUNTERS.contains(&file.path.as_str()) {
        complaints.push("names std's atomics: take them from crate::sync, or be listed in COUNTERS".into());
    }
    complaints
}

fn check_unsafe(file: &File) -> Vec<String> {
    let may = file.path.starts_with("node/") || file.path == "storage/file.rs" || file.is_test();
    let offends = !may && holds_word(&file.code(), "unsafe");
    offends.then(|| "holds `unsafe`: that belongs to node/ and storage/file.rs".into()).into_iter().collect()
}

fn check_length(file: &File) -> Vec<String> {
    let lines = file.shipped().lines().count();
    let offends = lines > MAX_LINES && !file.is_test();
    offends
        .then(|| format!("has {lines} lines without tests, {MAX_LINES} are allowed: split it"))
        .into_iter()
        .collect()
}

fn check_header(file: &File) -> Vec<String> {
    let offends = !file.text.starts_with("//! ");
    offends.then(|| "does not begin with a `//!` line that says what it is".into()).into_iter().collect()
}

fn check_words(file: &File) -> Vec<String> {
    let words =
        FORBIDDEN.iter().filter(|word| file.text.contains(**word)).map(|word| format!("holds {word}"));
    let spaces = file.text.lines().zip(1..).filter(|(line, _)| line.ends_with([' ', '\t', '\r']));
    words.chain(spaces.map(|(_, number)| format!("has trailing space in line {number}"))).collect()
}

/// All Rust files below a directory of the repository, none where it is missing (as in a published package).
fn files(directory: &str) -> Vec<File> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<File>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                walk(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root).unwrap();
                let parts: Vec<_> = below.iter().map(|part| part.to_str().unwrap()).collect();
                found.push(File { path: parts.join("/"), text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut found = Vec::new();
    if root.is_dir() {
        walk(&root, &root, &mut found);
    }
    found
}

fn expect_order<'a>(
    directory: &str,
    files: impl IntoIterator<Item = &'a File>,
    rule: impl Fn(&File) -> Vec<String>,
) {
    let complaints: Vec<_> = files
        .into_iter()
        .flat_map(|file| {
            let path = format!("{directory}/{}", file.path);
            rule(file).into_iter().map(move |complaint| format!("{path}: {complaint}"))
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn rooms_name_only_rooms_of_the_floors_below() {
    let files = files("src");
    let lib = files.iter().find(|file| file.path == "lib.rs").unwrap().code();
    let re_exports = re_exports(&lib);
    assert_eq!(re_exports.get("State"), Some(&"state"), "lib.rs is not understood");
    expect_order("src", &files, |file| check_floors(file, &re_exports));
}

#[test]
fn only_sync_names_the_primitives() {
    expect_order("src", &files("src"), check_primitives);
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    expect_order("src", &files("src"), check_unsafe);
}

#[test]
fn no_file_is_too_long() {
    expect_order("src", &files("src"), check_length);
}

#[test]
fn every_file_says_what_it_is() {
    expect_order("src", &files("src"), check_header);
}

#[test]
fn no_forbidden_word_and_no_trailing_space() {
    for directory in ["src", "benches", "examples", "loom-tests", "fuzz"] {
        expect_order(directory, &files(directory), check_words);
    }
}

#[test]
fn every_rule_finds_a_planted_offence() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let re_exports = re_exports("pub use error::Error;\npub use state::{History, Snapshot, State};\n");
    let arrows = |path: &str, text: &str| check_floors(&file(path, text), &re_exports);

    assert_eq!(
        arrows("hash_map/iter.rs", "use crate::store::Store;"),
        ["hash_map may not name crate::store"]
    );
    assert_eq!(arrows("vector/mod.rs", "use crate::{\n  node::{self, State},\n  storage,\n};").len(), 1);
    assert_eq!(arrows("node/link.rs", "fn f(_: crate::State<u8>) {}"), ["node may not name crate::state"]);
    assert_eq!(arrows("storage/sim.rs", "use crate::store;").len(), 1);
    assert_eq!(
        arrows("internals.rs", "use crate::{state, store};"),
        ["only the checkpointer names both state and store"]
    );
    assert_eq!(arrows("state/cell.rs", "use super::super::store;").len(), 1);
    assert!(arrows("state/cell.rs", "use super::snapshot; // crate::store\nuse crate::sync;").is_empty());
    assert!(arrows("checkpointer/mod.rs", "use crate::{State, store::Store};").is_empty());
    assert!(
        arrows("node/link.rs", "use crate::sync;\n#[cfg(test)]\nmod tests { use crate::state; }").is_empty()
    );

    assert_eq!(check_primitives(&file("state/cell.rs", "use parking_lot::Mutex;")).len(), 1);
    assert_eq!(check_primitives(&file("state/cell.rs", "use std::sync::atomic::AtomicU8;")).len(), 1);
    assert!(check_primitives(&file("sync.rs", "use parking_lot::Mutex;")).is_empty());

    assert_eq!(check_unsafe(&file("codec/mod.rs", "fn f() { unsafe { g() } }")).len(), 1);
    assert!(check_unsafe(&file("vector/mod.rs", "#![deny(unsafe_code)] // no unsafe")).is_empty());
    assert!(check_unsafe(&file("node/link.rs", "unsafe fn f() {}")).is_empty());

    assert_eq!(check_length(&file("a.rs", &"\n".repeat(MAX_LINES + 1))).len(), 1);
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}", "\n".repeat(MAX_LINES), "\n".repeat(MAX_LINES));
    assert!(check_length(&file("a.rs", &tested)).is_empty());

    assert_eq!(check_header(&file("a.rs", "use std::fmt;")).len(), 1);
    assert_eq!(check_words(&file("a.rs", FORBIDDEN[0])).len(), 1);
    assert_eq!(check_words(&file("a.rs", "a \nb\t\nc")).len(), 2);
}
