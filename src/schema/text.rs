//! A [`Schema`] as text, which is what its record holds.
//!
//! The first line says that names are recorded, the next is the root; then samples, if there are any, in hexadecimal; then
//! one line for each named type, in the order in which they are met from the root on:
//!
//! ```text
//! shape 2
//! World
//! struct World { players: HashMap<u64, Player>, log: Vector<Event> }
//! struct Player { name: str, health|hp: u32 }
//! enum Event { Joined(u64), Moved { x: f32, y: f32 }, Quit }
//! ```
//!
//! Before the bar stands the name under which a field or variant is written, behind it the others by which the type knew
//! it; where a bar comes first, no value was written yet under any of them. Std's sequences are `[T]`, its maps `{K: V}`; arrays, which are tuples to serde, `[T; n]`; `?` is what the trace
//! could not reach. Different types of one name are `Name`, `Name#2` …; what is not a Rust name, or is the name of a
//! type of ours, is quoted.
//!
//! *Version 1* has no first line. It has no bars either: where a type had aliases, its fields and variants are `_0`, `_1` ….

use std::fmt::Write as _;

use super::shape::{
    Definition, Form, Label, Origin, PRIMITIVES, Parts, ROOT, Schema, Slot, Structure, Ty, Type,
};
use crate::schema::Collection;

const VERSION_2: &str = "shape 2\n";
const SAMPLE: &str = "sample ";

impl Schema {
    /// Returns the canonical text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = if self.version == 1 { String::new() } else { VERSION_2.to_owned() };
        _ = writeln!(text, "{}", self.type_text(ROOT));
        for sample in &self.samples {
            text.push_str(SAMPLE);
            sample.iter().for_each(|byte| _ = write!(text, "{byte:02x}"));
            text.push('\n');
        }
        for definition in &self.definitions {
            _ = writeln!(text, "{}", self.definition_text(definition));
        }
        text
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    ///
    /// Says which line is not one of a shape.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let (version, body) = match text.strip_prefix(VERSION_2) {
            Some(body) => (2, body),
            None => (1, text),
        };
        let body = body.strip_suffix('\n').ok_or("the text of a shape ends within a line")?;
        let mut lines = body.split('\n').peekable();
        let root = lines.next().filter(|root| !root.is_empty()).ok_or("a shape without a root")?;
        let bad = |line: &str| format!("{line:?} is not a line of a type's shape");
        let mut samples = Vec::new();
        while let Some(sample) = lines.peek().and_then(|line| line.strip_prefix(SAMPLE)) {
            samples.push(bytes_of(sample).ok_or_else(|| bad(sample))?);
            lines.next();
        }
        let heads = lines.map(|line| head(line).ok_or_else(|| bad(line))).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&str> = heads.iter().map(|(_, name, _)| *name).collect();
        let parser = |text| Parser { text, names: &names, depth: 0 };
        let mut definitions = Vec::with_capacity(heads.len());
        for &(is_enum, name, body) in &heads {
            let mut parser = parser(body);
            let structure = if is_enum { parser.variants() } else { parser.structure() };
            let structure = structure.filter(|_| parser.text.is_empty()).ok_or_else(|| bad(body))?;
            definitions.push((name.to_owned(), NOWHERE, structure));
        }
        let mut parser = parser(root);
        let root = parser.ty().filter(|_| parser.text.is_empty()).ok_or_else(|| bad(root))?;
        let mut shape = Self::build(&root, definitions);
        (shape.version, shape.samples) = (version, samples);
        // Only canonical text is ever written, so anything else is damage.
        (shape.to_text() == text)
            .then_some(shape)
            .ok_or_else(|| "the text of a shape is not canonical".to_owned())
    }

    fn definition_text(&self, definition: &Definition) -> String {
        let keyword = if matches!(definition.form, Form::Enum(_)) { "enum" } else { "struct" };
        format!("{keyword} {}{}", definition.name, self.form_text(definition.form))
    }

    pub(crate) fn form_text(&self, form: Form) -> String {
        let braces = |parts: Vec<String>| match parts.is_empty() {
            true => " {}".to_owned(),
            false => format!(" {{ {} }}", parts.join(", ")),
        };
        match form {
            Form::Unit => String::new(),
            Form::Newtype(slot) => format!("({})", self.type_text(slot)),
            Form::Tuple(parts) => format!("({})", self.list(parts)),
            Form::Struct(parts) => braces(parts.iter().map(|slot| self.field_text(slot)).collect()),
            Form::Enum(parts) => braces(parts.iter().map(|variant| self.variant_text(variant)).collect()),
        }
    }

    pub(crate) fn field_text(&self, slot: Slot) -> String {
        let label = self.label(slot).map(label_text).unwrap_or_default();
        format!("{label}: {}", self.type_text(slot))
    }

    /// The name of a field, and of the struct or variant that it is in.
    pub(crate) fn full_name(&self, field: Slot) -> Option<String> {
        let label = self.label(field)?;
        let is_in =
            |form: Form| matches!(form, Form::Struct(parts) if parts.iter().any(|part| part == field));
        let holder = |definition: &Definition| match definition.form {
            Form::Enum(variants) => variants.iter().find_map(|variant| {
                let variant = &self.variants[variant as usize];
                is_in(variant.form).then(|| format!("{}::{}", definition.name, variant.label.name))
            }),
            form => is_in(form).then(|| definition.name.clone()),
        };
        Some(format!("field `{}` of {}", label.name, self.definitions.iter().find_map(holder)?))
    }

    pub(crate) fn variant_text(&self, variant: u32) -> String {
        let variant = &self.variants[variant as usize];
        format!("{}{}", label_text(&variant.label), self.form_text(variant.form))
    }

    fn list(&self, parts: Parts) -> String {
        parts.iter().map(|slot| self.type_text(slot)).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn type_text(&self, slot: Slot) -> String {
        match self.ty(slot) {
            Ty::Unknown => "?".to_owned(),
            Ty::Primitive(name) => name.to_owned(),
            Ty::Option(inner) => format!("Option<{}>", self.type_text(inner)),
            Ty::Seq(item) => format!("[{}]", self.type_text(item)),
            Ty::Map(key) => format!("{{{}: {}}}", self.type_text(key), self.type_text(key + 1)),
            Ty::Tuple(parts) if parts.len == 1 => format!("({},)", self.type_text(parts.start)),
            Ty::Tuple(parts) => {
                if parts.step == 0 {
                    return format!("[{}; {}]", self.type_text(parts.start), parts.len);
                }
                format!("({})", self.list(parts))
            }
            Ty::Collection(kind, item) => match (kind, self.ty(item)) {
                (Collection::HashMap | Collection::OrdMap, Ty::Tuple(entry)) => {
                    format!("{}<{}>", kind.name(), self.list(entry))
                }
                (Collection::HashSet | Collection::OrdSet, Ty::Tuple(entry)) => {
                    format!("{}<{}>", kind.name(), self.type_text(entry.start))
                }
                _ => format!("{}<{}>", kind.name(), self.type_text(item)),
            },
            Ty::Named(definition) => self.definitions[definition as usize].name.clone(),
        }
    }
}

/// Most parts of one type in a text: arrays of arrays multiply.
const MAX_WEIGHT: usize = 1 << 21;

/// Deepest nesting of brackets in a text.
const MAX_BRACKETS: u32 = 128;

/// Number of parts of a type.
fn weight(ty: &Type) -> usize {
    match ty {
        Type::Unknown | Type::Primitive(_) | Type::Named(_) => 1,
        Type::Option(inner) | Type::Seq(inner) => 1 + weight(inner),
        Type::Map(pair) => 1 + weight(&pair.0) + weight(&pair.1),
        Type::Tuple(types) | Type::Collection(_, types) => 1 + types.iter().map(weight).sum::<usize>(),
    }
}

/// Origin of a type that was not traced.
const NOWHERE: Origin = (&[], "");

fn label_text(label: &Label) -> String {
    let names: Vec<String> =
        std::iter::once(&label.name).chain(&label.aliases).map(|name| quoted(name)).collect();
    format!("{}{}", if label.is_guess { "|" } else { "" }, names.join("|"))
}

fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(byte).collect())?
}

/// Quotes what is not a Rust name.
pub(crate) fn quoted(name: &str) -> String {
    let plain = |c: char| c == '_' || c.is_alphanumeric();
    match !name.is_empty() && name.chars().all(plain) {
        true => name.to_owned(),
        false => format!("{name:?}"),
    }
}

/// The name of a named type as the text shows it. One that reads like a type of ours is quoted.
pub(crate) fn type_name(name: &str) -> String {
    match PRIMITIVES.contains(&name)
        || name == "Option"
        || Collection::ALL.iter().any(|ours| ours.name() == name)
    {
        true => format!("{name:?}"),
        false => quoted(name),
    }
}

/// Reads a name that may be quoted.
fn unquoted(name: &str) -> Option<String> {
    let Some(quoted) = name.strip_prefix('"') else { return Some(name.to_owned()) };
    let mut plain = String::new();
    let mut rest = quoted.strip_suffix('"')?.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\\' => match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                'u' => {
                    let code: String = rest.by_ref().skip(1).take_while(|&c| c != '}').collect();
                    char::from_u32(u32::from_str_radix(&code, 16).ok()?)?
                }
                escaped => escaped,
            },
            c => c,
        });
    }
    Some(plain)
}

/// Splits `struct Name { .. }` into what it is, the name, and the rest.
fn head(line: &str) -> Option<(bool, &str, &str)> {
    let (is_enum, rest) = match line.strip_prefix("struct ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("enum ")?),
    };
    let end = name_end(rest)?;
    Some((is_enum, &rest[..end], &rest[end..]))
}

/// Returns the end of the name at the beginning of `text`: a Rust name or a quoted one, and perhaps a number.
fn name_end(text: &str) -> Option<usize> {
    let mut end = match text.strip_prefix('"') {
        Some(rest) => {
            let mut escaped = false;
            let close = rest.char_indices().find(|&(_, c)| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            });
            close?.0 + 2
        }
        None => text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len()),
    };
    if let Some(number) = text[end..].strip_prefix('#') {
        end += 1 + number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    }
    (end > 0).then_some(end)
}

/// Reads the text of types from its beginning on.
struct Parser<'a> {
    text: &'a str,
    names: &'a [&'a str],
    depth: u32,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, token: &str) -> bool {
        self.text.strip_prefix(token).map(|rest| self.text = rest).is_some()
    }

    fn name(&mut self) -> Option<&'a str> {
        let (name, rest) = self.text.split_at(name_end(self.text)?);
        self.text = rest;
        Some(name)
    }

    /// Items between here and `close`, separated by commas.
    fn list<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            if !items.is_empty() && !self.eat(", ") {
                return None;
            }
            items.push(item(self)?);
        }
        Some(items)
    }

    fn label(&mut self) -> Option<Label> {
        let is_guess = self.eat("|");
        let mut label = Label { name: unquoted(self.name()?)?, is_guess, ..Label::default() };
        while self.eat("|") {
            label.aliases.push(unquoted(self.name()?)?);
        }
        Some(label)
    }

    fn ty(&mut self) -> Option<Type> {
        if self.depth == MAX_BRACKETS {
            return None;
        }
        self.depth += 1;
        let ty = self.bracketed();
        self.depth -= 1;
        ty
    }

    fn bracketed(&mut self) -> Option<Type> {
        if self.eat("?") {
            return Some(Type::Unknown);
        }
        if self.eat("()") {
            return Some(Type::Primitive("()"));
        }
        if self.eat("[") {
            let item = self.ty()?;
            if self.eat("; ") {
                let len: usize = self.name()?.parse().ok()?;
                len.checked_mul(weight(&item)).filter(|&weight| weight < MAX_WEIGHT)?;
                return self.eat("]").then(|| Type::Tuple(vec![item; len]));
            }
            return self.eat("]").then(|| Type::Seq(Box::new(item)));
        }
        if self.eat("{") {
            let key = self.ty()?;
            let key = self.eat(": ").then_some(key)?;
            let pair = Box::new((key, self.ty()?));
            return self.eat("}").then_some(Type::Map(pair));
        }
        if self.eat("(") {
            let first = self.ty()?;
            if self.eat(",)") {
                return Some(Type::Tuple(vec![first]));
            }
            let mut types = vec![first];
            while self.eat(", ") {
                types.push(self.ty()?);
            }
            return self.eat(")").then_some(Type::Tuple(types));
        }
        let name = self.name()?;
        if self.eat("<") {
            let mut types = self.list(">", Self::ty)?;
            return match Collection::ALL.into_iter().find(|collection| collection.name() == name) {
                None if name == "Option" && types.len() == 1 => {
                    types.pop().map(|ty| Type::Option(Box::new(ty)))
                }
                Some(kind) => Some(Type::Collection(kind, types)),
                None => None,
            };
        }
        // A type that is called like a primitive was not quoted in version 1; what the text then means nobody knows.
        let (named, primitive) = (
            self.names.iter().position(|known| *known == name),
            PRIMITIVES.iter().find(|known| **known == name),
        );
        match (named, primitive) {
            (Some(index), None) => Some(Type::Named(index)),
            (None, Some(primitive)) => Some(Type::Primitive(primitive)),
            _ => None,
        }
    }

    fn structure(&mut self) -> Option<Structure> {
        if self.eat(" {}") {
            return Some(Structure::Struct(Vec::new()));
        }
        if self.eat(" { ") {
            let field = |parser: &mut Self| {
                let label = parser.label()?;
                parser.eat(": ").then_some(())?;
                Some((label, parser.ty()?))
            };
            return self.list(" }", field).map(Structure::Struct);
        }
        if self.eat("(") {
            let mut types = self.list(")", Self::ty)?;
            return match types.len() {
                1 => types.pop().map(Structure::Newtype),
                _ => Some(Structure::Tuple(types)),
            };
        }
        Some(Structure::Unit)
    }

    fn variants(&mut self) -> Option<Structure> {
        if self.eat(" {}") {
            return Some(Structure::Enum(Vec::new()));
        }
        let variant = |parser: &mut Self| Some((parser.label()?, parser.structure()?));
        self.eat(" { ").then_some(())?;
        self.list(" }", variant).map(Structure::Enum)
    }
}
