//! Owns the trace of a value, which shows where `Serialize` and `Deserialize` disagree.
//!
//! A trace is made only after a failure. Memory and time are bounded: a part of the events is kept
//! at a time, each part costs a pass over the value, and there are at most [`PARTS`](Trace::PARTS).

use std::cell::{Cell, RefCell};
use std::fmt;

use super::observer::{Carries, Closed, Item, Leaf, Observer, Opened, Variant};
use crate::record::content::ContentKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum Event {
    Leaf(Leaf),
    Option(bool),
    Variant(Variant),
    Kind(ContentKind),
    Open(Opened),
    Item(Item),
    Close(Closed),
}

/// Keeps the events after the first ones, up to [`PART`](Self::PART).
pub(in crate::record) struct Trace {
    to_skip: Cell<usize>,
    events: RefCell<Vec<Event>>,
    /// The path to the last event that was skipped.
    skipped: RefCell<Path>,
}

impl Trace {
    /// The most events that are kept: 10 MiB. Content of 16 MiB can have eighty million.
    pub(in crate::record) const PART: usize = 256 * 1024;

    /// The most parts that are compared: a client may be able to choose content that is refused.
    pub(in crate::record) const PARTS: usize = 4;

    /// Skips the first events.
    pub(in crate::record) fn after(skipped: usize) -> Self {
        Self {
            to_skip: Cell::new(skipped),
            events: RefCell::default(),
            skipped: RefCell::default(),
        }
    }

    /// Keeps no event, only the path to the last one.
    pub(in crate::record) fn of_the_end() -> Self {
        Self::after(usize::MAX)
    }

    pub(in crate::record) fn into_path(self) -> Path {
        self.skipped.into_inner()
    }

    pub(in crate::record) fn into_events(self) -> Vec<Event> {
        self.events.into_inner()
    }

    fn push(&self, event: Event) {
        if let Some(left) = self.to_skip.get().checked_sub(1) {
            self.to_skip.set(left);
            self.skipped.borrow_mut().follow(event);
            return;
        }
        let mut events = self.events.borrow_mut();
        if events.len() < Self::PART {
            events.push(event);
        }
    }
}

impl Observer for Trace {
    fn leaf(&self, leaf: Leaf) {
        self.push(Event::Leaf(leaf));
    }

    fn option(&self, is_some: bool) {
        self.push(Event::Option(is_some));
    }

    fn variant(&self, variant: Variant) {
        self.push(Event::Variant(variant));
    }

    fn kind(&self, kind: ContentKind) {
        self.push(Event::Kind(kind));
    }

    fn open(&self, opened: Opened) {
        self.push(Event::Open(opened));
    }

    fn item(&self, item: Item) {
        self.push(Event::Item(item));
    }

    fn close(&self, closed: Closed) {
        self.push(Event::Close(closed));
    }
}

/// The path to a place in a value, as `Cart.items[2].price`.
#[derive(Default)]
pub(in crate::record) struct Path {
    levels: Vec<Level>,
}

struct Level {
    opened: Opened,
    item: Option<Item>,
    number: usize,
}

impl Path {
    pub(in crate::record) fn follow(&mut self, event: Event) {
        match event {
            Event::Open(opened) => self.levels.push(Level { opened, item: None, number: 0 }),
            Event::Close(_) => drop(self.levels.pop()),
            Event::Item(item) => {
                if let Some(level) = self.levels.last_mut() {
                    level.number += usize::from(level.item.is_some() && item != Item::Value);
                    level.item = Some(item);
                }
            }
            _ => {}
        }
    }

    /// The struct at this place, if it is one.
    pub(in crate::record) fn structure(&self) -> Option<&'static str> {
        match self.levels.last()?.opened {
            Opened::Struct { name, .. } => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for level in &self.levels {
            if let (true, Opened::Struct { name, .. }) = (is_first, level.opened) {
                formatter.write_str(name)?;
            } else if is_first {
                formatter.write_str("the content")?;
            }
            is_first = false;
            let listed = match level.opened {
                Opened::Struct { listed, .. } => listed.unwrap_or_default(),
                _ => &[],
            };
            match level.item {
                Some(Item::Field(name)) => write!(formatter, ".{name}")?,
                Some(Item::FieldAt(at)) => match listed.get(at) {
                    Some(name) => write!(formatter, ".{name}")?,
                    None => write!(formatter, ".{at}")?,
                },
                Some(Item::Element) if level.opened == Opened::Tuple => {
                    write!(formatter, ".{}", level.number)?;
                }
                Some(Item::Element) => write!(formatter, "[{}]", level.number)?,
                Some(Item::Key) => formatter.write_str("[a key]")?,
                Some(Item::Value) => formatter.write_str("[a value]")?,
                None => {}
            }
        }
        if is_first { formatter.write_str("the content itself") } else { Ok(()) }
    }
}

/// An event in words, for an error: what `Serialize` wrote, or what `Deserialize` requested.
impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Leaf(leaf) => leaf.word(),
            Self::Option(_) => "an option",
            Self::Variant(Variant { name: Some(name), .. }) => {
                return write!(formatter, "the variant `{name}`");
            }
            Self::Variant(Variant { number, .. }) => {
                return write!(formatter, "a variant number {number} that it does not list");
            }
            Self::Kind(kind) => return write!(formatter, "{kind}"),
            Self::Open(Opened::List) => "a list",
            Self::Open(Opened::Map) => "a map",
            Self::Open(Opened::Tuple) => "a tuple",
            Self::Open(Opened::Struct { name, .. }) => {
                return write!(formatter, "the struct `{name}`");
            }
            Self::Item(Item::Field(name)) => return write!(formatter, "the field `{name}`"),
            Self::Item(_) => "one more value",
            Self::Close(Closed::List(_) | Closed::Map(_) | Closed::Tuple(_)) => "no more values",
            Self::Close(Closed::Struct(_)) => "no more fields",
        };
        formatter.write_str(text)
    }
}

impl Leaf {
    const fn word(self) -> &'static str {
        match self {
            Self::Unit => "a unit",
            Self::Bool => "a bool",
            Self::I8 => "an i8",
            Self::I16 => "an i16",
            Self::I32 => "an i32",
            Self::I64 => "an i64",
            Self::I128 => "an i128",
            Self::U8 => "a u8",
            Self::U16 => "a u16",
            Self::U32 => "a u32",
            Self::U64 => "a u64",
            Self::U128 => "a u128",
            Self::F32 => "an f32",
            Self::F64 => "an f64",
            Self::Char => "a char",
            Self::Text => "a text",
            Self::Bytes => "bytes",
        }
    }
}

/// Compares the calls of `Serialize` with the requests of `Deserialize`, part by part.
#[derive(Default)]
pub(in crate::record) struct Comparison {
    path: Path,
    structs: Vec<Names>,
}

impl Comparison {
    /// Compares the next part of the events of both; the text says how they disagree.
    pub(in crate::record) fn go_on(
        &mut self,
        written: &[Event],
        asked: &[Event],
    ) -> Result<(), String> {
        let mut asked = asked.iter().copied();
        for event in written.iter().copied() {
            if let Some(parted) = self.parted(event, asked.next()) {
                return Err(parted);
            }
            self.path.follow(event);
        }
        match asked.next() {
            Some(request) => Err(format!(
                "`Serialize` writes no more, and `Deserialize` asks for {request} besides"
            )),
            None => Ok(()),
        }
    }

    /// The path to the end of the compared events.
    pub(in crate::record) fn into_path(self) -> Path {
        self.path
    }

    fn parted(&mut self, event: Event, request: Option<Event>) -> Option<String> {
        match (event, request) {
            (
                Event::Open(Opened::Struct { name, .. }),
                Some(Event::Open(Opened::Struct { listed, .. })),
            ) => {
                let listed = listed.unwrap_or(&[]);
                self.structs.push(Names { of: name, written: Vec::new(), listed });
                None
            }
            (Event::Item(Item::Field(name)), Some(Event::Item(Item::FieldAt(_)))) => {
                self.structs.last_mut().and_then(|names| names.write(name))
            }
            (Event::Item(Item::Field(name)), Some(Event::Close(_))) => Some(format!(
                "`Serialize` writes the field `{name}` of `{}`, which `Deserialize` does not read \
                 (`skip_deserializing`)",
                self.path.structure().unwrap_or_default()
            )),
            (Event::Close(Closed::Struct(_)), Some(Event::Item(Item::FieldAt(at)))) => {
                self.structs.last().map(|names| names.left_out(at))
            }
            (Event::Close(Closed::Struct(_)), Some(Event::Close(Closed::Struct(_)))) => {
                self.structs.pop().and_then(|names| names.unwritten())
            }
            (Event::Variant(one), Some(Event::Variant(other))) => told_of_variants(one, other),
            (event, Some(request)) if event == request => None,
            (event, request) => Some(told_of(&self.path, event, request)),
        }
    }
}

fn told_of(path: &Path, event: Event, request: Option<Event>) -> String {
    let asked = request.map_or_else(|| "nothing more".into(), |request| request.to_string());
    format!("at `{path}`, `Serialize` writes {event} and `Deserialize` asks for {asked}")
}

fn told_of_variants(written: Variant, read: Variant) -> Option<String> {
    if (written.name, written.carries) == (read.name, read.carries) {
        return None;
    }
    let (of, number) = (written.of, written.number);
    let name = written.name.unwrap_or_default();
    Some(match read.name {
        Some(other) if other != name => format!(
            "the variant `{name}` of `{of}` is written as number {number}, which is read as \
             `{other}`: skipped variants and aliases of variants have to stand behind all others"
        ),
        Some(_) => format!(
            "the variant `{name}` of `{of}` is written with {} and read with {}",
            written.carries.word(),
            read.carries.word()
        ),
        None => format!(
            "`Deserialize` does not list the variant `{name}` of `{of}`, number {number} \
             (`skip_deserializing`)"
        ),
    })
}

impl Carries {
    const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "no data",
            Self::Value => "one value",
            Self::Tuple => "a tuple",
            Self::Struct => "fields",
        }
    }
}

/// The names of a struct on both sides. With aliases, `Deserialize` lists more names than are
/// written, and nothing tells which are fields. So the stored shape could not tell two fields
/// apart.
struct Names {
    of: &'static str,
    written: Vec<&'static str>,
    listed: &'static [&'static str],
}

impl Names {
    /// The listed names after the last written one.
    fn ahead(&self) -> &'static [&'static str] {
        self.written.iter().fold(self.listed, |ahead, name| {
            let at = ahead.iter().position(|listed| listed == name);
            ahead.get(at.map_or(0, |at| at + 1)..).unwrap_or_default()
        })
    }

    fn write(&mut self, name: &'static str) -> Option<String> {
        let ahead = self.ahead();
        self.written.push(name);
        if ahead.contains(&name) {
            return None;
        }
        let of = self.of;
        Some(match (self.listed.contains(&name), ahead) {
            (false, _) => format!(
                "`Serialize` writes the field `{name}` of `{of}`, which `Deserialize` does not list \
                 (`skip_deserializing`, or another name for it)"
            ),
            (true, _) => format!(
                "`Serialize` writes the field `{name}` of `{of}` in another place than \
                 `Deserialize` reads it"
            ),
        })
    }

    /// The message for a name under which nothing is written.
    fn unwritten(&self) -> Option<String> {
        let name = self.listed.iter().find(|name| !self.written.contains(name))?;
        Some(format!(
            "`Deserialize` lists the name `{name}` for a field of `{}` that `Serialize` writes under \
             another (`alias`)",
            self.of
        ))
    }

    /// The message for a field that is read but was not written.
    fn left_out(&self, at: usize) -> String {
        let of = self.of;
        match self.listed.iter().find(|name| !self.written.contains(name)) {
            Some(name) => format!(
                "`Deserialize` reads the field `{name}` of `{of}`, which `Serialize` does not write \
                 (`skip_serializing`)"
            ),
            None => format!("`Deserialize` reads a field {at} of `{of}` that is not written"),
        }
    }
}
