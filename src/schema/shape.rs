//! The shape of a type: what a checkpoint records of its types, what a write is checked against, and what a restore
//! compares.
//!
//! A shape is an arena. Every place of a type (a field, an item, a part of a tuple) is a *slot*; the fields of a struct
//! lie in neighbouring slots, so the serializer goes from one to the next by adding one.
//! [`shape_text`](super::text) writes a shape down and reads it back.

use std::collections::BTreeMap;

use crate::schema::Collection;

/// Index of a place in a shape.
pub(crate) type Slot = u32;

/// The place of which nothing is known.
pub(crate) const UNKNOWN: Slot = 0;

/// The place of the whole type.
pub(crate) const ROOT: Slot = 1;

/// From the slot of a collection's item to that of a sequence of items.
pub(crate) const ITEMS: Slot = 1;

/// From the slot of a collection's item to that of a sequence of keys.
pub(crate) const KEYS: Slot = 2;

/// Neighbouring slots, or variants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parts {
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// From one to the next: 1, or 0 where all parts are of one type and share a slot.
    pub(crate) step: u32,
}

impl Parts {
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = u32> {
        (0..self.len as usize).map(move |part| self.start + part as u32 * self.step)
    }

    /// Takes the first of them.
    pub(crate) fn pop_first(&mut self) -> Option<u32> {
        self.len = self.len.checked_sub(1)?;
        let first = self.start;
        self.start += self.step;
        Some(first)
    }
}

/// The type at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ty {
    /// Not seen.
    Unknown,
    /// One of [`PRIMITIVES`].
    Primitive(&'static str),
    Option(Slot),
    Seq(Slot),
    /// The slot of the key; the value's is the next one.
    Map(Slot),
    Tuple(Parts),
    /// The slot of an item; those of a sequence of [`ITEMS`] and of [`KEYS`] follow it. Items of maps and sets are
    /// tuples of a key and a value.
    Collection(Collection, Slot),
    /// Index of a definition.
    Named(u32),
}

/// The primitive types by their names in a shape.
pub(crate) const PRIMITIVES: [&str; 17] = [
    "bool", "i8", "i16", "i32", "i64", "i128", "u8", "u16", "u32", "u64", "u128", "f32", "f64", "char",
    "str", "bytes", "()",
];

/// The structure of a named type, or of a variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Unit,
    Newtype(Slot),
    Tuple(Parts),
    Struct(Parts),
    /// Indexes of variants.
    Enum(Parts),
}

/// The names of a field or variant.
#[derive(Clone, Default, Debug)]
pub(crate) struct Label {
    /// The name under which it is written.
    pub(crate) name: String,
    /// The other names by which the type knows it.
    pub(crate) aliases: Vec<String>,
    /// True if the name is only one of several by which it may be written, and so far it never was: serde lists the names
    /// that mean one field in alphabetical order.
    pub(crate) is_guess: bool,
}

impl Label {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// The name by which a type with these names knows what was written under this label.
    pub(crate) fn as_one_of<'a>(&'a self, asked: &[&str]) -> Option<&'a str> {
        let names = std::iter::once(&self.name).chain(self.aliases.iter().filter(|_| self.is_guess));
        names.map(String::as_str).find(|name| asked.contains(name))
    }

    /// Returns whether what was written under this label is what has those names in a later type.
    pub(crate) fn is_written_as(&self, later: &Self) -> bool {
        later.has(&self.name) || self.is_guess && self.aliases.iter().any(|alias| later.has(alias))
    }

    /// All names in alphabetical order.
    pub(crate) fn all(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            std::iter::once(&self.name).chain(&self.aliases).map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Makes one of the names the one under which it is written.
    pub(crate) fn write_as(&mut self, name: &str) {
        if let Some(alias) = self.aliases.iter_mut().find(|alias| *alias == name) {
            std::mem::swap(alias, &mut self.name);
            self.aliases.sort_unstable();
        }
        self.is_guess = false;
    }
}

/// A variant of an enum.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) label: Label,
    pub(crate) form: Form,
}

/// Tells the named types of a program apart: the names of the parts, and the Rust name of the visitor.
pub(crate) type Origin = (&'static [&'static str], &'static str);

/// A named type.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// Its name; a number follows where several types have it. For readers only: names of types decide nothing.
    pub(crate) name: String,
    pub(crate) form: Form,
    /// The type that a trace met.
    pub(crate) origin: Origin,
}

/// The shape of a type.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    types: Vec<Ty>,
    /// The names of the fields.
    labels: BTreeMap<Slot, Label>,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) variants: Vec<Variant>,
    /// Places whose values a trace could not make up, though parts of the shape depend on it.
    picky: Vec<Slot>,
    /// Encoded values that a trace of this type, or of a later one, needs where made-up values are rejected.
    pub(crate) samples: Vec<Vec<u8>>,
    /// Version of the text: in version 1 no names are known where there were aliases.
    pub(crate) version: u8,
}

/// A type as a tree, from which a shape is built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    /// Not seen.
    Unknown,
    Primitive(&'static str),
    Option(Box<Type>),
    Seq(Box<Type>),
    Map(Box<(Type, Type)>),
    Tuple(Vec<Type>),
    /// One of ours, and its parameters.
    Collection(Collection, Vec<Type>),
    /// Index of a definition.
    Named(usize),
}

/// A form as a tree, from which a shape is built.
#[derive(Debug)]
pub(crate) enum Structure {
    Unit,
    Newtype(Type),
    Tuple(Vec<Type>),
    Struct(Vec<(Label, Type)>),
    Enum(Vec<(Label, Structure)>),
}

impl Schema {
    /// Makes a shape of nothing but an unknown root.
    pub(crate) fn unknown() -> Self {
        Self {
            types: vec![Ty::Unknown; 2],
            labels: BTreeMap::new(),
            definitions: Vec::new(),
            variants: Vec::new(),
            picky: Vec::new(),
            samples: Vec::new(),
            version: 2,
        }
    }

    /// Makes a shape of trees: a root, and the named types that it refers to by index.
    pub(crate) fn build(root: &Type, definitions: Vec<(String, Origin, Structure)>) -> Self {
        let mut shape = Self::unknown();
        shape.put(ROOT, root);
        for (name, origin, structure) in definitions {
            let form = shape.put_structure(structure);
            shape.definitions.push(Definition { name, form, origin });
        }
        shape
    }

    fn put(&mut self, slot: Slot, ty: &Type) {
        let found = match ty {
            Type::Unknown => Ty::Unknown,
            Type::Primitive(name) => Ty::Primitive(name),
            Type::Option(inner) => Ty::Option(self.put_all(&[inner]).start),
            Type::Seq(item) => Ty::Seq(self.put_all(&[item]).start),
            Type::Map(pair) => Ty::Map(self.put_all(&[&pair.0, &pair.1]).start),
            Type::Tuple(types) if types.is_empty() => Ty::Primitive("()"),
            Type::Tuple(types) => Ty::Tuple(self.put_parts(types)),
            Type::Collection(kind, types) => {
                let (ty, parameters) = self.alloc_collection(*kind);
                parameters.into_iter().zip(types).for_each(|(slot, ty)| self.put(slot, ty));
                ty
            }
            Type::Named(definition) => Ty::Named(*definition as u32),
        };
        self.types[slot as usize] = found;
    }

    fn put_all(&mut self, types: &[&Type]) -> Parts {
        let parts = self.alloc(types.len());
        parts.iter().zip(types).for_each(|(slot, ty)| self.put(slot, ty));
        parts
    }

    fn put_parts(&mut self, types: &[Type]) -> Parts {
        match types {
            [first, rest @ ..] if rest.len() > 2 && rest.iter().all(|ty| ty == first) => {
                Parts { len: types.len() as u32, step: 0, ..self.put_all(&[first]) }
            }
            types => self.put_all(&types.iter().collect::<Vec<_>>()),
        }
    }

    fn put_structure(&mut self, structure: Structure) -> Form {
        match structure {
            Structure::Unit => Form::Unit,
            Structure::Newtype(ty) => Form::Newtype(self.put_all(&[&ty]).start),
            // The text does not tell the two apart, and neither do the bytes.
            Structure::Tuple(types) if types.len() == 1 => Form::Newtype(self.put_all(&[&types[0]]).start),
            Structure::Tuple(types) => Form::Tuple(self.put_parts(&types)),
            Structure::Struct(fields) => {
                let parts = self.alloc(fields.len());
                for (slot, (label, ty)) in parts.iter().zip(fields) {
                    self.labels.insert(slot, label);
                    self.put(slot, &ty);
                }
                Form::Struct(parts)
            }
            Structure::Enum(variants) => {
                let (labels, structures): (Vec<_>, Vec<_>) = variants.into_iter().unzip();
                let start = self.variants.len() as u32;
                let len = labels.len() as u32;
                self.variants.extend(labels.into_iter().map(|label| Variant { label, form: Form::Unit }));
                for (variant, structure) in (start..).zip(structures) {
                    self.variants[variant as usize].form = self.put_structure(structure);
                }
                Form::Enum(Parts { start, len, step: 1 })
            }
        }
    }

    /// The number of slots.
    pub(crate) fn slots(&self) -> usize {
        self.types.len()
    }

    #[inline(always)]
    pub(crate) fn ty(&self, slot: Slot) -> Ty {
        self.types[slot as usize]
    }

    /// The names of a field.
    pub(crate) fn label(&self, slot: Slot) -> Option<&Label> {
        self.labels.get(&slot)
    }

    #[inline(always)]
    pub(crate) fn form(&self, definition: u32) -> Form {
        self.definitions[definition as usize].form
    }

    /// Makes room for neighbouring places.
    fn alloc(&mut self, len: usize) -> Parts {
        let start = self.types.len() as u32;
        self.types.resize(self.types.len() + len, Ty::Unknown);
        Parts { start, len: len as u32, step: 1 }
    }

    /// Makes room for a collection; returns its type, and the places of its parameters.
    fn alloc_collection(&mut self, kind: Collection) -> (Ty, Vec<Slot>) {
        let item = self.alloc(3).start;
        self.types[(item + ITEMS) as usize] = Ty::Seq(item);
        let parameters = match kind {
            Collection::Vector => {
                self.types[(item + KEYS) as usize] = Ty::Primitive("()");
                vec![item]
            }
            _ => {
                let entry = self.alloc(2);
                self.types[item as usize] = Ty::Tuple(entry);
                self.types[(item + KEYS) as usize] = Ty::Seq(entry.start);
                self.types[entry.start as usize + 1] = Ty::Primitive("()");
                entry.iter().take(if kind.is_map() { 2 } else { 1 }).collect()
            }
        };
        (Ty::Collection(kind, item), parameters)
    }

    pub(crate) fn is_of_version_1(&self) -> bool {
        self.version == 1
    }

    /// Returns whether a part of the type is not known.
    pub(crate) fn has_unknown(&self) -> bool {
        self.types[ROOT as usize..].contains(&Ty::Unknown)
    }

    /// Notes the places whose values could not be made up.
    pub(crate) fn note_picky(&mut self, slots: Vec<Slot>) {
        self.picky = slots;
    }

    /// The places of which a sample is wanted.
    pub(crate) fn picky(&self) -> &[Slot] {
        &self.picky
    }

    /// The place of the key, where items of this kind have one.
    pub(crate) fn key(&self, item: Slot) -> Option<Slot> {
        match self.ty(item + KEYS) {
            Ty::Seq(key) => Some(key),
            _ => None,
        }
    }

    /// Passes newtypes: `N(T)` has the bytes of `T`.
    #[inline]
    pub(crate) fn peel(&self, mut slot: Slot) -> Slot {
        // A newtype may hold itself, if it can never be made.
        for _ in 0..=self.definitions.len() {
            match self.ty(slot) {
                Ty::Named(definition) => match self.form(definition) {
                    Form::Newtype(inner) => slot = inner,
                    _ => break,
                },
                _ => break,
            }
        }
        slot
    }

    /// Returns whether `self`, a recorded shape, says all that `current` does: then a checkpoint can refer to its record.
    pub(crate) fn says(&self, current: &Self) -> bool {
        let label =
            |old: &Label, new: &Label| old.all() == new.all() && (old.name == new.name || new.is_guess);
        let labels = |(old, new): ((&Slot, &Label), (&Slot, &Label))| old.0 == new.0 && label(old.1, new.1);
        let definition =
            |(old, new): (&Definition, &Definition)| (&old.name, old.form) == (&new.name, new.form);
        let variant =
            |(old, new): (&Variant, &Variant)| label(&old.label, &new.label) && old.form == new.form;
        self.version == current.version
            && self.samples == current.samples
            && self.types == current.types
            && self.labels.len() == current.labels.len()
            && self.labels.iter().zip(&current.labels).all(labels)
            && self.definitions.len() == current.definitions.len()
            && self.definitions.iter().zip(&current.definitions).all(definition)
            && self.variants.len() == current.variants.len()
            && self.variants.iter().zip(&current.variants).all(variant)
    }

    /// Takes over, where names are guesses, those of a recorded shape whose fields and variants stand at the same places.
    pub(crate) fn adopt_names(&mut self, recorded: &Self, pairs: &[(Name, Name)]) {
        for &(old, new) in pairs {
            if let (Some(old), Some(new)) = (recorded.name(old), self.name_mut(new))
                && new.is_guess
                && !old.is_guess
                && new.has(&old.name)
            {
                new.write_as(&old.name);
            }
        }
    }

    /// The names of a field or variant.
    pub(crate) fn name(&self, of: Name) -> Option<&Label> {
        match of {
            Name::Field(slot) => self.labels.get(&slot),
            Name::Variant(variant) => self.variants.get(variant as usize).map(|variant| &variant.label),
        }
    }

    fn name_mut(&mut self, of: Name) -> Option<&mut Label> {
        match of {
            Name::Field(slot) => self.labels.get_mut(&slot),
            Name::Variant(variant) => {
                self.variants.get_mut(variant as usize).map(|variant| &mut variant.label)
            }
        }
    }

    /// Notes the name under which a field or variant is written.
    pub(crate) fn write_as(&mut self, of: Name, name: &str) {
        if let Some(label) = self.name_mut(of) {
            label.write_as(name);
        }
    }
}

/// A thing that has names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    Field(Slot),
    Variant(u32),
}
