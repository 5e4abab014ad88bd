//! Owns the vocabulary of what is seen of a value while it is encoded or decoded.
//!
//! Invariant: it says what both directions see. Names of types are not part of it, nor is how a
//! type holds its text and bytes, so these may change without anybody noticing.

use crate::record::content::ContentKind;

/// Told of every call, in order. What is called for the sake of a [trace](super::trace) alone does
/// nothing unless it is overridden.
pub(in crate::record) trait Observer {
    fn leaf(&self, leaf: Leaf);
    /// An option; if it is `some`, the value comes next.
    fn option(&self, is_some: bool);
    /// A variant; what it carries comes next.
    fn variant(&self, variant: Variant);
    /// A newtype struct that says what kind of content it holds; its value comes next.
    fn kind(&self, kind: ContentKind);
    /// A compound begins.
    #[inline]
    fn open(&self, _opened: Opened) {}
    /// The next value of the compound begins.
    #[inline]
    fn item(&self, _item: Item) {}
    fn close(&self, closed: Closed);
}

/// A value that holds no other.
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
    /// `None` if the type lists none at this number, which is the end of the work on the value.
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
    /// With the fields that `Deserialize` lists. `Serialize` lists none beforehand.
    Struct {
        name: &'static str,
        listed: Option<&'static [&'static str]>,
    },
}

/// Which value of a compound comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum Item {
    /// The next element of a list or a tuple.
    Element,
    Key,
    Value,
    /// A field that `Serialize` names.
    Field(&'static str),
    /// The field at this place of those that `Deserialize` lists.
    FieldAt(usize),
}

/// A compound that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) enum Closed {
    /// With as many elements.
    List(usize),
    /// With as many entries.
    Map(usize),
    /// With as many elements.
    Tuple(usize),
    /// With the digest of its fields' names, in order.
    Struct(u64),
}
