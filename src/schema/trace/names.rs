//! Which of the names that serde lists mean one field, or one variant.

use crate::random::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

use super::super::shape::Label;
use super::stop::Stop;

/// Tells what an identifier was turned into.
pub(super) type Mark = u64;

/// Returns the mark of a value that an identifier was turned into; `None` where it tells nothing. Derived code has an
/// enum of a byte for identifiers; a hand-written one may have a string, whose discriminant is always the same.
pub(super) fn mark<V>(value: &V) -> Option<Mark> {
    // A number that stands for a name has no discriminant.
    let is_number = ["u8", "u16", "i8", "i16", "bool"].contains(&std::any::type_name::<V>());
    if size_of::<V>() > 2 || is_number {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    std::mem::discriminant(value).hash(&mut hasher);
    Some(hasher.finish())
}

/// Takes a value from the front of a sample.
pub(super) fn take<'de, T: Deserialize<'de>>(sample: &mut &'de [u8]) -> Result<T, Stop> {
    let (value, rest) = postcard::take_from_bytes(sample).map_err(|_| Stop::Rejected)?;
    *sample = rest;
    Ok(value)
}

/// The names of a struct's fields, or of an enum's variants.
#[derive(Clone, Default, Debug)]
pub(super) struct Names {
    names: &'static [&'static str],
    /// Mark of the value that each name was turned into.
    marks: Vec<Option<Mark>>,
    /// Names that were offered, at least once.
    seen: Vec<bool>,
    /// Of each name, the first one that means the same.
    leader: Vec<usize>,
    /// Of a leader, the first name of the field.
    first: HashMap<usize, &'static str>,
    /// Marks of the values that numbers of variants were turned into.
    numbers: HashMap<usize, Mark>,
    state: Asked,
    /// Visits in which names were offered.
    visits: usize,
    /// Counts what was learned.
    pub(super) learned: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Asked {
    /// Each name means a field of its own, as far as is known.
    #[default]
    Not,
    Open,
    Closed,
}

impl Names {
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            marks: vec![None; names.len()],
            seen: vec![false; names.len()],
            leader: (0..names.len()).collect(),
            ..Self::default()
        }
    }

    pub(super) fn all(&self) -> &'static [&'static str] {
        self.names
    }

    /// Begins to look into them.
    pub(super) fn ask(&mut self) {
        if self.state == Asked::Not {
            self.state = Asked::Open;
            self.learned += 1;
        }
    }

    /// Notes that every name was offered.
    pub(super) fn close(&mut self) {
        self.state = Asked::Closed;
        self.learned += 1;
    }

    /// Counts a visit in which names are offered: hand-written code may never take them all.
    pub(super) fn begin_visit(&mut self) {
        self.visits += 1;
        if self.are_open() && self.visits > 16 + 8 * self.names.len() {
            self.close();
        }
    }

    /// Returns whether they are, or were, looked into.
    pub(super) fn are_asked(&self) -> bool {
        self.state != Asked::Not
    }

    /// Returns whether there are names still to be offered.
    pub(super) fn are_open(&self) -> bool {
        self.state == Asked::Open
    }

    /// The names that are no aliases of earlier ones.
    pub(super) fn leaders(&self) -> Vec<usize> {
        (0..self.names.len()).filter(|&name| self.leader[name] == name).collect()
    }

    pub(super) fn is_alias(&self, name: usize) -> bool {
        self.leader[name] != name
    }

    /// Notes what a field's name was turned into; whether it thereby is an alias of an earlier one.
    pub(super) fn note(&mut self, name: usize, mark: Option<Mark>) -> bool {
        self.learned += u32::from(self.marks[name] != mark);
        self.marks[name] = mark;
        let earlier = (0..name).find(|&other| mark.is_some() && self.marks[other] == mark);
        let leader = earlier.map_or(name, |other| self.leader[other]);
        let is_news = leader != self.leader[name];
        self.leader[name] = leader;
        is_news
    }

    /// Notes that serde called a field by this name of all.
    pub(super) fn note_first(&mut self, name: &'static str) {
        if let Some(at) = self.names.iter().position(|other| *other == name) {
            let known = self.first.insert(self.leader[at], name);
            self.learned += u32::from(known.is_none());
        }
    }

    /// The next name of an enum that is to be offered.
    pub(super) fn next_open(&mut self) -> Option<usize> {
        let next = (0..self.names.len()).find(|&name| self.are_open() && !self.seen[name]);
        if next.is_none() && self.are_open() {
            self.close();
        }
        next
    }

    /// Notes what a variant's name was turned into.
    pub(super) fn note_name(&mut self, name: usize, mark: Option<Mark>) {
        self.seen[name] = true;
        self.marks[name] = mark;
    }

    /// Returns whether a smaller number means the same variant: that of `#[serde(other)]`, which any number means that is
    /// none.
    pub(super) fn is_other(&self, number: usize, mark: Option<Mark>) -> bool {
        self.numbers.iter().any(|(&known, &of)| known < number && Some(of) == mark)
    }

    /// Notes what a variant's number was turned into.
    pub(super) fn note_number(&mut self, number: usize, mark: Option<Mark>) {
        self.numbers.extend(mark.map(|mark| (number, mark)));
    }

    /// The names of each field, and which of the names leads them.
    pub(super) fn fields(&self) -> Vec<(usize, Label)> {
        let label = |leader: usize| {
            let group = (0..self.names.len()).filter(|&name| self.leader[name] == leader);
            self.label(group.collect(), self.first.get(&leader).copied())
        };
        self.leaders().into_iter().map(|leader| (leader, label(leader))).collect()
    }

    /// The names of a variant.
    pub(super) fn variant(&self, number: usize) -> Label {
        let group: Vec<usize> = match self.numbers.get(&number).filter(|_| self.are_asked()) {
            Some(mark) => (0..self.names.len()).filter(|&name| self.marks[name] == Some(*mark)).collect(),
            None => Vec::new(),
        };
        let group = if group.is_empty() { vec![number] } else { group };
        self.label(group, None)
    }

    fn label(&self, group: Vec<usize>, first: Option<&str>) -> Label {
        let mut names: Vec<&str> = group.into_iter().map(|name| self.names[name]).collect();
        let at = first.and_then(|first| names.iter().position(|name| *name == first));
        let is_guess = names.len() > 1 && at.is_none();
        let name = names.remove(at.unwrap_or(0)).to_owned();
        Label { name, aliases: names.into_iter().map(str::to_owned).collect(), is_guess }
    }
}
