//! Types whose `Serialize` and `Deserialize` were written by hand, soundly or not.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::de::{Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, Serializer};
use serde::{Deserialize, Serialize};

use super::{comes_back, is_refused};

/// Writes a number as one type and reads it as another, which bincode does not notice for small
/// numbers.
macro_rules! two_kinds {
    ($name:ident: $writes:ident $written:ty, reads $read:ty) => {
        #[derive(Clone, Debug, PartialEq)]
        struct $name(u8);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.$writes(<$written>::from(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <$read>::deserialize(from).map(|number| Self(number as u8))
            }
        }
    };
}

two_kinds!(NarrowThenWide: serialize_u32 u32, reads u64);
two_kinds!(WideThenNarrow: serialize_u64 u64, reads u16);
two_kinds!(ByteThenNumber: serialize_u8 u8, reads u32);

#[test]
fn a_number_that_is_read_as_another_kind_is_refused_whatever_it_is() {
    for number in [0, 7, 250, 251, 255] {
        is_refused(NarrowThenWide(number), &["writes a u32", "asks for a u64"]);
        is_refused(vec![WideThenNarrow(number)], &["writes a u64", "asks for a u16", "[0]"]);
        is_refused((1u8, ByteThenNumber(number)), &["writes a u8", "asks for a u32", ".1"]);
    }
}

/// Writes eight bits and reads back four.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
struct Masked {
    bits: u8,
}

impl From<Masked> for u8 {
    fn from(masked: Masked) -> Self {
        masked.bits & 0x0f
    }
}

impl From<u8> for Masked {
    fn from(bits: u8) -> Self {
        Self { bits: bits.wrapping_add(1) }
    }
}

#[test]
fn a_value_that_reading_changes_is_refused() {
    is_refused(Masked { bits: 3 }, &["comes back as another value", "Masked"]);
}

/// Writes another value each time.
#[derive(Debug)]
struct Counter(AtomicU32);

impl Clone for Counter {
    fn clone(&self) -> Self {
        Self(AtomicU32::new(1))
    }
}

impl PartialEq for Counter {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Serialize for Counter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl<'de> Deserialize<'de> for Counter {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        u32::deserialize(from).map(|count| Self(AtomicU32::new(count.wrapping_mul(7))))
    }
}

#[test]
fn content_that_is_written_otherwise_each_time_is_refused_for_that() {
    is_refused(Counter(AtomicU32::new(1)), &["something else each time"]);
}

/// Announces another number of elements than it writes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Miscounted(Vec<u8>, isize);

impl Serialize for Miscounted {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let announced = self.0.len().saturating_add_signed(self.1);
        let mut list = to.serialize_seq(Some(announced))?;
        self.0.iter().try_for_each(|byte| list.serialize_element(byte))?;
        list.end()
    }
}

#[test]
fn a_list_that_announces_another_length_is_refused() {
    is_refused(Miscounted(vec![1, 2], 1), &["announces 3 elements and writes 2"]);
    is_refused(Miscounted(vec![1, 2], -1), &["announces 1 elements and writes 2"]);
}

/// A list of unknown length, and a map.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Endless(Vec<u8>);

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().filter(|byte| **byte > 1))
    }
}

#[test]
fn a_list_of_unknown_length_is_refused() {
    is_refused(Endless(vec![1, 2]), &["without its length", "Json<T>"]);
}

/// Lists its fields in its own order, and reads them in that order.
#[derive(Clone, Debug, PartialEq)]
struct FieldsSwapped {
    user: u32,
    role: u32,
}

impl Serialize for FieldsSwapped {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("FieldsSwapped", 2)?;
        fields.serialize_field("user", &self.user)?;
        fields.serialize_field("role", &self.role)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for FieldsSwapped {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = FieldsSwapped;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("two fields")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<FieldsSwapped, A::Error> {
                let role = seq.next_element()?.unwrap();
                let user = seq.next_element()?.unwrap();
                Ok(FieldsSwapped { user, role })
            }
        }
        from.deserialize_struct("FieldsSwapped", &["role", "user"], Fields)
    }
}

#[test]
fn fields_that_are_read_in_another_order_are_refused_even_where_they_are_equal() {
    is_refused(FieldsSwapped { user: 1, role: 2 }, &["FieldsSwapped", "another place"]);
    is_refused(FieldsSwapped { user: 1, role: 1 }, &["FieldsSwapped", "another place"]);
}

/// Reads its variants by number, under the names that it lists.
#[derive(Clone, Debug, PartialEq, Serialize)]
enum ByNumber {
    Zero,
    One(u8),
}

impl<'de> Deserialize<'de> for ByNumber {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Variants;
        impl<'de> Visitor<'de> for Variants {
            type Value = ByNumber;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a variant")
            }
            fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<ByNumber, A::Error> {
                match data.variant::<u32>()? {
                    (0, variant) => variant.unit_variant().map(|()| ByNumber::Zero),
                    (_, variant) => variant.newtype_variant().map(ByNumber::One),
                }
            }
        }
        from.deserialize_enum("ByNumber", &["Zero", "One"], Variants)
    }
}

#[test]
fn variants_that_a_type_knows_by_number_come_back() {
    comes_back(vec![ByNumber::Zero, ByNumber::One(7)]);
}

/// Two lists that it writes as one map, keys and values apart, and a tuple of variable length.
#[derive(Clone, Debug, PartialEq)]
struct Pieces(Vec<(u8, String)>);

impl Serialize for Pieces {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut both = to.serialize_tuple(2)?;
        both.serialize_element(&AsMap(&self.0))?;
        both.serialize_element(&())?;
        both.end()
    }
}

struct AsMap<'a>(&'a [(u8, String)]);

impl Serialize for AsMap<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_key(key)?;
            map.serialize_value(value)?;
        }
        map.end()
    }
}

struct FromMap(Vec<(u8, String)>);

impl<'de> Deserialize<'de> for FromMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = FromMap;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FromMap, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(FromMap(entries))
            }
        }
        from.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (FromMap(entries), ()) = Deserialize::deserialize(from)?;
        Ok(Self(entries))
    }
}

#[test]
fn maps_that_say_the_same_key_twice_come_back_if_their_type_keeps_both() {
    comes_back(Pieces(vec![(2, "b".into()), (1, "a".into()), (2, "c".into())]));
    comes_back(BTreeSet::from([Some(1u8), None]));
}

/// Tells only in the kind of its number that it was read.
#[derive(Clone, Debug, Deserialize)]
struct Stamped {
    number: u8,
    #[serde(skip)]
    is_new: bool,
}

impl PartialEq for Stamped {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Serialize for Stamped {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Stamped", 1)?;
        match self.is_new {
            true => fields.serialize_field("number", &self.number)?,
            false => fields.serialize_field("number", &(self.number != 0))?,
        }
        fields.end()
    }
}

#[test]
fn a_value_that_has_another_shape_after_reading_is_refused() {
    is_refused(Stamped { number: 1, is_new: true }, &["another value", "Stamped.number"]);
}
