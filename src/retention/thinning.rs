//! A policy that is applied after each new version, without looking at all the others.
//!
//! A version can only stop being kept when it is no longer the newest, or when it leaves the window of a rule: the last
//! so many, or what lies within a rule's reach. Each rule knows where its window begins, and that only moves forward. So a
//! new version costs **O(rules)** and, for each one that leaves a window, once, O(rules · log versions).

use std::collections::BTreeMap;

use super::clock::Clock;
use super::{Mark, Retention, Rule, Version};

/// So many versions are dropped with one new version; the rest with those after it.
const MAX_DROPPED: usize = 1 << 16;

/// The versions that a policy keeps of a list that grows.
#[derive(Debug)]
pub(crate) struct Thinning {
    rules: Vec<Rule>,
    windows: Vec<Window>,
    /// By id.
    entries: BTreeMap<u64, Entry>,
    /// The versions that are no longer kept and were not dropped yet.
    owed: Vec<u64>,
}

#[derive(Debug)]
struct Entry {
    version: Version,
    /// See [`Version::counts`].
    counts: bool,
    /// One for each rule that looks at times.
    marks: Box<[Mark]>,
}

/// The newest versions that a rule keeps: those from the id `from` on, as far as the rule chooses them.
#[derive(Clone, Debug)]
struct Window {
    from: u64,
    /// Of [`Rule::Last`]: how many versions that count are in it.
    counted: u64,
    /// Of a rule that looks at times, with the place of its mark in an entry.
    timed: Option<(usize, Clock)>,
}

/// The effect of a new version.
#[derive(Debug)]
pub(crate) struct Next {
    id: u64,
    entry: Entry,
    windows: Vec<Window>,
    /// True if the newest version so far still counts.
    newest_counts: bool,
    /// The versions that are dropped with it, ascending.
    pub dropped: Vec<u64>,
    owed: Vec<u64>,
}

impl Thinning {
    /// Starts without versions.
    pub(crate) fn new(policy: &Retention) -> Self {
        Self { rules: policy.rules.clone(), windows: Vec::new(), entries: BTreeMap::new(), owed: Vec::new() }
    }

    /// Looks at what a version does whose id is higher than those before it. Nothing is changed yet.
    pub(crate) fn next(&self, id: u64, version: Version) -> Next {
        let newest = self.entries.last_key_value();
        let mut newest_counts = newest.is_some_and(|(_, newest)| newest.counts);
        let before = newest.map(|(_, newest)| (&newest.version, &mut newest_counts));
        let counts = Version::counts(before, &version);
        let mut windows = match newest {
            Some(_) => self.windows.clone(),
            None => self.first_windows(&version),
        };
        let mut marks = Vec::new();
        for (rule, window) in self.rules.iter().zip(&mut windows) {
            let Some((slot, clock)) = &mut window.timed else { continue };
            marks.push(match newest {
                Some((_, newest)) => newest.marks[*slot].next(rule, clock, &newest.version, &version),
                None => Mark::first(rule, &version),
            });
        }
        let entry = Entry { version, counts, marks: marks.into() };
        let mut next =
            Next { id, entry, windows: Vec::new(), newest_counts, dropped: Vec::new(), owed: Vec::new() };
        let mut left = self.owed.clone();
        left.extend(newest.map(|(&id, _)| id));
        for (rule, window) in self.rules.iter().zip(&mut windows) {
            self.move_window(rule, window, &next, &mut left);
        }
        next.windows = windows;
        left.sort_unstable();
        left.dedup();
        left.retain(|id| self.entries.get(id).is_some_and(|entry| !self.is_kept(*id, entry, &next)));
        next.owed = left.split_off(left.len().min(MAX_DROPPED));
        next.dropped = left;
        next
    }

    /// Takes the version, and drops what it made go.
    pub(crate) fn apply(&mut self, next: Next) {
        if let Some(mut newest) = self.entries.last_entry() {
            newest.get_mut().counts = next.newest_counts;
        }
        self.entries.insert(next.id, next.entry);
        self.windows = next.windows;
        self.owed = next.owed;
        next.dropped.iter().for_each(|id| drop(self.entries.remove(id)));
    }

    /// Forgets versions that were dropped for another reason.
    pub(crate) fn forget(&mut self, is_kept: impl Fn(u64) -> bool) {
        let entries = std::mem::take(&mut self.entries);
        self.owed.clear();
        let mut owed = Vec::new();
        for (id, entry) in entries.into_iter().filter(|(id, _)| is_kept(*id)) {
            let mut next = self.next(id, entry.version);
            owed.append(&mut next.dropped);
            owed.append(&mut next.owed);
            self.apply(next);
        }
        self.owed = owed;
    }

    fn first_windows(&self, first: &Version) -> Vec<Window> {
        let mut timed = 0..;
        let window = |rule: &Rule| {
            let timed = rule.clock(first).map(|clock| (timed.next().unwrap_or(0), clock));
            Window { from: 0, counted: 0, timed }
        };
        self.rules.iter().map(window).collect()
    }

    /// Moves the beginning of a window forward, and adds what leaves it to `left`.
    fn move_window(&self, rule: &Rule, window: &mut Window, next: &Next, left: &mut Vec<u64>) {
        let newest = self.entries.last_key_value().map(|(&id, _)| id);
        match (rule, &window.timed) {
            (Rule::Last(count), _) => {
                let replaced = newest.is_some_and(|id| self.entries[&id].counts && id >= window.from)
                    && !next.newest_counts;
                window.counted = window.counted + u64::from(next.entry.counts) - u64::from(replaced);
                let mut entries = self.entries.range(window.from..);
                while window.counted > *count {
                    let Some((&id, entry)) = entries.next() else {
                        (window.from, window.counted) = (next.id + 1, 0);
                        break;
                    };
                    let counts = if Some(id) == newest { next.newest_counts } else { entry.counts };
                    window.counted -= u64::from(counts);
                    window.from = id + 1;
                    left.push(id);
                }
            }
            (_, Some((slot, clock))) => {
                let since = clock.now() - rule.reach().map_or(0, |(reach, _)| reach);
                let is_out = |entry: &Entry| entry.marks[*slot].since < since;
                for (&id, _) in self.entries.range(window.from..).take_while(|(_, entry)| is_out(entry)) {
                    window.from = id + 1;
                    left.push(id);
                }
            }
            _ => {}
        }
    }

    /// Returns whether a rule keeps an entry once the version of `next` is there.
    fn is_kept(&self, id: u64, entry: &Entry, next: &Next) -> bool {
        let is_newest = self.entries.last_key_value().is_some_and(|(&newest, _)| newest == id);
        let counts = if is_newest { next.newest_counts } else { entry.counts };
        self.rules.iter().zip(&next.windows).any(|(rule, window)| {
            let is_chosen = match (rule, &window.timed) {
                (Rule::Last(_), _) => counts,
                (_, Some((slot, _))) => entry.marks[*slot].is_chosen,
                _ => return rule.keeps_for_ever(&entry.version),
            };
            is_chosen && id >= window.from
        })
    }
}

#[cfg(test)]
mod tests;
