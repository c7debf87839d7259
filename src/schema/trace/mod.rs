//! Finds the shape of a type without data: a deserializer that answers every request with a made-up value and
//! notes what was asked for.
//!
//! `T::deserialize` runs in *passes*. In each, an option is `Some`, a sequence or map has one item, and an enum is
//! the first variant not seen yet, until no pass finds anything new. Three things make that less than obvious:
//! - *Recursive types must end.* Inside a type that is being visited already (or was, with nothing new in it) the
//!   tracer is *hasty*: options are `None`, sequences are empty, enums are the variant that was completed first.
//!   Building that one needed only variants that were completed before it, so haste terminates.
//! - *A hand-written `Deserialize` may reject made-up values.* Wherever the error surfaces, later passes try other
//!   values there, and after those *block* the place: an option there becomes `None`, a sequence empty, another
//!   variant is taken. The fields of a struct with a blocked field are offered by name, in the order of a map,
//!   because that reaches those that come after it. What stays out of reach (the rest of a tuple after a blocked
//!   item) is `?` in the shape, until a *sample* is there: a real value that was about to be written at such a place,
//!   which the type then reads instead of made-up ones.
//! - *Aliases.* serde lists the names of a struct's fields with their aliases among them, and those of an enum's variants
//!   likewise. Which names mean one field shows when each is offered: derived code turns it into a value of an enum
//!   of its own, and equal values mean one field. Which of them is the first name, serde says in its errors.
//!
//! serde-reflection is not used: it keys types by their bare name, gives up at the first rejected value, and wants every
//! enum named by hand.

mod fields;
mod names;
mod stop;
mod traced;
mod tracer;

use crate::random::{HashMap, HashSet};

use serde::de::{DeserializeOwned, Visitor};

use self::names::Names;
use self::stop::{Stop, complaints_during};
use self::tracer::{Items, OneName, OneVariant, Tracer};
use super::NOT_SELF_DESCRIBING;
use super::shape::{Origin, Schema, Type};
use crate::error::{Error, Result};
pub(super) use fields::{Added, without_default};

/// Values made up for one place before it is blocked.
const MAX_TRIES: usize = 6;

/// Requests after which a trace keeps what it has. Far above any type written by hand.
const MAX_REQUESTS: u32 = 1 << 20;

/// Named types being visited at a time: bounds the stack where a recursive enum has its leaf variant last.
const MAX_STACK: usize = 64;

/// Steps from a named type to its unnamed parts: bounds the stack where a type holds itself and shows no name.
const MAX_STEPS: usize = 64;
const NAMELESS: &str =
    "a type in it holds itself and shows no name: it needs one (no `#[serde(transparent)]`)";

/// Returns the shape of `T` as its `Deserialize` shows it.
///
/// # Errors
///
/// `Error::Encode` where the type asks the format what comes next (untagged and tagged enums, flattened structs),
/// which no binary record can answer, or where names do not tell its fields apart.
pub(crate) fn shape_of<T: DeserializeOwned>() -> Result<Schema> {
    shape_with::<T>(&[])
}

/// Returns the shape of `T`, given encoded values that it may need to see where it rejects made-up ones.
///
/// # Errors
///
/// As [`shape_of`].
pub(crate) fn shape_with<T: DeserializeOwned>(samples: &[Vec<u8>]) -> Result<Schema> {
    let mut state = State { samples, ..State::default() };
    let root = trace::<T>(&mut state)?;
    let mut shape = traced::build(&root, &state)
        .map_err(|reason| Error::Encode { type_name: std::any::type_name::<T>(), reason })?;
    // Those that were not needed would only make shapes differ.
    shape.samples = match state.used_samples {
        true => samples.to_vec(),
        false => Vec::new(),
    };
    Ok(shape)
}

fn trace<T: DeserializeOwned>(state: &mut State<'_>) -> Result<Type> {
    // Complaints that nothing asks for end with the trace, and are not mixed with those of a trace that this one is in.
    complaints_during(|| passes::<T>(state)).0
}

fn passes<T: DeserializeOwned>(state: &mut State<'_>) -> Result<Type> {
    let mut root = Type::Unknown;
    loop {
        state.begin_pass();
        let mut seen = Type::Unknown;
        let result = state.sampled(|state| T::deserialize(Tracer { state, seen: &mut seen }));
        let done = state.settle(result).is_ok();
        merge(&mut root, seen);
        if let Some(reason) = state.refusal.take() {
            return Err(Error::Encode { type_name: std::any::type_name::<T>(), reason });
        }
        if !state.progress || (done && !state.untried()) || state.requests >= MAX_REQUESTS {
            return Ok(root);
        }
    }
}

/// A type that has a name.
struct Named {
    name: &'static str,
    body: Body,
    /// Tells types of one name apart.
    key: Origin,
    /// Of an enum: which of its names mean which variant.
    names: Names,
    on_stack: u32,
    /// The last pass in which it was visited as a whole.
    visited: u32,
    /// How many types away the nearest enum with untried variants is, as of the beginning of the pass. Following
    /// shorter and shorter distances is what makes passes arrive there in recursive types.
    work: u32,
    /// No value of it can be made.
    dead: bool,
}

/// What a type, or a variant, consists of.
enum Body {
    Unit,
    Newtype(Type),
    Tuple(Vec<Type>),
    /// The type of what each name of the struct means; of aliases nothing is known.
    Struct(&'static [&'static str], Vec<Type>),
    Enum(Vec<Variant>),
}

struct Variant {
    body: Body,
    progress: Progress,
    on_stack: u32,
    work: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untried,
    Trying,
    /// A value was made, as the n-th variant of all.
    Done(u32),
    Failed,
}

/// Takes over what `new` knows and `known` does not.
fn merge(known: &mut Type, new: Type) {
    match (known, new) {
        (_, Type::Unknown) => {}
        (known @ Type::Unknown, new) => *known = new,
        (Type::Option(known), Type::Option(new)) | (Type::Seq(known), Type::Seq(new)) => merge(known, *new),
        (Type::Map(known), Type::Map(new)) => {
            merge(&mut known.0, new.0);
            merge(&mut known.1, new.1);
        }
        (Type::Tuple(known), Type::Tuple(new)) => merge_all(known, new),
        (Type::Collection(_, known), Type::Collection(_, new)) => merge_all(known, new),
        // A Deserialize that asks for different things at different times: the first counts.
        _ => {}
    }
}

fn merge_all(known: &mut Vec<Type>, new: Vec<Type>) {
    if known.len() < new.len() {
        known.resize(new.len(), Type::Unknown);
    }
    known.iter_mut().zip(new).for_each(|(known, new)| merge(known, new));
}

impl Body {
    fn merge(&mut self, new: Body) {
        match (self, new) {
            (known @ Body::Unit, new) => *known = new,
            (Body::Newtype(known), Body::Newtype(new)) => merge(known, new),
            (Body::Tuple(known), Body::Tuple(new)) => merge_all(known, new),
            (Body::Struct(_, known), Body::Struct(_, new)) => merge_all(known, new),
            _ => {}
        }
    }

    /// Whether it is an enum of which not every variant has failed.
    fn has_hope(&self) -> bool {
        match self {
            Body::Enum(variants) => variants.iter().any(|variant| variant.progress != Progress::Failed),
            _ => false,
        }
    }

    /// Calls `f` with each named type that a value of this may hold.
    fn each_named(&self, f: &mut impl FnMut(usize)) {
        match self {
            Body::Unit => {}
            Body::Newtype(ty) => ty.each_named(f),
            Body::Tuple(types) => types.iter().for_each(|ty| ty.each_named(f)),
            Body::Struct(_, types) => types.iter().for_each(|ty| ty.each_named(f)),
            Body::Enum(variants) => variants.iter().for_each(|variant| variant.body.each_named(f)),
        }
    }
}

impl Type {
    fn each_named(&self, f: &mut impl FnMut(usize)) {
        match self {
            Type::Unknown | Type::Primitive(_) => {}
            Type::Option(ty) | Type::Seq(ty) => ty.each_named(f),
            Type::Map(pair) => {
                pair.0.each_named(f);
                pair.1.each_named(f);
            }
            Type::Tuple(types) | Type::Collection(_, types) => types.iter().for_each(|ty| ty.each_named(f)),
            Type::Named(index) => f(*index),
        }
    }
}

/// Where in the type the tracer is: the innermost named type, then the step taken at each level below it.
type Path = Vec<usize>;

/// Stands for the named type where there is none.
const ROOT: usize = usize::MAX;
/// The [distance](Named::work) from what leads to no untried variant.
const NO_WORK: u32 = u32::MAX;

#[derive(Default)]
struct State<'de> {
    types: Vec<Named>,
    stack: Vec<usize>,
    path: Path,
    tries: HashMap<Path, usize>,
    blocked: HashSet<Path>,
    /// Places at which made-up values were rejected, rather than further inside.
    picky: HashSet<Path>,
    /// Of each struct and variant with fields whose names were looked into: which mean one field.
    names: HashMap<Path, Names>,
    hasty: bool,
    /// Which of the made-up values is to be used here.
    candidate: usize,
    samples: &'de [Vec<u8>],
    used_samples: bool,
    /// Rest of the sample that is being read instead of made-up values.
    sample: Option<&'de [u8]>,
    pass: u32,
    /// Whether this pass found or changed anything.
    progress: bool,
    done_variants: u32,
    requests: u32,
    /// Why the type cannot be stored.
    refusal: Option<String>,
    /// Fields that are left out.
    absent: Vec<Added>,
    /// Fields, not offered, without which there was no value.
    missed: Vec<(Added, &'static str)>,
}

impl<'de> State<'de> {
    fn begin_pass(&mut self) {
        self.pass += 1;
        self.progress = false;
        self.hasty = false;
        self.path = vec![ROOT];
        self.candidate = self.candidate_here();
        self.find_work();
    }

    fn untried(&self) -> bool {
        let untried = |named: &Named| match &named.body {
            Body::Enum(variants) => variants.iter().any(|variant| variant.progress == Progress::Untried),
            _ => false,
        };
        self.types.iter().any(|named| untried(named) || named.names.are_open())
            || self.names.values().any(Names::are_open)
    }

    /// Measures how far each type and variant is from an untried variant, or from names to look into.
    fn find_work(&mut self) {
        let mut work = vec![NO_WORK; self.types.len()];
        let open: HashSet<usize> =
            self.names.iter().filter(|(_, names)| names.are_open()).map(|(path, _)| path[0]).collect();
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for (index, named) in self.types.iter_mut().enumerate() {
                let distance = |body: &Body| {
                    let mut nearest = NO_WORK;
                    body.each_named(&mut |to| nearest = nearest.min(work[to].saturating_add(1)));
                    nearest
                };
                let nearest = match &mut named.body {
                    Body::Enum(variants) => {
                        variants.iter_mut().for_each(|variant| variant.work = distance(&variant.body));
                        let untried = variants.iter().any(|variant| variant.progress == Progress::Untried);
                        let nearest = variants.iter().map(|variant| variant.work).min().unwrap_or(NO_WORK);
                        if untried || named.names.are_open() { 0 } else { nearest }
                    }
                    body => distance(body),
                };
                let nearest = if open.contains(&index) { 0 } else { nearest };
                changed |= work[index] != nearest;
                work[index] = nearest;
                named.work = nearest;
            }
        }
    }

    /// Decides what an error at the present place means for later passes.
    fn settle<V>(&mut self, result: Result<V, Stop>) -> Result<V, Stop> {
        match result {
            Err(Stop::Rejected) if self.requests < MAX_REQUESTS => {
                let tries = self.tries.entry(self.path.clone()).or_default();
                if *tries + 1 == MAX_TRIES + self.samples.len() {
                    self.picky.insert(self.path.clone());
                    return self.block();
                }
                *tries += 1;
                self.progress = true;
                Err(Stop::Retry)
            }
            Err(Stop::Blocked) => self.block(),
            other => other,
        }
    }

    fn candidate_here(&self) -> usize {
        self.tries.get(&self.path).copied().unwrap_or(0)
    }

    fn block<V>(&mut self) -> Result<V, Stop> {
        self.progress |= self.blocked.insert(self.path.clone());
        Err(Stop::Blocked)
    }

    /// Runs `visit` at the present place: on made-up values, or on a sample where all of them were rejected.
    fn sampled<V>(&mut self, visit: impl FnOnce(&mut Self) -> Result<V, Stop>) -> Result<V, Stop> {
        let Some(sample) = self.candidate.checked_sub(MAX_TRIES) else { return visit(self) };
        self.used_samples = true;
        self.sample = self.samples.get(sample).map(Vec::as_slice);
        let result = visit(self);
        match self.sample.take() {
            Some([]) => result,
            _ => result.and(Err(Stop::Rejected)),
        }
    }

    /// Goes one step down and runs `visit` there.
    fn step<V>(
        &mut self,
        step: usize,
        into: &mut Type,
        visit: impl FnOnce(Tracer<'_, 'de>) -> Result<V, Stop>,
    ) -> Result<V, Stop> {
        if self.path.len() > MAX_STEPS {
            self.refusal.get_or_insert_with(|| NAMELESS.into());
            return Err(Stop::Retry);
        }
        self.path.push(step);
        let mut seen = Type::Unknown;
        if self.sample.is_some() {
            let result = visit(Tracer { state: self, seen: &mut seen });
            merge(into, seen);
            self.path.pop();
            return result;
        }
        let candidate = self.candidate;
        self.candidate = candidate.max(self.candidate_here());
        let result = match self.blocked.contains(&self.path) {
            true => Err(Stop::Blocked),
            false => self.sampled(|state| visit(Tracer { state, seen: &mut seen })),
        };
        if result.is_ok() && seen == Type::Unknown {
            // It was made of nothing.
            seen = Type::Primitive("()");
        }
        merge(into, seen);
        let result = self.settle(result);
        self.candidate = candidate;
        self.path.pop();
        result
    }

    /// Like [`step`](Self::step) where the caller can do without a value: it will have to from the next pass on.
    fn step_aside<V>(
        &mut self,
        step: usize,
        into: &mut Type,
        visit: impl FnOnce(Tracer<'_, 'de>) -> Result<V, Stop>,
    ) -> Result<V, Stop> {
        let sampled = self.sample.is_some();
        self.step(step, into, visit).map_err(|stop| if sampled { stop } else { Stop::Retry })
    }

    /// Counts a request; returns which made-up value to answer it with.
    fn request(&mut self) -> Result<usize, Stop> {
        self.requests += 1;
        match self.requests < MAX_REQUESTS {
            true => Ok(self.candidate),
            false => Err(Stop::Retry),
        }
    }

    /// Finds the named type, or notes it as new.
    fn named(&mut self, name: &'static str, parts: &'static [&'static str], visitor: &'static str) -> usize {
        let key = (parts, visitor);
        let found = self.types.iter().position(|named| named.name == name && named.key == key);
        found.unwrap_or_else(|| {
            self.types.push(Named {
                name,
                body: Body::Unit,
                key,
                names: Names::new(parts),
                on_stack: 0,
                visited: 0,
                work: NO_WORK,
                dead: false,
            });
            self.types.len() - 1
        })
    }

    /// Visits a named type; `visit` returns what it saw.
    fn enter<V>(
        &mut self,
        index: usize,
        visit: impl FnOnce(&mut Self) -> (Body, Result<V, Stop>),
    ) -> Result<V, Stop> {
        let named = &mut self.types[index];
        if named.dead && self.sample.is_none() || self.stack.len() >= MAX_STACK {
            return Err(Stop::Blocked);
        }
        let hasty = self.hasty;
        self.hasty |=
            named.on_stack > 0 || named.visited == self.pass || (named.visited > 0 && named.work == NO_WORK);
        named.on_stack += 1;
        self.stack.push(index);
        let path = std::mem::replace(&mut self.path, vec![index]);
        let (body, result) = visit(self);
        self.path = path;
        self.stack.pop();
        let was_hasty = std::mem::replace(&mut self.hasty, hasty);
        let named = &mut self.types[index];
        named.on_stack -= 1;
        named.body.merge(body);
        match &result {
            Ok(_) if !was_hasty => named.visited = self.pass,
            Err(Stop::Blocked) => named.dead = !named.body.has_hope(),
            _ => {}
        }
        result
    }

    fn tuple<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> (Vec<Type>, Result<V::Value, Stop>) {
        let mut types = vec![Type::Unknown; len];
        let order: Vec<usize> = (0..len).collect();
        let items = Items { state: self, types: &mut types, next: &mut 0, order: &order };
        let result = visitor.visit_seq(items);
        (types, result)
    }

    /// Notes the variants of an enum that was not met before.
    fn expect_variants(&mut self, index: usize, names: &[&str]) {
        let body = &mut self.types[index].body;
        if matches!(body, Body::Unit) {
            let untried = |_: &&str| Variant {
                body: Body::Unit,
                progress: Progress::Untried,
                on_stack: 0,
                work: NO_WORK,
            };
            *body = Body::Enum(names.iter().map(untried).collect());
        }
    }

    /// Chooses the variant to make, and whether that explores anything.
    fn choose(&self, index: usize) -> Option<(usize, bool)> {
        let Body::Enum(variants) = &self.types[index].body else { return None };
        if let Some(untried) = variants.iter().position(|variant| variant.progress == Progress::Untried) {
            return Some((untried, true));
        }
        let is_open = |at: usize| self.names.get(&vec![index, at]).is_some_and(Names::are_open);
        let open = (0..variants.len()).find(|&at| variants[at].on_stack == 0 && !self.hasty && is_open(at));
        if let Some(open) = open {
            return Some((open, true));
        }
        let done = |variant: &Variant| match variant.progress {
            Progress::Done(order) => Some(order),
            _ => None,
        };
        let leads = |variant: &&Variant| {
            variant.work != NO_WORK && variant.on_stack == 0 && done(variant).is_some() && !self.hasty
        };
        if let Some(nearest) = variants.iter().filter(leads).map(|variant| variant.work).min()
            && let Some(at) = variants.iter().position(|variant| leads(&variant) && variant.work == nearest)
        {
            return Some((at, true));
        }
        let first = variants.iter().enumerate().filter_map(|(at, variant)| Some((done(variant)?, at))).min();
        // Where every variant is being tried for the first time, one of them in haste may still end: `Vec<Self>`
        // is empty then. Where none does, there is no finite value.
        let again = |variant: &Variant| variant.progress == Progress::Trying && variant.on_stack < 2;
        first.map(|(_, at)| at).or_else(|| variants.iter().position(again)).map(|at| (at, false))
    }

    fn variant(&mut self, index: usize, variant: usize) -> &mut Variant {
        match &mut self.types[index].body {
            Body::Enum(variants) => &mut variants[variant],
            _ => unreachable!("the type was entered as an enum"),
        }
    }

    /// Visits one variant of an enum.
    fn visit_enum<V: Visitor<'de>>(&mut self, index: usize, visitor: V) -> Result<V::Value, Stop> {
        let sampled = match &mut self.sample {
            Some(sample) => Some(names::take::<u32>(sample)? as usize),
            None => None,
        };
        if sampled.is_none()
            && let Some(name) = self.types[index].names.next_open()
        {
            self.progress = true;
            return visitor.visit_enum(OneName { known: &mut self.types[index].names, name });
        }
        let chosen = sampled.map(|at| (at, true)).or_else(|| self.choose(index));
        let Some((at, explore)) = chosen else { return Err(Stop::Blocked) };
        if !matches!(&self.types[index].body, Body::Enum(variants) if at < variants.len()) {
            return Err(Stop::Rejected);
        }
        let outer_hasty = std::mem::replace(&mut self.hasty, !explore);
        let variant = self.variant(index, at);
        variant.on_stack += 1;
        if variant.progress == Progress::Untried {
            variant.progress = Progress::Trying;
        }
        let (mut body, mut met) = (Body::Unit, None);
        let result = self.step(at, &mut Type::Unknown, |tracer| {
            visitor.visit_enum(OneVariant { state: tracer.state, at, body: &mut body, met: &mut met })
        });
        self.hasty = outer_hasty;
        let order = self.done_variants;
        if let Some(Ok(mark)) = met {
            let names = &mut self.types[index].names;
            if names.is_other(at, mark) {
                met = Some(Err(()));
            } else {
                names.note_number(at, mark);
            }
        }
        let variant = self.variant(index, at);
        variant.on_stack -= 1;
        variant.body.merge(body);
        match &result {
            Ok(_) if variant.progress == Progress::Trying => {
                variant.progress = Progress::Done(order);
                self.done_variants += 1;
                self.progress = true;
            }
            Err(Stop::Blocked) if variant.progress == Progress::Trying => {
                variant.progress = Progress::Failed;
                self.progress = true;
            }
            Err(_) if variant.progress == Progress::Trying => variant.progress = Progress::Untried,
            _ => {}
        }
        let named = &mut self.types[index];
        if let (Body::Enum(variants), Some(Err(()))) = (&mut named.body, met) {
            // serde lists aliases among the names of the variants, so there are fewer than names.
            variants.truncate(at);
            named.names.ask();
            self.progress = true;
        }
        match result {
            Err(Stop::Blocked) if named.body.has_hope() => Err(Stop::Retry),
            other => other,
        }
    }

    #[cold]
    fn refuse<V>(&mut self) -> Result<V, Stop> {
        let place = self.path.first().and_then(|&index| self.types.get(index)).map(|named| {
            match (self.path.get(1).and_then(|&part| named.key.0.get(part)), &named.body) {
                (Some(part), Body::Enum(_)) => format!("variant `{part}` of `{}`: ", named.name),
                (Some(part), _) => format!("field `{part}` of `{}`: ", named.name),
                (None, _) => format!("`{}`: ", named.name),
            }
        });
        self.refusal.get_or_insert(format!("{}{NOT_SELF_DESCRIBING}", place.unwrap_or_default()));
        Err(Stop::Retry)
    }
}
