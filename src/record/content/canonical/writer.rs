//! Owns the serializer that writes the canonical form.
//!
//! Invariant: each call begins with its own tag, texts and bytes with their length, and each
//! compound ends with a tag; so two different sequences of calls never write the same bytes.

use std::any::type_name;
use std::fmt::Display;

use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::compounds::{Fields, Items};
use super::unordered::is_unordered;
use super::{Canonical, Sorting};
use crate::record::content::ContentKind;

/// Writes one value.
pub(super) struct CanonicalWriter<'a> {
    form: &'a mut Canonical,
    /// The type that may have no order, by its name from `std::any::type_name`.
    type_name: &'static str,
    /// Whether the value is inside a JSON text.
    is_json: bool,
}

/// A value without canonical form: its `Serialize` failed.
#[derive(Debug)]
pub(super) struct Failed;

impl Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("`Serialize` failed")
    }
}

impl std::error::Error for Failed {}

impl Error for Failed {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Unit,
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
    None,
    Some,
    UnitVariant,
    NewtypeVariant,
    TupleVariant,
    StructVariant,
    List,
    Tuple,
    Map,
    Struct,
    Field,
    Left,
    End,
}

impl Canonical {
    pub(super) fn tag(&mut self, tag: Tag) {
        self.bytes.push(tag as u8);
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(text);
    }
}

impl<'a> CanonicalWriter<'a> {
    pub(super) fn outermost<T: ?Sized>(form: &'a mut Canonical) -> Self {
        Self::of::<T>(form, false)
    }

    pub(super) fn of<T: ?Sized>(form: &'a mut Canonical, is_json: bool) -> Self {
        Self { form, type_name: type_name::<T>(), is_json }
    }

    fn list(self, tag: Tag) -> Items<'a> {
        let is_unordered = is_unordered(self.type_name);
        self.items(tag, is_unordered)
    }

    /// A list from an iterator. The type of either may have no order: a wrapper passes the iterator
    /// of what it holds, and a collection may have an iterator of its own.
    fn list_from<I>(self, tag: Tag) -> Items<'a> {
        let is_unordered = is_unordered(self.type_name) || is_unordered(type_name::<I>());
        self.items(tag, is_unordered)
    }

    fn items(self, tag: Tag, is_unordered: bool) -> Items<'a> {
        self.form.tag(tag);
        // `flatten` and `tag` write the entries of a map under the name of another type. The
        // members of a JSON object have no order.
        let has_no_order = is_unordered || self.is_json && tag == Tag::Map;
        let is_sorted = match self.form.sorting {
            Sorting::None => false,
            Sorting::Unordered => has_no_order,
            Sorting::All => tag != Tag::Tuple,
        };
        Items::new(self.form, self.is_json, is_sorted, !has_no_order)
    }

    fn fields(self, structure: &'static str) -> Fields<'a> {
        Fields::new(self.form, self.is_json, structure)
    }
}

macro_rules! numbers {
    ($($method:ident($value:ty) is $tag:ident)*) => {$(
        fn $method(self, v: $value) -> Result<(), Failed> {
            self.form.tag(Tag::$tag);
            self.form.bytes.extend_from_slice(&v.to_le_bytes());
            Ok(())
        }
    )*};
}

impl<'a> Serializer for CanonicalWriter<'a> {
    type Ok = ();
    type Error = Failed;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    numbers! {
        serialize_i8(i8) is I8
        serialize_i16(i16) is I16
        serialize_i32(i32) is I32
        serialize_i64(i64) is I64
        serialize_i128(i128) is I128
        serialize_u8(u8) is U8
        serialize_u16(u16) is U16
        serialize_u32(u32) is U32
        serialize_u64(u64) is U64
        serialize_u128(u128) is U128
        serialize_f32(f32) is F32
        serialize_f64(f64) is F64
    }

    fn serialize_bool(self, v: bool) -> Result<(), Failed> {
        self.form.tag(Tag::Bool);
        self.form.bytes.push(u8::from(v));
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), Failed> {
        self.form.tag(Tag::Char);
        self.form.bytes.extend_from_slice(&u32::from(v).to_le_bytes());
        Ok(())
    }

    fn serialize_str(self, v: &str) -> Result<(), Failed> {
        self.form.tag(Tag::Text);
        self.form.text(v.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Failed> {
        self.form.tag(Tag::Bytes);
        self.form.text(v);
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Failed> {
        self.form.tag(Tag::Unit);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Failed> {
        self.serialize_unit()
    }

    fn serialize_none(self) -> Result<(), Failed> {
        self.form.tag(Tag::None);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Failed> {
        self.form.tag(Tag::Some);
        value.serialize(CanonicalWriter::of::<T>(self.form, self.is_json))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        // A JSON text is compared as the value that it represents.
        let is_json = self.is_json || ContentKind::marked_by(name) == Some(ContentKind::Json);
        value.serialize(CanonicalWriter::of::<T>(self.form, is_json))
    }

    fn serialize_unit_variant(
        self,
        _of: &'static str,
        _number: u32,
        name: &'static str,
    ) -> Result<(), Failed> {
        self.form.tag(Tag::UnitVariant);
        self.form.text(name.as_bytes());
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _of: &'static str,
        _number: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.form.tag(Tag::NewtypeVariant);
        self.form.text(name.as_bytes());
        value.serialize(CanonicalWriter::of::<T>(self.form, self.is_json))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Items<'a>, Failed> {
        Ok(self.list(Tag::List))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Items<'a>, Failed> {
        Ok(Self { type_name: "", ..self }.list(Tag::Tuple))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items<'a>, Failed> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _of: &'static str,
        _number: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Items<'a>, Failed> {
        self.form.tag(Tag::TupleVariant);
        self.form.text(name.as_bytes());
        self.serialize_tuple(len)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Items<'a>, Failed> {
        Ok(self.list(Tag::Map))
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Fields<'a>, Failed> {
        self.form.tag(Tag::Struct);
        Ok(self.fields(name))
    }

    fn serialize_struct_variant(
        self,
        _of: &'static str,
        _number: u32,
        name: &'static str,
        _len: usize,
    ) -> Result<Fields<'a>, Failed> {
        self.form.tag(Tag::StructVariant);
        self.form.text(name.as_bytes());
        Ok(self.fields(name))
    }

    fn collect_seq<I>(self, iter: I) -> Result<(), Failed>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let mut items = self.list_from::<I>(Tag::List);
        iter.into_iter().try_for_each(|item| SerializeSeq::serialize_element(&mut items, &item))?;
        SerializeSeq::end(items)
    }

    fn collect_map<K, V, I>(self, iter: I) -> Result<(), Failed>
    where
        I: IntoIterator<Item = (K, V)>,
        K: Serialize,
        V: Serialize,
    {
        let mut items = self.list_from::<I>(Tag::Map);
        iter.into_iter().try_for_each(|(key, value)| items.serialize_entry(&key, &value))?;
        SerializeMap::end(items)
    }

    fn is_human_readable(&self) -> bool {
        self.is_json
    }
}
