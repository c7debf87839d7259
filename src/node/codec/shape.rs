//! The shape of a type as text: what a checkpoint records of its types, and what a restore compares.
//!
//! The first line is the root, then one line for each named type, in the order in which they are met from the
//! root on:
//!
//! ```text
//! World
//! struct World { players: HashMap<u64, Player>, log: Vector<Event> }
//! struct Player { name: str, hp: u32 }
//! enum Event { Joined(u64), Moved { x: f32, y: f32 }, Quit }
//! ```
//!
//! Std's sequences are `[T]`, its maps `{K: V}`; arrays, which are tuples to serde, `[T; n]`; `?` is what the trace
//! could not reach. Different types of one name are `Name`, `Name#2` …; names that are not Rust names are quoted.

use std::fmt::Write as _;

use super::trace::{Body, Named, Type, Variant};
use crate::random::HashMap;

/// The shape of a type. Equal shapes have equal bytes, as far as serde shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    root: String,
    definitions: Vec<Definition>,
}

/// One line: `struct Name`, and what stands between its braces or parentheses.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Definition {
    head: String,
    /// `{`, `(`, or nothing where there are no parts to write.
    open: Option<char>,
    parts: Vec<String>,
}

impl Shape {
    /// Returns the canonical text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.root);
        for definition in &self.definitions {
            definition.write(&mut text);
            text.push('\n');
        }
        text
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    ///
    /// Says which line is not one of a shape.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let bad = |line: &str| format!("{line:?} is not a line of a type's shape");
        let mut lines = text.strip_suffix('\n').ok_or("the text of a shape ends within a line")?.split('\n');
        let root = lines.next().filter(|root| !root.is_empty()).ok_or("a shape without a root")?.to_owned();
        let parse = |line| Definition::parse(line).ok_or_else(|| bad(line));
        let shape = Self { root, definitions: lines.map(parse).collect::<Result<_, _>>()? };
        // Only canonical text is ever written, so anything else is damage.
        (shape.to_text() == text)
            .then_some(shape)
            .ok_or_else(|| "the text of a shape is not canonical".to_owned())
    }
}

impl Definition {
    fn write(&self, text: &mut String) {
        text.push_str(&self.head);
        match self.open {
            None => {}
            Some('{') if self.parts.is_empty() => text.push_str(" {}"),
            Some('{') => _ = write!(text, " {{ {} }}", self.parts.join(", ")),
            Some(_) => _ = write!(text, "({})", self.parts.join(", ")),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        line.strip_prefix("struct ").or_else(|| line.strip_prefix("enum "))?;
        let at = positions(line, |depth, byte| depth == 1 && matches!(byte, b'{' | b'(')).first().copied();
        let Some(at) = at else { return Some(Self { head: line.to_owned(), open: None, parts: Vec::new() }) };
        let open = char::from(line.as_bytes()[at]);
        let (head, inside) = match open {
            '{' => (line[..at].strip_suffix(' ')?, line[at + 1..].strip_suffix('}')?.trim_matches(' ')),
            _ => (&line[..at], line[at + 1..].strip_suffix(')')?),
        };
        let mut parts = Vec::new();
        let mut start = 0;
        for comma in positions(inside, |depth, byte| depth == 0 && byte == b',') {
            parts.push(inside[start..comma].trim_start().to_owned());
            start = comma + 1;
        }
        if !inside.is_empty() {
            parts.push(inside[start..].trim_start().to_owned());
        }
        Some(Self { head: head.to_owned(), open: Some(open), parts })
    }
}

/// Where the bytes are that `wanted` accepts, given how deep in brackets they are (an opening bracket is inside
/// itself). Quoted names are passed over.
fn positions(text: &str, wanted: impl Fn(usize, u8) -> bool) -> Vec<usize> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    let mut found = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !quoted && wanted(depth, byte) {
            found.push(at);
        }
    }
    found
}

/// Returns the lines in which two shapes differ, `- ` as stored, `+ ` as asked for; empty where they are equal.
/// Of a type that both have, only the parts that differ are shown, indented below its name.
pub(crate) fn difference(stored: &Shape, asked: &Shape) -> String {
    let mut text = String::new();
    if stored.root != asked.root {
        _ = write!(text, "- {}\n+ {}\n", stored.root, asked.root);
    }
    let line = |sign: char, definition: &Definition, text: &mut String| {
        _ = write!(text, "{sign} ");
        definition.write(text);
        text.push('\n');
    };
    for old in &stored.definitions {
        match asked.definitions.iter().find(|new| new.head == old.head) {
            Some(new) if new == old => {}
            Some(new) if new.open == old.open && old.open == Some('{') => {
                _ = writeln!(text, "  {}", old.head);
                difference_of_parts(&old.parts, &new.parts, &mut text);
            }
            Some(new) => {
                line('-', old, &mut text);
                line('+', new, &mut text);
            }
            None => line('-', old, &mut text),
        }
    }
    for new in &asked.definitions {
        if !stored.definitions.iter().any(|old| old.head == new.head) {
            line('+', new, &mut text);
        }
    }
    if text.is_empty() && stored != asked {
        // The same types, met in another order.
        _ = write!(
            text,
            "- {}+ {}",
            stored.to_text().replace('\n', "\n- "),
            asked.to_text().replace('\n', "\n+ ")
        );
    }
    text
}

/// Writes what was taken out of, and put into, a list of fields or variants: all but a longest common subsequence.
fn difference_of_parts(old: &[String], new: &[String], text: &mut String) {
    // common[i][j]: length of a longest common subsequence of old[i..] and new[j..]
    let mut common = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            _ = writeln!(text, "-     {}", old[i]);
            i += 1;
        } else {
            _ = writeln!(text, "+     {}", new[j]);
            j += 1;
        }
    }
}

/// Makes a shape of what was traced.
pub(super) fn render(root: &Type, types: &[Named]) -> Shape {
    let mut order = Vec::new();
    root.each_named(&mut |index| visit(index, types, &mut order));
    let mut names = vec![String::new(); types.len()];
    let mut uses: HashMap<&str, u32> = HashMap::default();
    for &index in &order {
        let name = types[index].name;
        let count = uses.entry(name).or_default();
        *count += 1;
        names[index] = match *count {
            1 => quoted(name),
            count => format!("{}#{count}", quoted(name)),
        };
    }
    let definitions = order.iter().map(|&index| define(&names[index], &types[index].body, &names)).collect();
    Shape { root: render_type(root, &names), definitions }
}

/// Lists the named types that are reached from `index`, parents first.
fn visit(index: usize, types: &[Named], order: &mut Vec<usize>) {
    if !order.contains(&index) {
        order.push(index);
        types[index].body.each_named(&mut |index| visit(index, types, order));
    }
}

fn define(name: &str, body: &Body, names: &[String]) -> Definition {
    let (open, parts) = match body {
        Body::Enum(variants) => {
            let parts = variants.iter().map(|variant| render_variant(variant, names)).collect();
            return Definition { head: format!("enum {name}"), open: Some('{'), parts };
        }
        Body::Unit => (None, Vec::new()),
        Body::Newtype(ty) => (Some('('), vec![render_type(ty, names)]),
        Body::Tuple(types) => (Some('('), types.iter().map(|ty| render_type(ty, names)).collect()),
        Body::Struct(fields) => (
            Some('{'),
            fields.iter().map(|(name, ty)| format!("{}: {}", quoted(name), render_type(ty, names))).collect(),
        ),
    };
    Definition { head: format!("struct {name}"), open, parts }
}

fn render_variant(variant: &Variant, names: &[String]) -> String {
    let Definition { open, parts, .. } = define("", &variant.body, names);
    let mut text = String::new();
    Definition { head: quoted(&variant.name), open, parts }.write(&mut text);
    text
}

fn render_type(ty: &Type, names: &[String]) -> String {
    let list = |types: &[Type]| types.iter().map(|ty| render_type(ty, names)).collect::<Vec<_>>().join(", ");
    match ty {
        Type::Unknown => "?".to_owned(),
        Type::Primitive(name) => (*name).to_owned(),
        Type::Option(ty) => format!("Option<{}>", render_type(ty, names)),
        Type::Seq(ty) => format!("[{}]", render_type(ty, names)),
        Type::Map(pair) => format!("{{{}: {}}}", render_type(&pair.0, names), render_type(&pair.1, names)),
        Type::Tuple(types) => match &types[..] {
            [first, rest @ ..] if rest.len() > 2 && rest.iter().all(|ty| ty == first) => {
                format!("[{}; {}]", render_type(first, names), types.len())
            }
            [only] => format!("({},)", render_type(only, names)),
            types => format!("({})", list(types)),
        },
        Type::Collection(collection, types) => format!("{}<{}>", collection.name(), list(types)),
        Type::Named(index) => names[*index].clone(),
    }
}

/// Quotes what is not a Rust name.
fn quoted(name: &str) -> String {
    let plain = |c: char| c == '_' || c.is_alphanumeric();
    match !name.is_empty() && name.chars().all(plain) {
        true => name.to_owned(),
        false => format!("{name:?}"),
    }
}
