//! Compares a recorded shape with that of the type asked for: whether and how the one can be read as the other.
//!
//! *Names decide.* A field or variant is the one that the type asked for knows by the name under which it was written,
//! wherever it stands; the names of types decide nothing. `docs::schema` has the table of what is accepted.

use crate::random::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::shape::{Form, Label, Name, Parts, ROOT, Schema, Slot, Ty};
use super::trace::{Added, without_default};

/// Parts of a recorded type that a restore may leave out.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Allow {
    /// Fields that the type asked for has not; their values are passed over.
    pub removed_fields: bool,
    /// Variants that the type asked for has not; a value that is one of them is an error.
    pub removed_variants: bool,
}

/// The way to read records of one shape as values of another.
#[derive(Debug)]
pub(crate) struct Resolution {
    pub(crate) stored: Arc<Schema>,
    pub(crate) allow: Allow,
    /// Items of maps and sets whose keys have changed, and with them perhaps their hash and order.
    pub(crate) rebuilt: HashSet<Slot>,
}

/// The result of comparing a recorded shape with the type asked for.
#[derive(Debug)]
pub(crate) enum Fit {
    /// Place by place: the records are what a checkpoint of the type asked for would write. With the fields and variants
    /// that stand for each other.
    Same(Vec<(Name, Name)>),
    /// By names.
    Planned(Resolution),
}

/// Compares what was recorded with the shape of a `T`.
///
/// # Errors
///
/// Lists what does not fit, each with its remedy, and then what does.
pub(crate) fn fit<T: DeserializeOwned>(
    stored: &Arc<Schema>,
    asked: &Schema,
    allow: Allow,
) -> Result<Fit, String> {
    let mut found = Comparison::new(stored, asked, allow);
    found.ty(ROOT, ROOT, "the state");
    let added: Vec<Added> = found.added.iter().map(|(added, _)| added.clone()).collect();
    let lacking = match found.fatal.is_empty() || added.len() < 32 {
        true => without_default::<T>(&added, &asked.samples),
        false => vec![false; added.len()],
    };
    for ((_, what), lacks) in std::mem::take(&mut found.added).into_iter().zip(lacking) {
        match lacks {
            true => found.fatal.push(format!(
                "{what} was added and has no default: give it `#[serde(default)]`, or make it an Option"
            )),
            false => found.allowed.push(format!("{what} was added")),
        }
    }
    if !found.fatal.is_empty() {
        return Err(found.text());
    }
    match found.is_exact {
        true => Ok(Fit::Same(found.pairs)),
        false => Ok(Fit::Planned(Resolution { stored: Arc::clone(stored), allow, rebuilt: found.rebuilt })),
    }
}

/// Returns whether every value of one primitive type is one of another.
pub(crate) fn widens(from: &str, to: &str) -> bool {
    let bits = |name: &str| name.get(1..)?.parse::<u32>().ok();
    match (from.as_bytes().first(), to.as_bytes().first(), bits(from), bits(to)) {
        (Some(one), Some(two), Some(old), Some(new)) => {
            matches!((one, two), (b'u', b'u' | b'i') | (b'i', b'i') | (b'f', b'f')) && old < new
        }
        _ => false,
    }
}

/// Returns whether a label of version 1 stands for a name that was not recorded.
pub(crate) fn is_nameless(shape: &Schema, label: Option<&Label>, at: usize) -> bool {
    shape.version == 1 && label.is_some_and(|label| label.name == format!("_{at}"))
}

/// A walk over two shapes at once.
struct Comparison<'a> {
    old: &'a Schema,
    new: &'a Schema,
    allow: Allow,
    /// Places that are being, or were, compared: what they hold may hold them again.
    met: HashSet<(Slot, Slot)>,
    /// Structs and enums of these.
    met_named: HashSet<(u32, u32)>,
    /// Keys that are being, or were, compared, and whether these were to be rebuilt.
    keys: HashMap<(Slot, Slot), bool>,
    fatal: Vec<String>,
    allowed: Vec<String>,
    added: Vec<(Added, String)>,
    /// True if everything stands where it stood, in the same bytes.
    is_exact: bool,
    pairs: Vec<(Name, Name)>,
    rebuilt: HashSet<Slot>,
}

impl<'a> Comparison<'a> {
    fn new(old: &'a Schema, new: &'a Schema, allow: Allow) -> Self {
        Self {
            old,
            new,
            allow,
            met: HashSet::default(),
            met_named: HashSet::default(),
            keys: HashMap::default(),
            fatal: Vec::new(),
            allowed: Vec::new(),
            added: Vec::new(),
            is_exact: true,
            pairs: Vec::new(),
            rebuilt: HashSet::default(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.fatal.iter().for_each(|line| _ = writeln!(text, "- {line}"));
        if !self.allowed.is_empty() {
            _ = writeln!(text, "these changes would be accepted:");
            self.allowed.iter().for_each(|line| _ = writeln!(text, "+ {line}"));
        }
        text
    }

    /// Notes a change that is accepted, and that other bytes stand for.
    fn changed(&mut self, what: String) {
        self.is_exact = false;
        self.allowed.push(what);
    }

    fn other(&mut self, old: Slot, new: Slot, place: &str) {
        let (old, new) = (self.old.type_text(old), self.new.type_text(new));
        self.fatal.push(format!(
            "{place} is stored as {old} and asked for as {new}: ask for what is stored, or make a store of the new type \
             with `Store::migrate`"
        ));
    }

    fn ty(&mut self, old: Slot, new: Slot, place: &str) {
        let (old, new) = (self.old.peel(old), self.new.peel(new));
        let is_leaf = |ty: Ty| matches!(ty, Ty::Unknown | Ty::Primitive(_));
        if !is_leaf(self.old.ty(old)) && !is_leaf(self.new.ty(new)) && !self.met.insert((old, new)) {
            return;
        }
        match (self.old.ty(old), self.new.ty(new)) {
            (Ty::Unknown, Ty::Unknown) => {}
            // Nothing was ever written there.
            (Ty::Unknown, _) if self.old.version > 1 => {}
            (_, Ty::Unknown) | (Ty::Unknown, _) => self.fatal.push(format!(
                "{place} cannot be compared: a Deserialize implementation before it rejects every value that was tried, \
                 so that it is not seen what comes after; put the part that rejects values last, or into a struct with \
                 named fields"
            )),
            (Ty::Primitive(old), Ty::Primitive(new)) if old == new => {}
            (Ty::Primitive(old), Ty::Primitive(new)) if widens(old, new) => {
                self.changed(format!("{place} was widened from {old} to {new}"));
            }
            (Ty::Option(old), Ty::Option(new)) | (Ty::Seq(old), Ty::Seq(new)) => self.ty(old, new, place),
            (_, Ty::Option(inner)) => {
                self.changed(format!("{place} became an Option"));
                self.ty(old, inner, place);
            }
            (Ty::Map(old), Ty::Map(new)) => {
                self.ty(old, new, place);
                self.ty(old + 1, new + 1, place);
            }
            (Ty::Collection(kind, old), Ty::Collection(other, new)) if kind == other => {
                if let (Some(key), Some(new_key)) = (self.old.key(old), self.new.key(new))
                    && self.are_changed(key, new_key, place)
                {
                    self.rebuilt.insert(old);
                }
                self.ty(old, new, place);
            }
            (Ty::Named(one), Ty::Named(two)) if self.are_alike(one, two) => {
                if self.met_named.insert((one, two)) {
                    let name = self.new.definitions[two as usize].name.clone();
                    self.form(self.old.form(one), self.new.form(two), &name, Some((two, None)));
                }
            }
            _ => match (parts_of(self.old, old), parts_of(self.new, new)) {
                (Some(one), Some(two)) if one.len == two.len => self.parts(one, two, place),
                _ => self.other(old, new, place),
            },
        }
    }

    /// Returns whether keys are not what they were. (Within themselves they are, until something else is found.)
    fn are_changed(&mut self, old: Slot, new: Slot, place: &str) -> bool {
        if let Some(known) = self.keys.get(&(old, new)) {
            return *known;
        }
        self.keys.insert((old, new), false);
        let mut inner =
            Self { keys: std::mem::take(&mut self.keys), ..Self::new(self.old, self.new, self.allow) };
        inner.ty(old, new, place);
        self.keys = inner.keys;
        let are_changed = !inner.is_exact || !inner.fatal.is_empty();
        self.keys.insert((old, new), are_changed);
        are_changed
    }

    /// Returns whether two named types are structs with named fields, or enums.
    fn are_alike(&self, old: u32, new: u32) -> bool {
        matches!(
            (self.old.form(old), self.new.form(new)),
            (Form::Struct(_), Form::Struct(_)) | (Form::Enum(_), Form::Enum(_))
        )
    }

    fn parts(&mut self, old: Parts, new: Parts, place: &str) {
        for (at, (one, two)) in old.iter().zip(new.iter()).enumerate() {
            self.ty(one, two, &format!("{place}.{at}"));
            if old.step == 0 && new.step == 0 {
                break;
            }
        }
    }

    /// `of` is the definition asked for, and the number of its variant, if it is one.
    fn form(&mut self, old: Form, new: Form, place: &str, of: Option<(u32, Option<u32>)>) {
        match (old, new) {
            (Form::Unit, Form::Unit) => {}
            (Form::Newtype(old), Form::Newtype(new)) => self.ty(old, new, place),
            (Form::Tuple(old), Form::Tuple(new)) if old.len == new.len => self.parts(old, new, place),
            (Form::Struct(old), Form::Struct(new)) => self.fields(old, new, place, of),
            (Form::Enum(old), Form::Enum(new)) => self.variants(old, new, place, of),
            _ => {
                let (old, new) = (self.old.form_text(old), self.new.form_text(new));
                self.fatal.push(format!(
                    "{place} is stored as {place}{old} and asked for as {place}{new}: ask for what is stored, or make a \
                     store of the new type with `Store::migrate`"
                ));
            }
        }
    }

    fn fields(&mut self, old: Parts, new: Parts, place: &str, of: Option<(u32, Option<u32>)>) {
        if old.iter().enumerate().all(|(at, slot)| is_nameless(self.old, self.old.label(slot), at))
            && old.len > 0
        {
            let has_aliases =
                |slot: Slot| self.new.label(slot).is_some_and(|label| !label.aliases.is_empty());
            match old.len == new.len && new.iter().any(has_aliases) {
                true => self.parts(old, new, place),
                false => self.nameless(place),
            }
            return;
        }
        let mut taken = vec![None; new.len as usize];
        let mut last = 0;
        for (at, slot) in old.iter().enumerate() {
            let Some(label) = self.old.label(slot) else { continue };
            let what = self.old.field_text(slot);
            let known =
                |&to: &usize| self.new.label(new.start + to as u32).is_some_and(|to| label.is_written_as(to));
            match (0..new.len as usize).find(known) {
                None if self.allow.removed_fields => {
                    self.changed(format!("field `{what}` of {place} was removed"));
                }
                None => self.fatal.push(format!(
                    "field `{what}` of {place} was removed: if it has another name now, give that field \
                     `#[serde(alias = {:?})]`; to leave it out, restore with \
                     `RestoreOptions::new().allow_removed_fields(true)`",
                    label.name
                )),
                Some(to) => {
                    if let Some(other) = taken[to].replace(label.name.as_str()) {
                        self.fatal.push(format!(
                            "fields `{other}` and `{}` of {place} are one field now: drop one of its aliases, or put them \
                             together with `Store::migrate`",
                            label.name
                        ));
                        continue;
                    }
                    let found = new.start + to as u32;
                    let name = self.new.label(found).map_or_else(String::new, |label| label.name.clone());
                    if name != label.name {
                        self.allowed.push(format!("field `{}` of {place} was renamed `{name}`", label.name));
                    }
                    self.pairs.push((Name::Field(slot), Name::Field(found)));
                    self.is_exact &= to == at;
                    if to < last {
                        self.changed(format!("field `{name}` of {place} was moved"));
                    }
                    last = last.max(to);
                    self.ty(slot, found, &format!("{place}.{name}"));
                }
            }
        }
        for (slot, _) in new.iter().zip(&taken).filter(|(_, taken)| taken.is_none()) {
            self.is_exact = false;
            let what = format!("field `{}` of {place}", self.new.field_text(slot));
            let (Some((definition, variant)), Some(label)) = (of, self.new.label(slot)) else { continue };
            let names = label.all().into_iter().map(str::to_owned).collect();
            let origin = self.new.definitions[definition as usize].origin;
            self.added.push((Added { origin, variant: variant.map(|at| at as usize), names }, what));
        }
    }

    fn nameless(&mut self, place: &str) {
        self.fatal.push(format!(
            "{place} had aliases when it was recorded in format version 1, which kept no names then: restore it as the type \
             that it was, and checkpoint it"
        ));
    }

    fn variants(&mut self, old: Parts, new: Parts, place: &str, of: Option<(u32, Option<u32>)>) {
        let label = |shape: &Schema, variant: u32| shape.variants[variant as usize].label.clone();
        let nameless =
            |(at, variant): (usize, u32)| is_nameless(self.old, Some(&label(self.old, variant)), at);
        let are_nameless = old.len > 0 && old.iter().enumerate().all(nameless);
        if are_nameless
            && !(old.len == new.len && new.iter().any(|to| !label(self.new, to).aliases.is_empty()))
        {
            return self.nameless(place);
        }
        let (mut taken, mut last) = (HashSet::default(), 0);
        for (at, variant) in old.iter().enumerate() {
            let written = label(self.old, variant);
            let found = match are_nameless {
                true => Some(at),
                false => new.iter().position(|to| written.is_written_as(&label(self.new, to))),
            };
            let what = self.old.variant_text(variant);
            match found {
                None if self.allow.removed_variants => {
                    self.changed(format!("variant `{what}` of {place} was removed"));
                }
                None => self.fatal.push(format!(
                    "variant `{what}` of {place} was removed: if it has another name now, give that variant \
                     `#[serde(alias = {:?})]`; if no value is one, restore with \
                     `RestoreOptions::new().allow_removed_variants(true)`",
                    written.name
                )),
                Some(to) if !taken.insert(to) => self.fatal.push(format!(
                    "variant `{what}` and another one of {place} are one variant now: drop one of its aliases, or put them \
                     together with `Store::migrate`"
                )),
                Some(to) => {
                    let now = new.start + to as u32;
                    let name = label(self.new, now).name;
                    if name != written.name && !are_nameless {
                        self.allowed.push(format!("variant `{}` of {place} was renamed `{name}`", written.name));
                    }
                    self.pairs.push((Name::Variant(variant), Name::Variant(now)));
                    self.is_exact &= to == at;
                    if to < last {
                        self.changed(format!("variant `{name}` of {place} was moved"));
                    }
                    last = last.max(to);
                    let (one, two) = (self.old.variants[variant as usize].form, self.new.variants[now as usize].form);
                    let of = of.map(|(definition, _)| (definition, Some(to as u32)));
                    self.form(one, two, &format!("{place}::{name}"), of);
                }
            }
        }
        let added = new.iter().enumerate().filter(|(to, _)| !taken.contains(to));
        let added: Vec<_> = added
            .map(|(_, variant)| format!("variant `{}` of {place} was added", self.new.variant_text(variant)))
            .collect();
        self.allowed.extend(added);
    }
}

/// The parts of what is a tuple in bytes: a tuple, a struct without names, or nothing at all.
pub(crate) fn parts_of(shape: &Schema, slot: Slot) -> Option<Parts> {
    const NONE: Parts = Parts { start: 0, len: 0, step: 1 };
    match shape.ty(slot) {
        Ty::Tuple(parts) => Some(parts),
        Ty::Primitive("()") => Some(NONE),
        Ty::Named(definition) => match shape.form(definition) {
            Form::Tuple(parts) => Some(parts),
            Form::Unit => Some(NONE),
            Form::Struct(parts) if parts.len == 0 => Some(NONE),
            _ => None,
        },
        _ => None,
    }
}
