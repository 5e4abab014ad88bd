//! Owns the events that are reported while a value is encoded or decoded.
//!
//! Invariant: an event is one that both directions report. Names of types are not reported, nor how
//! a type stores its text and bytes, so these may change without another shape.

use crate::record::content::ContentKind;

/// Receives every call, in order. The calls that only a [trace](super::trace) needs do nothing by
/// default.
pub(in crate::record) trait Observer {
    fn leaf(&self, leaf: Leaf);
    /// An option; if it is `some`, the value comes next.
    fn option(&self, is_some: bool);
    /// A variant; what it carries comes next.
    fn variant(&self, variant: Variant);
    /// A newtype struct that names its kind of content; its value comes next.
    fn kind(&self, kind: ContentKind);
    /// A compound begins.
    fn open(&self, opened: Opened);
    /// The next value of the compound begins.
    #[inline]
    fn item(&self, _item: Item) {}
    fn close(&self, closed: Closed);
}

/// A value that contains no other value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::record) enum Leaf {
    Unit = 1,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Text,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) struct Variant {
    pub(in crate::record) of: &'static str,
    pub(in crate::record) number: u32,
    /// `None` if the type lists no variant at this number, which ends the work on the value.
    pub(in crate::record) name: Option<&'static str>,
    pub(in crate::record) carries: Carries,
}

/// What a variant carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::record) enum Carries {
    Nothing,
    Value,
    Tuple,
    Struct,
}

/// A compound that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum Opened {
    List,
    Map,
    Tuple,
    /// With the fields that `Deserialize` lists. `Serialize` lists none in advance.
    Struct {
        name: &'static str,
        listed: Option<&'static [&'static str]>,
    },
}

/// The next value of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum Item {
    /// The next element of a list or a tuple.
    Element,
    Key,
    Value,
    /// A field that `Serialize` names.
    Field(&'static str),
    /// The field at this position in the list of `Deserialize`.
    FieldAt(usize),
}

/// A compound that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum Closed {
    /// With this number of elements.
    List(usize),
    /// With this number of entries.
    Map(usize),
    /// With this number of elements.
    Tuple(usize),
    /// With the digest of its fields' names, in order.
    Struct(u64),
}
