//! Finds the shape of a type without data: a deserializer that answers every request with a made-up value and
//! notes what was asked for.
//!
//! `T::deserialize` runs in *passes*. In each, an option is `Some`, a sequence or map has one item, and an enum is
//! the first variant not seen yet, until no pass finds anything new. Two things make that less than obvious:
//!
//! - *Recursive types must end.* Inside a type that is being visited already (or was, with nothing new in it) the
//!   tracer is *hasty*: options are `None`, sequences are empty, enums are the variant that was completed first.
//!   Building that one needed only variants that were completed before it, so haste terminates.
//! - *A hand-written `Deserialize` may reject made-up values.* Wherever the error surfaces, later passes try other
//!   values there, and after those *block* the place: an option there becomes `None`, a sequence empty, another
//!   variant is taken. The fields of a struct with a blocked field are offered by name, in the order of a map,
//!   because that reaches those that come after it. What stays out of reach (the rest of a tuple after a blocked
//!   item) is `?` in the shape.
//!
//! The crate serde-reflection is not used: it keys types by their bare name, so two types of one name (or two uses
//! of one generic type) collide, it gives up at the first rejected value, and it wants every enum named by hand.

use serde::de::{DeserializeOwned, Visitor};

use super::NOT_SELF_DESCRIBING;
use super::plan::Added;
use super::session::Collection;
use super::shape::{self, Shape};
use super::stop::{Stop, missed_during};
use super::tracer::{Fields, Items, OneVariant, Tracer};
use crate::error::{Error, Result};
use crate::random::{HashMap, HashSet};

/// Values made up for one place before it is blocked.
pub(super) const MAX_TRIES: usize = 6;

/// Requests after which a trace keeps what it has. Far above any type written by hand.
const MAX_REQUESTS: u32 = 1 << 20;

/// Named types being visited at a time: bounds the stack where a recursive enum has its leaf variant last.
const MAX_STACK: usize = 64;

/// Returns the shape of `T` as its `Deserialize` shows it.
///
/// # Errors
///
/// `Error::Encode` where the type asks the format what comes next (untagged and tagged enums, flattened structs),
/// which no binary record can answer.
pub(crate) fn shape_of<T: DeserializeOwned>() -> Result<Shape> {
    missed_during(|| trace::<T>(&mut State::default())).0
}

/// Whether `T` can do without these fields.
pub(crate) fn has_defaults<T: DeserializeOwned>(added: Vec<Added>) -> bool {
    let mut state = State { absent: added, ..State::default() };
    let (traced, missed) = missed_during(|| trace::<T>(&mut state).is_ok());
    traced && !state.absent.iter().any(|(names, at)| missed.contains(&names[*at].as_str()))
}

fn trace<T: DeserializeOwned>(state: &mut State) -> Result<Shape> {
    let mut root = Type::Unknown;
    loop {
        state.begin_pass();
        let mut seen = Type::Unknown;
        let result = T::deserialize(Tracer { state: &mut *state, seen: &mut seen });
        let done = state.settle(result).is_ok();
        merge(&mut root, seen);
        if let Some(reason) = state.refusal.take() {
            return Err(Error::Encode { type_name: std::any::type_name::<T>(), reason });
        }
        if !state.progress || (done && !state.untried()) || state.requests >= MAX_REQUESTS {
            return Ok(shape::render(&root, &state.types));
        }
    }
}

/// A type as serde shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Type {
    /// Not seen.
    Unknown,
    Primitive(&'static str),
    Option(Box<Type>),
    Seq(Box<Type>),
    Map(Box<(Type, Type)>),
    Tuple(Vec<Type>),
    /// One of ours, and its parameters.
    Collection(Collection, Vec<Type>),
    /// Index of a [`Named`].
    Named(usize),
}

/// A type that has a name.
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) body: Body,
    /// Tells types of one name apart: names of the parts, and the Rust name of the visitor.
    key: (&'static [&'static str], &'static str),
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
pub(super) enum Body {
    Unit,
    Newtype(Type),
    Tuple(Vec<Type>),
    Struct(Vec<(String, Type)>),
    Enum(Vec<Variant>),
}

pub(super) struct Variant {
    pub(super) name: String,
    pub(super) body: Body,
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
            (Body::Struct(known), Body::Struct(new)) => {
                known.iter_mut().zip(new).for_each(|(known, new)| merge(&mut known.1, new.1));
            }
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
    pub(super) fn each_named(&self, f: &mut impl FnMut(usize)) {
        match self {
            Body::Unit => {}
            Body::Newtype(ty) => ty.each_named(f),
            Body::Tuple(types) => types.iter().for_each(|ty| ty.each_named(f)),
            Body::Struct(fields) => fields.iter().for_each(|(_, ty)| ty.each_named(f)),
            Body::Enum(variants) => variants.iter().for_each(|variant| variant.body.each_named(f)),
        }
    }
}

impl Type {
    pub(super) fn each_named(&self, f: &mut impl FnMut(usize)) {
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
pub(super) struct State {
    types: Vec<Named>,
    stack: Vec<usize>,
    path: Path,
    tries: HashMap<Path, usize>,
    blocked: HashSet<Path>,
    pub(super) hasty: bool,
    /// Which of the made-up values is to be used here.
    candidate: usize,
    pass: u32,
    /// Whether this pass found or changed anything.
    progress: bool,
    done_variants: u32,
    requests: u32,
    /// Why the type cannot be stored.
    refusal: Option<String>,
    /// Fields that are left out.
    absent: Vec<Added>,
}

impl State {
    fn begin_pass(&mut self) {
        self.pass += 1;
        self.progress = false;
        self.hasty = false;
        self.path = vec![ROOT];
        self.candidate = self.candidate_here();
        self.find_work();
    }

    fn untried(&self) -> bool {
        self.types.iter().any(|named| match &named.body {
            Body::Enum(variants) => variants.iter().any(|variant| variant.progress == Progress::Untried),
            _ => false,
        })
    }

    /// Measures how far each type and variant is from an untried variant.
    fn find_work(&mut self) {
        let mut work = vec![NO_WORK; self.types.len()];
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
                        if untried { 0 } else { nearest }
                    }
                    body => distance(body),
                };
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
                if *tries + 1 == MAX_TRIES {
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

    /// Whether a field of these is not to be offered.
    pub(super) fn is_left_out(&mut self, names: &[&str], field: usize) -> bool {
        let is_absent = |(others, at): &Added| *at == field && others == names;
        self.absent.iter().any(is_absent) || self.is_blocked(field)
    }

    pub(super) fn is_blocked(&mut self, step: usize) -> bool {
        self.path.push(step);
        let blocked = self.blocked.contains(&self.path);
        self.path.pop();
        blocked
    }

    /// Goes one step down and runs `visit` there.
    pub(super) fn step<V>(
        &mut self,
        step: usize,
        into: &mut Type,
        visit: impl FnOnce(Tracer<'_>) -> Result<V, Stop>,
    ) -> Result<V, Stop> {
        self.path.push(step);
        let candidate = self.candidate;
        self.candidate = candidate.max(self.candidate_here());
        let mut seen = Type::Unknown;
        let result = match self.blocked.contains(&self.path) {
            true => Err(Stop::Blocked),
            false => visit(Tracer { state: self, seen: &mut seen }),
        };
        merge(into, seen);
        let result = self.settle(result);
        self.candidate = candidate;
        self.path.pop();
        result
    }

    /// Like [`step`](Self::step) where the caller can do without a value: it will have to from the next pass on.
    pub(super) fn step_aside<V>(
        &mut self,
        step: usize,
        into: &mut Type,
        visit: impl FnOnce(Tracer<'_>) -> Result<V, Stop>,
    ) -> Result<V, Stop> {
        self.step(step, into, visit).map_err(|_| Stop::Retry)
    }

    /// Counts a request; returns which made-up value to answer it with.
    pub(super) fn request(&mut self) -> Result<usize, Stop> {
        self.requests += 1;
        match self.requests < MAX_REQUESTS {
            true => Ok(self.candidate),
            false => Err(Stop::Retry),
        }
    }

    /// Finds the named type, or notes it as new.
    pub(super) fn named(
        &mut self,
        name: &'static str,
        parts: &'static [&'static str],
        visitor: &'static str,
    ) -> usize {
        let key = (parts, visitor);
        let found = self.types.iter().position(|named| named.name == name && named.key == key);
        found.unwrap_or_else(|| {
            self.types.push(Named {
                name,
                body: Body::Unit,
                key,
                on_stack: 0,
                visited: 0,
                work: NO_WORK,
                dead: false,
            });
            self.types.len() - 1
        })
    }

    /// Visits a named type; `visit` returns what it saw.
    pub(super) fn enter<V>(
        &mut self,
        index: usize,
        visit: impl FnOnce(&mut Self) -> (Body, Result<V, Stop>),
    ) -> Result<V, Stop> {
        let named = &mut self.types[index];
        if named.dead || self.stack.len() >= MAX_STACK {
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

    /// Visits the fields of a struct or variant.
    pub(super) fn fields<'de, V: Visitor<'de>>(
        &mut self,
        names: &'static [&'static str],
        visitor: V,
    ) -> (Body, Result<V::Value, Stop>) {
        let mut types = vec![Type::Unknown; names.len()];
        let by_name = (0..names.len()).any(|field| self.is_left_out(names, field));
        let mut next = 0;
        let result = if by_name {
            let fields = Fields { state: self, names, types: &mut types, next: &mut next };
            match visitor.visit_map(fields) {
                // Every field that can be had was offered, and it is not enough.
                Err(Stop::Rejected) => Err(Stop::Blocked),
                // A field was blocked just now; the next pass leaves it out.
                Err(Stop::Blocked) => Err(Stop::Retry),
                other => other,
            }
        } else {
            let items = Items { state: self, types: &mut types, next: &mut next, len: names.len() };
            visitor.visit_seq(items).map_err(|stop| match stop {
                Stop::Blocked => Stop::Retry,
                other => other,
            })
        };
        // serde lists aliases among the names of the fields. Which of them go together it does not say.
        let aliases = !by_name && result.is_ok() && next < names.len();
        if aliases {
            types.truncate(next);
        }
        let name = |field: usize| if aliases { format!("_{field}") } else { names[field].to_owned() };
        let fields = types.into_iter().enumerate().map(|(field, ty)| (name(field), ty));
        (Body::Struct(fields.collect()), result)
    }

    pub(super) fn tuple<'de, V: Visitor<'de>>(
        &mut self,
        len: usize,
        visitor: V,
    ) -> (Vec<Type>, Result<V::Value, Stop>) {
        let mut types = vec![Type::Unknown; len];
        let result = visitor.visit_seq(Items { state: self, types: &mut types, next: &mut 0, len });
        (types, result)
    }

    /// Notes the variants of an enum that was not met before.
    pub(super) fn expect_variants(&mut self, index: usize, names: &[&str]) {
        let body = &mut self.types[index].body;
        if matches!(body, Body::Unit) {
            let untried = |name: &&str| Variant {
                name: (*name).to_owned(),
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
    pub(super) fn visit_enum<'de, V: Visitor<'de>>(
        &mut self,
        index: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let Some((at, explore)) = self.choose(index) else { return Err(Stop::Blocked) };
        let outer_hasty = std::mem::replace(&mut self.hasty, !explore);
        let variant = self.variant(index, at);
        variant.on_stack += 1;
        if variant.progress == Progress::Untried {
            variant.progress = Progress::Trying;
        }
        let (mut body, mut unnamed) = (Body::Unit, false);
        let result = self.step(at, &mut Type::Unknown, |tracer| {
            visitor.visit_enum(OneVariant { state: tracer.state, at, body: &mut body, unnamed: &mut unnamed })
        });
        self.hasty = outer_hasty;
        let order = self.done_variants;
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
        let body = &mut self.types[index].body;
        if let Body::Enum(variants) = body
            && unnamed
        {
            // serde lists aliases among the names of the variants, so there are fewer than names.
            variants.truncate(at);
            variants.iter_mut().enumerate().for_each(|(at, variant)| variant.name = format!("_{at}"));
        }
        match result {
            Err(Stop::Blocked) if body.has_hope() => Err(Stop::Retry),
            other => other,
        }
    }

    #[cold]
    pub(super) fn refuse<V>(&mut self) -> Result<V, Stop> {
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
