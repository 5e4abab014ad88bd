//! Owns the canonical form of values that contain other values.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::Canonical;
use super::writer::{CanonicalWriter, Failed, Tag};

/// The elements of a list or a tuple, or the entries of a map.
pub(super) struct Items<'a> {
    form: &'a mut Canonical,
    is_json: bool,
    /// Where each element begins, if they are sorted.
    starts: Option<Vec<usize>>,
    /// Whether the order of the elements may count.
    may_have_order: bool,
}

impl<'a> Items<'a> {
    pub(super) fn new(
        form: &'a mut Canonical,
        is_json: bool,
        is_sorted: bool,
        may_have_order: bool,
    ) -> Self {
        Self { form, is_json, starts: is_sorted.then(Vec::new), may_have_order }
    }

    fn begin(&mut self) {
        let at = self.form.bytes.len();
        if let Some(starts) = &mut self.starts {
            starts.push(at);
        }
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        value.serialize(CanonicalWriter::of::<T>(self.form, self.is_json))
    }

    fn finish(self) {
        if let Some(starts) = &self.starts {
            self.form.sort(starts, self.may_have_order);
        }
        self.form.tag(Tag::End);
    }
}

/// The fields of a struct.
pub(super) struct Fields<'a> {
    form: &'a mut Canonical,
    is_json: bool,
    structure: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(form: &'a mut Canonical, is_json: bool, structure: &'static str) -> Self {
        form.depth += 1;
        Self { form, is_json, structure }
    }
}

macro_rules! unnamed {
    ($($compound:ident::$method:ident)*) => {$(
        impl $compound for Items<'_> {
            type Ok = ();
            type Error = Failed;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
                self.begin();
                self.write(value)
            }

            fn end(self) -> Result<(), Failed> {
                self.finish();
                Ok(())
            }
        }
    )*};
}

unnamed! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        self.begin();
        self.write(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.write(value)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish();
        Ok(())
    }
}

macro_rules! named {
    ($($compound:ident)*) => {$(
        impl $compound for Fields<'_> {
            type Ok = ();
            type Error = Failed;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Failed> {
                let depth = self.form.depth;
                self.form.mark(depth - 1, Some((self.structure, key)));
                self.form.tag(Tag::Field);
                self.form.text(key.as_bytes());
                value.serialize(CanonicalWriter::of::<T>(self.form, self.is_json))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), Failed> {
                self.form.tag(Tag::Left);
                self.form.text(key.as_bytes());
                Ok(())
            }

            fn end(self) -> Result<(), Failed> {
                self.form.depth -= 1;
                let depth = self.form.depth;
                self.form.mark(depth, None);
                self.form.tag(Tag::End);
                Ok(())
            }
        }
    )*};
}

named! {
    SerializeStruct
    SerializeStructVariant
}
