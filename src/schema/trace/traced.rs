//! Makes a [`Schema`] of what a trace saw.

use crate::random::HashMap;

use super::super::shape::{Form, ROOT, Schema, Slot, Structure, Ty, Type};
use super::super::text::type_name;
use super::names::Names;
use super::{Body, State};
use crate::schema::Collection;
use crate::schema::trace;

/// Makes the shape.
///
/// # Errors
///
/// Says which names do not tell fields or variants apart.
pub(super) fn build(root: &Type, state: &State<'_>) -> Result<Schema, String> {
    let mut order = Vec::new();
    root.each_named(&mut |index| visit(index, state, &mut order));
    let places: HashMap<usize, usize> = order.iter().enumerate().map(|(at, &index)| (index, at)).collect();
    let mut uses: HashMap<&str, u32> = HashMap::default();
    let mut definitions = Vec::with_capacity(order.len());
    for &index in &order {
        let named = &state.types[index];
        let count = uses.entry(named.name).or_default();
        *count += 1;
        let name = match *count {
            1 => type_name(named.name),
            count => format!("{}#{count}", type_name(named.name)),
        };
        let structure = structure(state, &[index], &named.body, &named.names, &places);
        if let Some(twice) = repeated(&structure) {
            return Err(format!(
                "two parts of `{}` are called {twice:?}, so names do not tell them apart; rename one of them",
                named.name
            ));
        }
        definitions.push((name, named.key, structure));
    }
    let mut shape = Schema::build(&moved(root, &places), definitions);
    if shape.has_unknown() {
        let picky = state.picky.iter().filter_map(|path| slot_of(path, state, &shape, &places)).collect();
        shape.note_picky(picky);
    }
    Ok(shape)
}

/// Lists the named types that are reached from `index`, parents first.
fn visit(index: usize, state: &State<'_>, order: &mut Vec<usize>) {
    if !order.contains(&index) {
        order.push(index);
        state.types[index].body.each_named(&mut |index| visit(index, state, order));
    }
}

/// The type with its named types by their places in the order.
fn moved(ty: &Type, places: &HashMap<usize, usize>) -> Type {
    let all = |types: &[Type]| types.iter().map(|ty| moved(ty, places)).collect();
    match ty {
        Type::Unknown => Type::Unknown,
        Type::Primitive(name) => Type::Primitive(name),
        Type::Option(inner) => Type::Option(Box::new(moved(inner, places))),
        Type::Seq(item) => Type::Seq(Box::new(moved(item, places))),
        Type::Map(pair) => Type::Map(Box::new((moved(&pair.0, places), moved(&pair.1, places)))),
        Type::Tuple(types) => Type::Tuple(all(types)),
        Type::Collection(kind, types) => Type::Collection(*kind, all(types)),
        Type::Named(index) => places.get(index).map_or(Type::Unknown, |&place| Type::Named(place)),
    }
}

fn structure(
    state: &State<'_>,
    path: &[usize],
    body: &Body,
    names: &Names,
    places: &HashMap<usize, usize>,
) -> Structure {
    match body {
        Body::Unit => Structure::Unit,
        Body::Newtype(ty) => Structure::Newtype(moved(ty, places)),
        Body::Tuple(types) => Structure::Tuple(types.iter().map(|ty| moved(ty, places)).collect()),
        Body::Struct(all, types) => {
            let each = Names::new(all);
            let known = state.names.get(path).unwrap_or(&each);
            let field = |(leader, label): (usize, _)| {
                (label, types.get(leader).map_or(Type::Unknown, |ty| moved(ty, places)))
            };
            Structure::Struct(known.fields().into_iter().map(field).collect())
        }
        Body::Enum(variants) => {
            let variant = |(at, variant): (usize, &trace::Variant)| {
                let path: Vec<usize> = path.iter().copied().chain([at]).collect();
                (names.variant(at), structure(state, &path, &variant.body, names, places))
            };
            Structure::Enum(variants.iter().enumerate().map(variant).collect())
        }
    }
}

/// A name that two fields or variants have.
fn repeated(structure: &Structure) -> Option<String> {
    let twice = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned())
    };
    match structure {
        Structure::Struct(fields) => twice(fields.iter().flat_map(|(label, _)| label.all()).collect()),
        Structure::Enum(variants) => twice(variants.iter().flat_map(|(label, _)| label.all()).collect())
            .or_else(|| variants.iter().find_map(|(_, structure)| repeated(structure))),
        _ => None,
    }
}

/// The slot of the place at a path.
fn slot_of(
    path: &[usize],
    state: &State<'_>,
    shape: &Schema,
    places: &HashMap<usize, usize>,
) -> Option<Slot> {
    enum At {
        Slot(Slot),
        Form(Form),
    }
    let (&first, steps) = path.split_first()?;
    let mut at = match first {
        trace::ROOT => At::Slot(ROOT),
        index => At::Form(shape.form(*places.get(&index)? as u32)),
    };
    for (depth, &step) in steps.iter().enumerate() {
        let part = step as u32;
        at = match at {
            At::Form(Form::Unit) => return None,
            At::Form(Form::Newtype(slot)) => At::Slot(slot),
            At::Form(Form::Tuple(parts)) => At::Slot(parts.iter().nth(step)?),
            At::Form(Form::Struct(parts)) => {
                let name = *state.names.get(&path[..=depth])?.all().get(step)?;
                At::Slot(parts.iter().find(|&slot| shape.label(slot).is_some_and(|label| label.has(name)))?)
            }
            At::Form(Form::Enum(parts)) => {
                At::Form(shape.variants.get(parts.iter().nth(step)? as usize)?.form)
            }
            At::Slot(slot) => At::Slot(match shape.ty(slot) {
                Ty::Option(inner) | Ty::Seq(inner) => inner,
                Ty::Map(key) => key + part,
                Ty::Tuple(parts) => parts.iter().nth(step)?,
                Ty::Collection(Collection::Vector, item) => item,
                Ty::Collection(_, item) => shape.key(item)? + part,
                _ => return None,
            }),
        };
    }
    match at {
        At::Slot(slot) => Some(slot),
        At::Form(_) => None,
    }
}
