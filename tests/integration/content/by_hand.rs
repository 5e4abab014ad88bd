//! Types whose `Serialize` and `Deserialize` were written by hand, soundly or not, and values that
//! are written alike.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::de::{Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, Serializer};
use serde::{Deserialize, Serialize};
use sessile::engine::MemoryEngine;
use sessile::{Json, Session, SessionStore};

use super::{comes_back, is_refused, refusal, store_on};

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

/// An option whose `None` comes back as a `Some`, because JSON shows neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    #[serde(flatten)]
    extra: Option<Extra>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Extra {
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[test]
fn a_store_that_compares_content_takes_no_value_that_comes_back_as_another() {
    let engine = Arc::new(MemoryEngine::new());
    let builder = SessionStore::<Json<Profile>>::builder().engine(Arc::clone(&engine));
    let store = builder.compare_content().manual_maintenance().build().unwrap();
    let sound = Profile { name: "ann".into(), extra: Some(Extra { note: Some("n".into()) }) };
    let lost = Json(Profile { name: "ann".into(), extra: None });
    let mut session = store.create_for_user("ann", Json(sound.clone())).unwrap();
    let id = session.id().clone();
    let mut other = store.create_for_user("ann", Json(sound.clone())).unwrap();
    let change = |session: &mut Session<Json<Profile>>| *session.content_mut() = lost.clone();

    assert!(refusal(store.create(lost.clone()).unwrap_err()).contains("not equal"));
    refusal(store.create_for_user("ann", lost.clone()).unwrap_err());
    refusal(store.modify(&id, change).unwrap_err());
    let others = store.update_others(&other, |other| *other.content_mut() = lost.clone());
    refusal(others.unwrap_err());
    change(&mut session);
    refusal(store.update(&mut session).unwrap_err());
    change(&mut other);
    refusal(store.regenerate_id(&mut other).unwrap_err());
    let mut contents = Vec::new();
    store.for_each(|_, content| contents.push(content.into_inner())).unwrap();
    assert_eq!(contents, [sound.clone(), sound], "nothing was changed");

    // Without the comparison it is taken, as another value.
    let trusting = store_on::<Json<Profile>>(&engine);
    let session = trusting.create(lost.clone()).unwrap();
    assert_ne!(trusting.read(session.id()).unwrap().unwrap().content(), &lost);
}

#[test]
fn a_store_that_compares_content_takes_what_is_equal_to_itself_alone() {
    let store = SessionStore::<f64>::builder().compare_content().in_memory().unwrap();
    for number in [0.1 + 0.2, -0.0, f64::MAX, f64::NEG_INFINITY] {
        let session = store.create(number).unwrap();
        assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), number);
    }
    assert!(refusal(store.create(f64::NAN).unwrap_err()).contains("`NaN`"));
    let words: HashSet<String> = (0..50).map(|number| number.to_string()).collect();
    let store = SessionStore::<HashSet<String>>::builder().compare_content().in_memory().unwrap();
    let session = store.create(words.clone()).unwrap();
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), words);
}

/// Takes a default for what it cannot read, as `DefaultOnError` of serde_with does.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Lenient(u8);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let read = serde_json::Value::deserialize(from).unwrap_or_default();
        Ok(Self(read.as_u64().and_then(|number| number.try_into().ok()).unwrap_or_default()))
    }
}

#[test]
fn a_type_that_keeps_an_error_to_itself_is_refused_for_that_error() {
    for number in [0, 7] {
        let says =
            [".0", "writes a u8", "kept to itself (`Deserialize` asks what comes next", "Json<T>"];
        is_refused((Lenient(number), 1), &says);
        comes_back(Json((Lenient(number), 1)));
    }
}
