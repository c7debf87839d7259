//! Checks a value that is being written against the shape by which it will be read: names decide.
//!
//! serde hands the serializer the name of every struct, field and variant, as strings of the program. A name that was found
//! right is known again by its address and length, so that a check costs a comparison and not a search. What `Deserialize`
//! will not understand by its name is refused; a variant is written with the number by which `Deserialize` knows it.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

use super::error::CodecError;
use crate::schema::Collection;
use crate::schema::parts_of;
use crate::schema::{Form, Label, Name, Parts, ROOT, Schema, Slot, Ty, UNKNOWN};

/// Names that were found right, by slot and by variant.
#[derive(Default)]
pub(crate) struct Seen {
    fields: Vec<Cell<&'static str>>,
    variants: Vec<Cell<&'static str>>,
}

/// The shape that a flush writes by.
pub(crate) struct Check {
    pub(super) shape: Arc<Schema>,
    seen: Seen,
    /// Names under which fields and variants are written, where another one was expected.
    renamed: RefCell<Vec<(Name, &'static str)>>,
}

/// Stands for a name that was not seen yet. (No name has its address.)
static UNSEEN: &str = "\0 not seen";

/// Places of the fields of a struct, or of the parts of a tuple.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    next: Slot,
    step: u32,
    /// Behind the last field; 0 where fields have no names, or nothing is known of them.
    end: Slot,
    /// The names that were seen, from the next field on; of fields only.
    seen: &'a [Cell<&'static str>],
}

impl Place<'_> {
    const NOWHERE: Self = Self { next: UNKNOWN, step: 0, end: 0, seen: &[] };

    fn of_parts(parts: Parts) -> Self {
        Self { next: parts.start, step: parts.step, end: 0, seen: &[] }
    }

    /// The place from which one [`step`](Self::step) leads to the first part.
    #[inline(always)]
    pub(super) fn before(self) -> Slot {
        self.next.wrapping_sub(self.step)
    }

    /// The way from one part to the next, unless all stand at one place.
    #[inline(always)]
    pub(super) fn step(self) -> Option<u32> {
        (self.step != 0).then_some(self.step)
    }

    #[inline(always)]
    pub(super) fn next_part(&mut self) -> Slot {
        let place = self.next;
        self.next += self.step;
        place
    }
}

impl Check {
    pub(crate) fn new(shape: Arc<Schema>, mut seen: Seen) -> Self {
        seen.fields.resize(shape.slots(), Cell::new(UNSEEN));
        seen.variants.resize(shape.variants.len(), Cell::new(UNSEEN));
        Self { shape, seen, renamed: RefCell::default() }
    }

    /// Makes a check by the same shape that knows no names yet.
    pub(super) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.shape), Seen::default())
    }

    /// Checks nothing.
    pub(crate) fn nothing() -> Self {
        Self::new(Arc::new(Schema::unknown()), Seen::default())
    }

    /// Returns whether parts of a shape that was traced are not known.
    pub(super) fn is_curious(&self) -> bool {
        self.shape.has_unknown() && self.shape.ty(ROOT) != Ty::Unknown
    }

    /// The names that were found right, for the next flush by the same shape.
    pub(crate) fn into_parts(self) -> (Seen, Vec<(Name, &'static str)>) {
        (self.seen, self.renamed.into_inner())
    }

    #[inline(always)]
    fn of_fields(&self, parts: Parts) -> Place<'_> {
        let end = parts.start + parts.len;
        let seen = self.seen.fields.get(parts.start as usize..end as usize).unwrap_or_default();
        Place { next: parts.start, step: 1, end, seen }
    }

    /// The place of the next field, which is written under this name.
    #[inline(always)]
    pub(super) fn field(
        &self,
        place: &mut Place<'_>,
        holder: &str,
        key: &'static str,
    ) -> Result<Slot, CodecError> {
        let slot = place.next;
        match place.seen.split_first() {
            Some((name, rest)) if ptr::eq(name.get(), key) => place.seen = rest,
            _ => {
                // Given only numbers, so that the place can stay in registers.
                self.find_field(slot, place.end, holder, key)?;
                place.seen = place.seen.get(1..).unwrap_or_default();
            }
        }
        place.next += place.step;
        Ok(slot)
    }

    #[cold]
    #[inline(never)]
    fn find_field(&self, slot: Slot, end: Slot, holder: &str, key: &'static str) -> Result<(), CodecError> {
        if end == 0 {
            return Ok(());
        }
        let label = self.shape.label(slot).filter(|_| slot < end);
        match label {
            Some(label) if label.has(key) => {
                self.note(&self.seen.fields[slot as usize], Name::Field(slot), label, key);
                Ok(())
            }
            label => {
                let later =
                    (slot..end).any(|slot| self.shape.label(slot).is_some_and(|label| label.has(key)));
                Err(match label.filter(|_| later) {
                    Some(label) => not_written(holder, &label.name),
                    None => CodecError::refused(format!(
                        "field `{key}` of {holder} is written, and Deserialize does not know it at this place: give it the \
                         same name and the same place on both sides (`rename`, `alias`), or leave it out on both with \
                         `#[serde(skip)]`"
                    )),
                })
            }
        }
    }

    /// Returns whether all fields were written.
    #[inline(always)]
    pub(super) fn end(&self, place: Place<'_>, holder: &str) -> Result<(), CodecError> {
        if place.next < place.end {
            let label = self.shape.label(place.next);
            return Err(not_written(holder, label.map_or("", |label| &label.name)));
        }
        Ok(())
    }

    /// Remembers a name that is right.
    fn note(&self, seen: &Cell<&'static str>, name: Name, label: &Label, key: &'static str) {
        if ptr::eq(seen.get(), UNSEEN) && (label.name != key || label.is_guess) {
            self.renamed.borrow_mut().push((name, key));
        }
        seen.set(key);
    }

    /// The number by which the reader knows a variant, and what it consists of, where that is known.
    #[inline(always)]
    pub(super) fn variant(
        &self,
        place: Slot,
        holder: &str,
        index: u32,
        variant: &'static str,
    ) -> Result<(u32, Option<Form>), CodecError> {
        if let Ty::Named(definition) = self.shape.ty(place)
            && let Form::Enum(variants) = self.shape.form(definition)
            && index < variants.len
        {
            let at = (variants.start + index) as usize;
            if let Some(seen) = self.seen.variants.get(at)
                && ptr::eq(seen.get(), variant)
            {
                return Ok((index, Some(self.shape.variants[at].form)));
            }
        }
        self.find_variant(place, holder, index, variant)
    }

    #[cold]
    fn find_variant(
        &self,
        place: Slot,
        holder: &str,
        index: u32,
        variant: &'static str,
    ) -> Result<(u32, Option<Form>), CodecError> {
        let place = self.shape.peel(place);
        let definition = match self.shape.ty(place) {
            Ty::Unknown => return Ok((index, None)),
            Ty::Named(definition) => Some(definition),
            _ => None,
        };
        let Some(Form::Enum(variants)) = definition.map(|definition| self.shape.form(definition)) else {
            return Err(self.other(place, &format!("variant `{variant}` of the enum {holder}")));
        };
        let known = |at: &u32| self.shape.variants[*at as usize].label.has(variant);
        let Some(at) = variants.iter().find(known) else {
            return Err(CodecError::refused(format!(
                "variant `{variant}` of {holder} is written, and Deserialize does not know it: give it one name on both \
                 sides (`rename`, `alias`), and do not mark it `skip_deserializing` where there are such values"
            )));
        };
        let found = &self.shape.variants[at as usize];
        // Where variants before it are skipped, the reader counts without them.
        let number = at - variants.start;
        if self.is_unseen(found.form) {
            return Ok((number, None));
        }
        self.note(&self.seen.variants[at as usize], Name::Variant(at), &found.label, variant);
        Ok((number, Some(found.form)))
    }

    /// Returns whether a trace did not see what a variant consists of.
    fn is_unseen(&self, form: Form) -> bool {
        matches!(form, Form::Newtype(slot) if self.shape.ty(slot) == Ty::Unknown)
    }

    #[cold]
    pub(super) fn other_variant(&self, variant: &str, what: &str, form: Form) -> CodecError {
        CodecError::refused(format!(
            "variant `{variant}` is written with {what} and read as `{variant}{}`; make Serialize and Deserialize agree",
            self.shape.form_text(form)
        ))
    }

    /// Accepts a variant without parts where it has none to be read.
    pub(super) fn unit_variant(&self, variant: &str, form: Form) -> Result<(), CodecError> {
        match form {
            Form::Tuple(parts) | Form::Struct(parts) if parts.len == 0 => Ok(()),
            form => Err(self.other_variant(variant, "no parts", form)),
        }
    }

    /// The places of the parts of a variant without names.
    #[inline(always)]
    pub(super) fn tuple_variant<'a>(
        &'a self,
        variant: &str,
        form: Option<Form>,
        len: usize,
    ) -> Result<Place<'a>, CodecError> {
        match form {
            Some(Form::Tuple(parts)) if parts.len as usize == len => Ok(Place::of_parts(parts)),
            Some(Form::Newtype(inner)) if len == 1 => Ok(Place { next: inner, ..Place::NOWHERE }),
            Some(Form::Unit) if len == 0 => Ok(Place::NOWHERE),
            None => Ok(Place::NOWHERE),
            Some(form) => Err(self.other_variant(variant, &format!("{len} parts"), form)),
        }
    }

    /// The places of the fields of a variant.
    #[inline(always)]
    pub(super) fn struct_variant<'a>(
        &'a self,
        variant: &str,
        form: Option<Form>,
        len: usize,
    ) -> Result<Place<'a>, CodecError> {
        match form {
            Some(Form::Struct(parts)) => Ok(self.of_fields(parts)),
            form => self.tuple_variant(variant, form, len),
        }
    }

    /// The places of the fields of a struct.
    #[inline(always)]
    pub(super) fn fields<'a>(&'a self, place: Slot, name: &str, len: usize) -> Result<Place<'a>, CodecError> {
        if let Ty::Named(definition) = self.shape.ty(place)
            && let Form::Struct(parts) = self.shape.form(definition)
        {
            return Ok(self.of_fields(parts));
        }
        self.find_parts(place, len, true, || format!("the struct {name} of {len} fields"))
    }

    /// The places of the parts of a tuple.
    #[inline(always)]
    pub(super) fn tuple(&self, place: Slot, len: usize) -> Result<Place<'_>, CodecError> {
        match self.shape.ty(place) {
            Ty::Tuple(parts) if parts.len as usize == len => Ok(Place::of_parts(parts)),
            _ => self.find_parts(place, len, false, || format!("a tuple of {len} parts")),
        }
    }

    #[cold]
    fn find_parts(
        &self,
        place: Slot,
        len: usize,
        has_names: bool,
        what: impl Fn() -> String,
    ) -> Result<Place<'_>, CodecError> {
        // A struct of one part is a newtype.
        if let (1, Ty::Named(definition)) = (len, self.shape.ty(place))
            && let Form::Newtype(inner) = self.shape.form(definition)
        {
            return Ok(Place { next: inner, ..Place::NOWHERE });
        }
        let peeled = self.shape.peel(place);
        if self.shape.ty(peeled) == Ty::Unknown {
            return Ok(Place::NOWHERE);
        }
        if let Some(parts) = parts_of(&self.shape, peeled).filter(|parts| parts.len as usize == len) {
            return Ok(Place::of_parts(parts));
        }
        match self.shape.ty(peeled) {
            Ty::Named(definition) => match self.shape.form(definition) {
                // What has no names may have another order than the struct that it is read as.
                Form::Struct(parts) if has_names && parts.len as usize == len => Ok(self.of_fields(parts)),
                _ => Err(self.other(place, &what())),
            },
            _ => Err(self.other(place, &what())),
        }
    }

    /// The place of what an option holds.
    #[inline(always)]
    pub(super) fn option(&self, place: Slot) -> Result<Slot, CodecError> {
        match self.shape.ty(place) {
            Ty::Option(inner) => Ok(inner),
            _ => self.find_option(place),
        }
    }

    #[cold]
    fn find_option(&self, place: Slot) -> Result<Slot, CodecError> {
        match self.shape.ty(self.shape.peel(place)) {
            Ty::Option(inner) => Ok(inner),
            Ty::Unknown => Ok(UNKNOWN),
            _ => Err(self.other(place, "an Option")),
        }
    }

    /// The place of the items of a sequence.
    #[inline(always)]
    pub(super) fn seq(&self, place: Slot) -> Result<Slot, CodecError> {
        match self.shape.ty(place) {
            Ty::Seq(item) => Ok(item),
            _ => self.find_seq(place),
        }
    }

    #[cold]
    fn find_seq(&self, place: Slot) -> Result<Slot, CodecError> {
        match self.shape.ty(self.shape.peel(place)) {
            Ty::Seq(item) => Ok(item),
            // These have the bytes of a sequence, of bytes or of pairs.
            Ty::Primitive("bytes") | Ty::Map(_) | Ty::Unknown => Ok(UNKNOWN),
            _ => Err(self.other(place, "a sequence")),
        }
    }

    /// The places of the keys and values of a map.
    #[inline(always)]
    pub(super) fn map(&self, place: Slot) -> Result<[Slot; 2], CodecError> {
        match self.shape.ty(place) {
            Ty::Map(key) => Ok([key, key + 1]),
            _ => self.find_map(place),
        }
    }

    #[cold]
    fn find_map(&self, place: Slot) -> Result<[Slot; 2], CodecError> {
        match self.shape.ty(self.shape.peel(place)) {
            Ty::Map(key) => Ok([key, key + 1]),
            Ty::Seq(item) => Ok(match self.shape.ty(item) {
                Ty::Tuple(Parts { start, len: 2, step }) => [start, start + step],
                _ => return Err(self.other(place, "a map")),
            }),
            Ty::Unknown => Ok([UNKNOWN; 2]),
            _ => Err(self.other(place, "a map")),
        }
    }

    /// The place of the items of a collection of ours.
    pub(super) fn collection(&self, place: Slot, magic: &str) -> Result<Slot, CodecError> {
        match self.shape.ty(self.shape.peel(place)) {
            Ty::Collection(kind, item) if kind.magic() == magic => Ok(item),
            Ty::Unknown => Ok(UNKNOWN),
            _ => {
                let name = Collection::ALL
                    .iter()
                    .find(|kind| kind.magic() == magic)
                    .map_or(magic, |kind| kind.name());
                Err(self.other(place, &format!("a {name} of this crate")))
            }
        }
    }

    /// Says that what is written is read as something else.
    #[cold]
    pub(super) fn other(&self, place: Slot, what: &str) -> CodecError {
        let read = self.shape.type_text(place);
        let name =
            self.shape.label(place).map_or_else(String::new, |label| format!("field `{}`: ", label.name));
        CodecError::refused(format!(
            "it would not read back: {name}{what} is written where {read} is read; make Serialize and Deserialize agree (`serialize_with` and \
             `deserialize_with`, `into` and `from`)"
        ))
    }
}

#[cold]
fn not_written(holder: &str, field: &str) -> CodecError {
    CodecError::refused(format!(
        "field `{field}` of {holder} is read, and not written at its place: give it the same name and the same place on both \
         sides, or leave it out on both with `#[serde(skip)]`"
    ))
}
