//! The fields of structs and variants: in order, or by name where some cannot be made or have aliases.

use serde::de::{DeserializeOwned, Visitor};

use super::names::Names;
use super::stop::{Complaint, Stop, complaints_during};
use super::tracer::{Fields, Items};
use super::{Body, Path, State, trace};
use crate::schema::shape::{Origin, Type};

/// A field that a type has and its record has not: the type or enum and the number of the variant, and all its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Added {
    pub(in crate::schema) origin: Origin,
    pub(in crate::schema) variant: Option<usize>,
    pub(in crate::schema) names: Vec<String>,
}

/// Returns which of these fields `T` cannot do without.
pub(crate) fn without_default<T: DeserializeOwned>(added: &[Added], samples: &[Vec<u8>]) -> Vec<bool> {
    let lacking = |absent: &[Added]| {
        let mut state = State { absent: absent.to_vec(), samples, ..State::default() };
        let refused = trace::<T>(&mut state).is_err();
        let missed = |(added, name): &(Added, &str)| {
            absent.iter().any(|one| {
                (one.origin, one.variant) == (added.origin, added.variant)
                    && one.names.iter().any(|other| other == name)
            })
        };
        refused || state.missed.iter().any(missed)
    };
    // serde names one missing field at a time.
    match !added.is_empty() && lacking(added) {
        false => vec![false; added.len()],
        true => added.iter().map(|one| lacking(std::slice::from_ref(one))).collect(),
    }
}

impl<'de> State<'de> {
    /// The struct or variant at the present place.
    fn holder(&self) -> Option<(Origin, Option<usize>)> {
        let named = self.types.get(*self.path.first()?)?;
        Some((named.key, self.path.get(1).copied()))
    }

    /// Returns whether a field of these is not to be offered.
    pub(in crate::schema) fn is_left_out(&mut self, names: &[&str], field: usize) -> bool {
        let holder = if self.absent.is_empty() { None } else { self.holder() };
        let is_absent = |added: &Added| {
            holder == Some((added.origin, added.variant))
                && added.names.iter().any(|name| *name == names[field])
        };
        self.absent.iter().any(is_absent) || self.is_blocked(field)
    }

    pub(in crate::schema) fn is_blocked(&mut self, step: usize) -> bool {
        self.path.push(step);
        let blocked = self.blocked.contains(&self.path);
        self.path.pop();
        blocked
    }

    /// Visits the fields of a struct or variant.
    pub(in crate::schema) fn fields<V: Visitor<'de>>(
        &mut self,
        names: &'static [&'static str],
        visitor: V,
    ) -> (Body, Result<V::Value, Stop>) {
        let mut types = vec![Type::Unknown; names.len()];
        let mut next = 0;
        let place = self.path.clone();
        let mut known = self.names.get(&place).cloned().unwrap_or_else(|| Names::new(names));
        if !known.are_asked() && (0..names.len()).any(|field| self.is_left_out(names, field)) {
            self.ask_names(&place, &mut known);
        }
        let result =
            if self.sample.is_some() || !known.are_asked() {
                let order = known.leaders();
                let items = Items { state: self, types: &mut types, next: &mut next, order: &order };
                let result = visitor.visit_seq(items).map_err(|stop| match stop {
                    Stop::Blocked => Stop::Retry,
                    other => other,
                });
                // serde lists aliases among the names of the fields.
                if result.is_ok() && next < order.len() && !known.are_asked() {
                    self.ask_names(&place, &mut known);
                    types.fill_with(|| Type::Unknown);
                }
                result
            } else {
                known.begin_visit();
                self.progress |= known.are_open();
                let (mut last, mut found) = (None, false);
                let fields = Fields {
                    state: self,
                    known: &mut known,
                    types: &mut types,
                    next: &mut next,
                    last: &mut last,
                    found: &mut found,
                };
                let (result, complaints) = complaints_during(|| visitor.visit_map(fields));
                for complaint in complaints {
                    match complaint {
                        Complaint::Duplicate(name) => known.note_first(name),
                        Complaint::Missing(name) if names.contains(&name) => {
                            known.note_first(name);
                            let holder = self.holder();
                            self.missed.extend(holder.map(|(origin, variant)| {
                                (Added { origin, variant, names: Vec::new() }, name)
                            }));
                        }
                        Complaint::Missing(_) => {}
                    }
                }
                self.progress |= found;
                if !found && next == names.len() {
                    known.close();
                }
                match result {
                    // A name turned out to be an alias of one that was offered before it.
                    Err(_) if found => Err(Stop::Retry),
                    // Every field that can be had was offered, and it is not enough.
                    Err(Stop::Rejected) => Err(Stop::Blocked),
                    // A field was blocked just now; the next pass leaves it out.
                    Err(Stop::Blocked) => Err(Stop::Retry),
                    other => other,
                }
            };
        // A struct that holds itself may have learned more inside.
        let inner = self.names.get(&place).map_or(0, |inner| inner.learned);
        if inner <= known.learned {
            self.names.insert(place, known);
        }
        (Body::Struct(names, types), result)
    }

    /// Offers the fields of a struct by name from the next visit on. What was found out by position is forgotten: serde lists
    /// aliases among the names, so that fields behind them stand further on in the list than in the struct.
    fn ask_names(&mut self, place: &Path, known: &mut Names) {
        known.ask();
        self.progress = true;
        // Unless it was visited by name already, inside of itself.
        if !self.names.get(place).is_some_and(Names::are_asked) {
            let body = match place[..] {
                [named] => self.types.get_mut(named).map(|named| &mut named.body),
                [named, at] => match self.types.get_mut(named).map(|named| &mut named.body) {
                    Some(Body::Enum(variants)) => variants.get_mut(at).map(|variant| &mut variant.body),
                    _ => None,
                },
                _ => None,
            };
            if let Some(body @ Body::Struct(..)) = body {
                *body = Body::Unit;
            }
        }
        let outside = |path: &Path| !(path.len() > place.len() && path.starts_with(place));
        self.blocked.retain(outside);
        self.picky.retain(outside);
        self.tries.retain(|path, _| outside(path));
    }
}
