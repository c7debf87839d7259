//! A value as JSON text.

use std::fmt::{self, Write as _};

use super::Value;

impl fmt::Display for Value {
    /// Writes JSON: on one line, or with `{:#}` a line for each item and field. Where a number is infinite or NaN it is no
    /// JSON: see [`Number`](super::Number).
    ///
    /// ```
    /// use perennial::Value;
    ///
    /// let value = Value::from_iter([("a\n", Value::from([1.5, -0.0])), ("b", Value::Null)]);
    /// assert_eq!(value.to_string(), r#"{"a\n":[1.5,-0.0],"b":null}"#);
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self, f.alternate().then_some(0))
    }
}

/// Writes a value; `indent`: on several lines, so far to the right.
fn write(f: &mut fmt::Formatter<'_>, value: &Value, indent: Option<usize>) -> fmt::Result {
    let inner = indent.map(|indent| indent + 2);
    match value {
        Value::Null => f.write_str("null"),
        Value::Bool(value) => write!(f, "{value}"),
        Value::Number(number) => write!(f, "{number}"),
        Value::String(text) => write_text(f, text),
        Value::Array(items) if items.is_empty() => f.write_str("[]"),
        Value::Object(fields) if fields.is_empty() => f.write_str("{}"),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                f.write_str(if i == 0 { "[" } else { "," })?;
                line(f, inner)?;
                write(f, item, inner)?;
            }
            line(f, indent)?;
            f.write_str("]")
        }
        Value::Object(fields) => {
            for (i, (name, value)) in fields.iter().enumerate() {
                f.write_str(if i == 0 { "{" } else { "," })?;
                line(f, inner)?;
                write_text(f, name)?;
                f.write_str(if indent.is_some() { ": " } else { ":" })?;
                write(f, value, inner)?;
            }
            line(f, indent)?;
            f.write_str("}")
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, indent: Option<usize>) -> fmt::Result {
    indent.map_or(Ok(()), |indent| write!(f, "\n{:indent$}", ""))
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    let mut written = 0;
    for (at, c) in text.char_indices() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\0'..'\u{20}' => "",
            _ => continue,
        };
        f.write_str(&text[written..at])?;
        match escape {
            "" => write!(f, "\\u{:04x}", u32::from(c))?,
            escape => f.write_str(escape)?,
        }
        written = at + c.len_utf8();
    }
    f.write_str(&text[written..])?;
    f.write_char('"')
}
