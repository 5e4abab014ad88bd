//! BSON, as far as commands and answers need it: documents written by name and value, and views of
//! received documents.
//!
//! Invariant: received documents are read in place, with every length checked against the present
//! bytes; nesting is followed only as deep as the caller asks. This file knows no command.

/// A document to send.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// Begins with room for the length.
    bytes: Vec<u8>,
}

/// A value for a document.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Short(i32),
    Number(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Uuid([u8; 16]),
    Document(Document),
    List(Vec<Value<'a>>),
}

const DOUBLE: u8 = 1;
const TEXT: u8 = 2;
const DOCUMENT: u8 = 3;
const LIST: u8 = 4;
const BINARY: u8 = 5;
const UNDEFINED: u8 = 6;
const OBJECT_ID: u8 = 7;
const BOOL: u8 = 8;
const DATE: u8 = 9;
const NULL: u8 = 10;
const INT32: u8 = 16;
const TIMESTAMP: u8 = 17;
const INT64: u8 = 18;
const DECIMAL: u8 = 19;

const GENERIC: u8 = 0;
const UUID: u8 = 4;

/// A document from its names and values.
macro_rules! bson {
    ($($name:literal: $value:expr),* $(,)?) => {
        $crate::engine::mongodb::bson::Document::new()$(.with($name, $value))*
    };
}
pub(super) use bson;

/// A list of values of any types.
macro_rules! list {
    ($($value:expr),* $(,)?) => {
        $crate::engine::mongodb::bson::Value::List(vec![$($value.into()),*])
    };
}
pub(super) use list;

impl Document {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; 4] }
    }

    #[must_use]
    pub(super) fn with<'a>(mut self, name: &str, value: impl Into<Value<'a>>) -> Self {
        self.push(name, value.into());
        self
    }

    /// As `with`, if there is a value.
    #[must_use]
    pub(super) fn with_some<'a>(self, name: &str, value: Option<impl Into<Value<'a>>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == 4
    }

    /// The document with its length and its end.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.push(0);
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        for (place, byte) in self.bytes.iter_mut().zip(length) {
            *place = byte;
        }
        self.bytes
    }

    fn push(&mut self, name: &str, value: Value<'_>) {
        let tag = match &value {
            Value::Bool(_) => BOOL,
            Value::Short(_) => INT32,
            Value::Number(_) => INT64,
            Value::Text(_) => TEXT,
            Value::Bytes(_) | Value::Uuid(_) => BINARY,
            Value::Document(_) => DOCUMENT,
            Value::List(_) => LIST,
        };
        self.bytes.push(tag);
        // A zero byte ends a name. No name of this crate has one.
        self.bytes.extend(name.bytes().filter(|byte| *byte != 0));
        self.bytes.push(0);
        match value {
            Value::Bool(yes) => self.bytes.push(u8::from(yes)),
            Value::Short(number) => self.bytes.extend(number.to_le_bytes()),
            Value::Number(number) => self.bytes.extend(number.to_le_bytes()),
            Value::Text(text) => {
                self.push_length(text.len() + 1);
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.push(0);
            }
            Value::Bytes(bytes) => self.push_binary(GENERIC, bytes),
            Value::Uuid(bytes) => self.push_binary(UUID, &bytes),
            Value::Document(document) => self.bytes.extend_from_slice(&document.into_bytes()),
            Value::List(values) => {
                let mut list = Self::new();
                for (at, value) in values.into_iter().enumerate() {
                    list.push(&at.to_string(), value);
                }
                self.bytes.extend_from_slice(&list.into_bytes());
            }
        }
    }

    fn push_length(&mut self, length: usize) {
        self.bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn push_binary(&mut self, kind: u8, bytes: &[u8]) {
        self.push_length(bytes.len());
        self.bytes.push(kind);
        self.bytes.extend_from_slice(bytes);
    }
}

macro_rules! from {
    ($($type:ty => $kind:ident),*) => {$(
        impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                Self::$kind(value)
            }
        }
    )*};
}
from!(bool => Bool, i32 => Short, i64 => Number, &'a str => Text, &'a [u8] => Bytes,
    Document => Document, Vec<Value<'a>> => List);

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a crate::key::SessionKey> for Value<'a> {
    fn from(key: &'a crate::key::SessionKey) -> Self {
        Self::Bytes(key.as_bytes())
    }
}

/// A received document.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// Without the length and the end.
    elements: &'a [u8],
}

/// A received value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    Double(f64),
    Text(&'a str),
    Document(View<'a>),
    List(View<'a>),
    Bytes(&'a [u8]),
    Bool(bool),
    Number(i64),
    Null,
    /// A type that is never requested.
    Other,
}

impl<'a> View<'a> {
    /// The document at the beginning of the bytes, and the bytes after it.
    pub(super) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, _) = number32(bytes)?;
        let (document, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
        let (end, elements) = document.get(4..)?.split_last()?;
        (*end == 0).then_some((Self { elements }, rest))
    }

    pub(super) const fn empty() -> Self {
        View { elements: &[] }
    }

    /// The document that is all of the bytes.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        Self::split(bytes).filter(|(_, rest)| rest.is_empty()).map(|(view, _)| view)
    }

    /// The length of the names and values, in bytes.
    pub(super) const fn len(self) -> usize {
        self.elements.len()
    }

    pub(super) fn get(self, name: &str) -> Option<Found<'a>> {
        self.values().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// A number of any type.
    pub(super) fn number(self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Found::Number(number) => Some(number),
            Found::Double(number) if number.fract() == 0.0 => Some(number as i64),
            Found::Bool(yes) => Some(i64::from(yes)),
            _ => None,
        }
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Found::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bytes(self, name: &str) -> Option<&'a [u8]> {
        match self.get(name)? {
            Found::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn document(self, name: &str) -> Option<View<'a>> {
        match self.get(name)? {
            Found::Document(document) => Some(document),
            _ => None,
        }
    }

    /// The items of a list; none if there is no list.
    pub(super) fn list(self, name: &str) -> impl Iterator<Item = Found<'a>> {
        let list = match self.get(name) {
            Some(Found::List(list)) => list,
            _ => View { elements: &[] },
        };
        list.values().map(|(_, value)| value)
    }

    /// Names and values, up to the first malformed one.
    fn values(self) -> impl Iterator<Item = (&'a [u8], Found<'a>)> {
        let mut rest = self.elements;
        std::iter::from_fn(move || {
            let (name, value, after) = element(rest)?;
            rest = after;
            Some((name, value))
        })
    }
}

/// The first element's name and value, and the bytes after it.
fn element(bytes: &[u8]) -> Option<(&[u8], Found<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let end = memchr::memchr(0, rest)?;
    let (name, rest) = (rest.get(..end)?, rest.get(end + 1..)?);
    let fixed = |length: usize| rest.split_at_checked(length);
    let (value, rest) = match *tag {
        DOUBLE => rest
            .split_first_chunk()
            .map(|(b, rest)| (Found::Double(f64::from_le_bytes(*b)), rest))?,
        TEXT => {
            let (length, rest) = number32(rest)?;
            let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            let (end, text) = text.split_last()?;
            let text = (*end == 0).then_some(text)?;
            (Found::Text(std::str::from_utf8(text).ok()?), rest)
        }
        DOCUMENT => View::split(rest).map(|(view, rest)| (Found::Document(view), rest))?,
        LIST => View::split(rest).map(|(view, rest)| (Found::List(view), rest))?,
        BINARY => {
            let (length, rest) = number32(rest)?;
            let (_, rest) = rest.split_first()?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Found::Bytes(bytes), rest)
        }
        OBJECT_ID => fixed(12).map(|(bytes, rest)| (Found::Bytes(bytes), rest))?,
        BOOL => rest.split_first().map(|(byte, rest)| (Found::Bool(*byte != 0), rest))?,
        UNDEFINED | NULL => (Found::Null, rest),
        INT32 => number32(rest).map(|(number, rest)| (Found::Number(number.into()), rest))?,
        INT64 | DATE => rest
            .split_first_chunk()
            .map(|(b, rest)| (Found::Number(i64::from_le_bytes(*b)), rest))?,
        TIMESTAMP => fixed(8).map(|(_, rest)| (Found::Other, rest))?,
        DECIMAL => fixed(16).map(|(_, rest)| (Found::Other, rest))?,
        _ => return None,
    };
    Some((name, value, rest))
}

fn number32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (i32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_what_the_specification_shows() {
        let hello = bson! { "hello": "world" }.into_bytes();
        assert_eq!(hello, b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0");
        assert_eq!(bson! {}.into_bytes(), b"\x05\0\0\0\0");
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = bson! {
            "yes": true, "short": -1, "long": i64::MIN, "text": "é", "bytes": &b"\0\xff"[..],
            "inner": bson! { "n": 7_i64 }, "list": list![1, "two"],
        }
        .into_bytes();
        let view = View::parse(&bytes).unwrap();
        assert!(matches!(view.get("yes"), Some(Found::Bool(true))));
        assert_eq!((view.number("short"), view.number("long")), (Some(-1), Some(i64::MIN)));
        assert_eq!((view.text("text"), view.bytes("bytes")), (Some("é"), Some(&b"\0\xff"[..])));
        assert_eq!(view.document("inner").unwrap().number("n"), Some(7));
        let list: Vec<_> = view.list("list").collect();
        assert!(matches!(list[..], [Found::Number(1), Found::Text("two")]));
        assert!(view.get("none").is_none() && view.list("none").next().is_none());
    }

    #[test]
    fn what_is_malformed_or_cut_off_is_no_document_or_ends_there() {
        let whole = bson! { "a": 1, "b": bson! { "c": "text" }, "d": &b"xyz"[..] }.into_bytes();
        for length in 0..whole.len() {
            assert!(View::parse(&whole[..length]).is_none(), "{length}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                if let Some(view) = View::parse(&bytes) {
                    let _ = (view.values().count(), view.number("a"), view.bytes("d"));
                    let _ = view.document("b").and_then(|inner| inner.text("c"));
                }
            }
        }
    }
}
