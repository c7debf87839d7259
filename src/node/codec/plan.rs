//! A recorded shape as a tree: what [`driven`](super::driven) decoding follows where the type asked for has changed.
//!
//! A type may have grown since it was recorded: fields with a default, at any place, and variants. Everything else is
//! another shape.

use super::session::Collection;
use super::shape::Shape;

/// A type, as a shape records it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ty {
    /// What the trace could not reach.
    Unknown,
    Primitive(String),
    Option(Box<Ty>),
    Seq(Box<Ty>),
    Map(Box<(Ty, Ty)>),
    Tuple(Vec<Ty>),
    /// The items of one of ours: entries are tuples of a key and a value.
    Collection(Collection, Box<Ty>),
    /// Index of a definition.
    Named(usize),
}

/// What a named type, or a variant, consists of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Unit,
    Newtype(Ty),
    Tuple(Vec<Ty>),
    Struct(Vec<(String, Ty)>),
    Enum(Vec<(String, Form)>),
}

/// A recorded shape, taken apart.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    pub root: Ty,
    names: Vec<String>,
    forms: Vec<Form>,
}

/// A field that was added: all fields of its struct as they are now, and which one it is.
pub(crate) type Added = (Vec<String>, usize);

const PRIMITIVES: [&str; 17] = [
    "bool", "i8", "i16", "i32", "i64", "i128", "u8", "u16", "u32", "u64", "u128", "f32", "f64", "char",
    "str", "bytes", "()",
];

impl Plan {
    /// Takes a shape apart; `None` where it cannot be told what its text means (a type that is named like a primitive).
    pub(crate) fn of(shape: &Shape) -> Option<Self> {
        let text = shape.to_text();
        let mut lines = text.lines();
        let root = lines.next()?;
        let lines: Vec<&str> = lines.collect();
        let heads = lines.iter().map(|line| head(line)).collect::<Option<Vec<_>>>()?;
        let names: Vec<String> = heads.iter().map(|(_, name, _)| (*name).to_owned()).collect();
        if names.iter().any(|name| PRIMITIVES.contains(&name.as_str())) {
            return None;
        }
        let parser = |text| Parser { text, names: &names };
        let forms = heads.iter().map(|&(is_enum, _, body)| {
            let mut parser = parser(body);
            let form = if is_enum { parser.variants()? } else { parser.form()? };
            parser.text.is_empty().then_some(form)
        });
        let forms = forms.collect::<Option<Vec<_>>>()?;
        let mut parser = parser(root);
        let root = parser.ty()?;
        parser.text.is_empty().then_some(Self { root, names, forms })
    }

    /// What a named type consists of.
    pub(crate) fn form(&self, index: usize) -> &Form {
        &self.forms[index]
    }

    /// Compares with a later shape of the type: the fields that were added; `None` if more than that has changed.
    pub(crate) fn grown_into(&self, later: &Self) -> Option<Vec<Added>> {
        let mut comparison = Comparison { old: self, new: later, met: Vec::new(), added: Vec::new() };
        comparison.ty(&self.root, &later.root).then_some(comparison.added)
    }
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

/// Where the name at the beginning of `text` ends: a Rust name or a quoted one, and perhaps a number.
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
    names: &'a [String],
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

    fn ty(&mut self) -> Option<Ty> {
        if self.eat("?") {
            return Some(Ty::Unknown);
        }
        if self.eat("()") {
            return Some(Ty::Primitive("()".into()));
        }
        if self.eat("[") {
            let item = self.ty()?;
            if self.eat("; ") {
                let len = self.name()?.parse().ok().filter(|&len: &usize| len < 1 << 16)?;
                return self.eat("]").then(|| Ty::Tuple(vec![item; len]));
            }
            return self.eat("]").then(|| Ty::Seq(Box::new(item)));
        }
        if self.eat("{") {
            let key = self.ty()?;
            let pair = self.eat(": ").then_some(key)?;
            let pair = Box::new((pair, self.ty()?));
            return self.eat("}").then_some(Ty::Map(pair));
        }
        if self.eat("(") {
            let first = self.ty()?;
            if self.eat(",)") {
                return Some(Ty::Tuple(vec![first]));
            }
            let mut types = vec![first];
            while self.eat(", ") {
                types.push(self.ty()?);
            }
            return self.eat(")").then_some(Ty::Tuple(types));
        }
        let name = self.name()?;
        if self.eat("<") {
            let mut types = self.list(">", Self::ty)?;
            let first = if types.is_empty() { return None } else { types.remove(0) };
            let unit = Ty::Primitive("()".into());
            return match (name, Collection::ALL.into_iter().find(|collection| collection.name() == name)) {
                ("Option", _) => Some(Ty::Option(Box::new(first))),
                (_, Some(kind @ Collection::Vector)) => Some(Ty::Collection(kind, Box::new(first))),
                // A set is a map of nothing.
                (_, Some(kind)) => {
                    let second = types.pop().unwrap_or(unit);
                    Some(Ty::Collection(kind, Box::new(Ty::Tuple(vec![first, second]))))
                }
                (_, None) => None,
            };
        }
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return Some(Ty::Named(index));
        }
        PRIMITIVES.contains(&name).then(|| Ty::Primitive(name.to_owned()))
    }

    fn form(&mut self) -> Option<Form> {
        if self.eat(" {}") {
            return Some(Form::Struct(Vec::new()));
        }
        if self.eat(" { ") {
            let field = |parser: &mut Self| {
                let name = unquoted(parser.name()?)?;
                parser.eat(": ").then_some(())?;
                Some((name, parser.ty()?))
            };
            return self.list(" }", field).map(Form::Struct);
        }
        if self.eat("(") {
            let mut types = self.list(")", Self::ty)?;
            return match types.len() {
                1 => types.pop().map(Form::Newtype),
                _ => Some(Form::Tuple(types)),
            };
        }
        Some(Form::Unit)
    }

    fn variants(&mut self) -> Option<Form> {
        if self.eat(" {}") {
            return Some(Form::Enum(Vec::new()));
        }
        let variant = |parser: &mut Self| Some((unquoted(parser.name()?)?, parser.form()?));
        self.eat(" { ").then_some(())?;
        self.list(" }", variant).map(Form::Enum)
    }
}

/// The name that is written quoted where it is no Rust name.
fn unquoted(name: &str) -> Option<String> {
    let Some(quoted) = name.strip_prefix('"') else { return Some(name.to_owned()) };
    let quoted = quoted.strip_suffix('"')?;
    // Escapes of other characters than these two are too rare to be followed.
    let plain = quoted.replace("\\\"", "\u{0}").replace("\\\\", "\u{1}");
    (!plain.contains('\\')).then(|| plain.replace('\u{0}', "\"").replace('\u{1}', "\\"))
}

/// A walk over two shapes at once.
struct Comparison<'a> {
    old: &'a Plan,
    new: &'a Plan,
    /// Named types that are being, or were, compared.
    met: Vec<(usize, usize)>,
    added: Vec<Added>,
}

impl Comparison<'_> {
    fn ty(&mut self, old: &Ty, new: &Ty) -> bool {
        match (old, new) {
            (Ty::Unknown, Ty::Unknown) => true,
            (Ty::Primitive(old), Ty::Primitive(new)) => old == new,
            (Ty::Option(old), Ty::Option(new)) | (Ty::Seq(old), Ty::Seq(new)) => self.ty(old, new),
            (Ty::Map(old), Ty::Map(new)) => self.ty(&old.0, &new.0) && self.ty(&old.1, &new.1),
            (Ty::Tuple(old), Ty::Tuple(new)) => self.types(old, new),
            (Ty::Collection(old, item), Ty::Collection(new, new_item)) => {
                old == new && self.ty(item, new_item)
            }
            (&Ty::Named(old), &Ty::Named(new)) => {
                if self.met.contains(&(old, new)) {
                    return true;
                }
                self.met.push((old, new));
                let plain = |name: &str| name.split('#').next().map(str::to_owned);
                plain(&self.old.names[old]) == plain(&self.new.names[new])
                    && self.form(&self.old.forms[old], &self.new.forms[new])
            }
            _ => false,
        }
    }

    fn types(&mut self, old: &[Ty], new: &[Ty]) -> bool {
        old.len() == new.len() && old.iter().zip(new).all(|(old, new)| self.ty(old, new))
    }

    fn form(&mut self, old: &Form, new: &Form) -> bool {
        match (old, new) {
            (Form::Unit, Form::Unit) => true,
            (Form::Newtype(old), Form::Newtype(new)) => self.ty(old, new),
            (Form::Tuple(old), Form::Tuple(new)) => self.types(old, new),
            (Form::Struct(old), Form::Struct(new)) => self.fields(old, new),
            (Form::Enum(old), Form::Enum(new)) => old.iter().all(|(name, form)| {
                new.iter().find(|(other, _)| other == name).is_some_and(|(_, new)| self.form(form, new))
            }),
            _ => false,
        }
    }

    fn fields(&mut self, old: &[(String, Ty)], new: &[(String, Ty)]) -> bool {
        let find = |name: &String| new.iter().find(|(other, _)| other == name);
        if !old.iter().all(|(name, ty)| find(name).is_some_and(|(_, new)| self.ty(ty, new))) {
            return false;
        }
        let names: Vec<String> = new.iter().map(|(name, _)| name.clone()).collect();
        let is_new = |name: &String| old.iter().all(|(other, _)| other != name);
        for at in (0..names.len()).filter(|&at| is_new(&names[at])) {
            self.added.push((names.clone(), at));
        }
        true
    }
}
