//! Owns the proof of what the limits promise, over bincode as the store uses it and over JSON for the
//! calls that bincode never makes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::IpAddr;

use bincode::config::{Configuration, standard};
use bincode::error::{DecodeError, EncodeError};
use proptest::prelude::*;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::limits::{LimitedContent, LimitedSeed, MAX_DEPTH};

mod depth;
mod elements;

const CONFIG: Configuration = standard();
const PLENTY: usize = 1 << 20;

fn encode<T: Serialize>(value: &T, max_elements: usize) -> Result<Vec<u8>, String> {
    bincode::serde::encode_to_vec(LimitedContent::new(value, max_elements), CONFIG).map_err(|e| {
        match e {
            EncodeError::OtherString(text) => text,
            other => panic!("the limits should have refused this, not bincode: {other:?}"),
        }
    })
}

fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8], max_elements: usize) -> Result<T, String> {
    match bincode::serde::seed_decode_from_slice(LimitedSeed::new(max_elements), bytes, CONFIG) {
        Ok((value, read)) => {
            assert_eq!(read, bytes.len(), "the whole input is read");
            Ok(value)
        }
        Err(DecodeError::OtherString(text)) => Err(text),
        Err(other) => panic!("the limits should have refused this, not bincode: {other:?}"),
    }
}

fn plain<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, CONFIG).unwrap()
}

fn too_deep<T>() -> Result<T, String> {
    Err("content is nested deeper than 64 levels".to_owned())
}

fn too_many<T>(allowed: usize) -> Result<T, String> {
    Err(format!("content has more than {allowed} elements"))
}

// Every shape that serde has, in one type.

/// Encodes with `serialize_bytes`, which no type of the standard library but `CString` does.
#[derive(Debug, Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(v.to_vec()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

/// Encodes with `collect_str`.
#[derive(Debug, Clone, PartialEq)]
struct Shown(u32);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Shown).map_err(serde::de::Error::custom)
    }
}

/// Encodes and decodes its keys and its values one by one, where a `BTreeMap` takes whole entries.
#[derive(Debug, Clone, PartialEq)]
struct PieceByPiece(BTreeMap<u8, String>);

impl Serialize for PieceByPiece {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_key(key)?;
            map.serialize_value(value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PieceByPiece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PiecesVisitor;
        impl<'de> Visitor<'de> for PiecesVisitor {
            type Value = PieceByPiece;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PieceByPiece, A::Error> {
                let mut pieces = BTreeMap::new();
                while let Some(key) = map.next_key()? {
                    pieces.insert(key, map.next_value()?);
                }
                Ok(PieceByPiece(pieces))
            }
        }
        deserializer.deserialize_map(PiecesVisitor)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meters(u64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    EmptyTuple(),
    EmptyStruct {},
    Newtype(Box<Shape>),
    Tuple(Option<char>, Vec<Shape>),
    Struct { name: String, inside: Vec<Shape> },
}

type Integers = (i8, i16, i32, i64, i128, u8, u16, u32, u64, u128);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rich {
    integers: Integers,
    floats: (f32, f64),
    truth: bool,
    letter: char,
    text: String,
    bytes: Bytes,
    shown: Shown,
    nothing: (),
    marker: Marker,
    maybe: Option<Option<u8>>,
    newtype: Meters,
    pair: Pair,
    array: [u16; 3],
    empty: [u8; 0],
    map: BTreeMap<String, Vec<u8>>,
    pieces: PieceByPiece,
    address: IpAddr,
    outcome: Result<u8, String>,
    shapes: Vec<Shape>,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let leaf =
        prop_oneof![Just(Shape::Unit), Just(Shape::EmptyTuple()), Just(Shape::EmptyStruct {}),];
    leaf.prop_recursive(6, 40, 4, |shape| {
        let several = proptest::collection::vec(shape.clone(), 0..4);
        prop_oneof![
            shape.prop_map(|s| Shape::Newtype(Box::new(s))),
            (any::<Option<char>>(), several.clone()).prop_map(|(c, s)| Shape::Tuple(c, s)),
            ("[a-z]{0,6}", several).prop_map(|(name, inside)| Shape::Struct { name, inside }),
        ]
    })
}

fn riches() -> impl Strategy<Value = Rich> {
    let numbers = (
        any::<Integers>(),
        // A NaN would not equal itself, and JSON cannot write one.
        (-1e30f32..1e30, -1e300f64..1e300),
        any::<(bool, char, String)>(),
    );
    let owned = (
        any::<Vec<u8>>().prop_map(Bytes),
        any::<u32>().prop_map(Shown),
        any::<Option<Option<u8>>>(),
        any::<u64>().prop_map(Meters),
        any::<(u8, String)>().prop_map(|(a, b)| Pair(a, b)),
    );
    let compound = (
        any::<[u16; 3]>(),
        proptest::collection::btree_map(any::<String>(), any::<Vec<u8>>(), 0..4),
        proptest::collection::btree_map(any::<u8>(), any::<String>(), 0..4).prop_map(PieceByPiece),
        any::<IpAddr>(),
        any::<Result<u8, String>>(),
        proptest::collection::vec(shapes(), 0..3),
    );
    (numbers, owned, compound).prop_map(
        |(
            (integers, floats, (truth, letter, text)),
            (bytes, shown, maybe, newtype, pair),
            (array, map, pieces, address, outcome, shapes),
        )| Rich {
            integers,
            floats,
            truth,
            letter,
            text,
            bytes,
            shown,
            nothing: (),
            marker: Marker,
            maybe,
            newtype,
            pair,
            array,
            empty: [],
            map,
            pieces,
            address,
            outcome,
            shapes,
        },
    )
}

/// The smallest budget that `works`, which must be monotonic.
fn smallest_budget(works: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, PLENTY);
    while low < high {
        let middle = low.midpoint(high);
        if works(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn encoding_through_the_limits_is_byte_identical(rich in riches()) {
        let limited = encode(&rich, PLENTY).unwrap();
        prop_assert_eq!(&limited, &plain(&rich));
        prop_assert_eq!(decode::<Rich>(&limited, PLENTY).unwrap(), rich);
    }

    #[test]
    fn both_directions_charge_the_same_elements(rich in riches()) {
        let bytes = plain(&rich);
        let to_encode = smallest_budget(|n| encode(&rich, n).is_ok());
        let to_decode = smallest_budget(|n| decode::<Rich>(&bytes, n).is_ok());
        prop_assert_eq!(to_encode, to_decode);
        prop_assert_eq!(encode(&rich, to_encode - 1), too_many(to_encode - 1));
        prop_assert_eq!(decode::<Rich>(&bytes, to_encode - 1), too_many(to_encode - 1));
    }

    #[test]
    fn json_is_written_and_read_the_same_through_the_limits(rich in riches()) {
        let json = serde_json::to_string(&rich).unwrap();
        let limited = serde_json::to_string(&LimitedContent::new(&rich, PLENTY)).unwrap();
        prop_assert_eq!(&limited, &json);
        // JSON does not give every value back, so what it gives without the limits is the measure.
        let bare: Rich = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(from_json::<Rich>(&json), bare);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(from_json::<serde_json::Value>(&json), value);
    }

    #[test]
    fn damaged_bytes_decode_to_the_same_value_or_to_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        let seed = LimitedSeed::<Vec<Shape>>::new(PLENTY);
        let limited = bincode::serde::seed_decode_from_slice(seed, &bytes, CONFIG);
        // Bare bincode is asked only where the limits show that it ends.
        if let Ok(limited) = limited {
            let bare: (Vec<Shape>, usize) =
                bincode::serde::decode_from_slice(&bytes, CONFIG).unwrap();
            prop_assert_eq!(limited, bare);
        }
    }
}

fn from_json<T: DeserializeOwned>(json: &str) -> T {
    LimitedSeed::new(PLENTY).deserialize(&mut serde_json::Deserializer::from_str(json)).unwrap()
}

#[test]
fn borrowed_strings_and_bytes_stay_borrowed() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Borrowed<'a> {
        text: &'a str,
        #[serde(borrow)]
        bytes: &'a [u8],
    }
    // A slice encodes as a sequence of bytes, which has the same layout as bytes.
    let bytes = plain(&("text", Bytes(vec![1, 2, 3])));
    let value: Borrowed<'_> = decode(&bytes, 2).unwrap();
    assert_eq!(value, Borrowed { text: "text", bytes: &[1, 2, 3] });
    assert!(bytes.as_ptr_range().contains(&value.text.as_ptr()));
    assert!(bytes.as_ptr_range().contains(&value.bytes.as_ptr()));
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_in_the_words_of_its_type() {
    let seed = LimitedSeed::<Option<Vec<u8>>>::new(PLENTY);
    let error = seed.deserialize(&mut serde_json::Deserializer::from_str("true")).unwrap_err();
    assert!(error.to_string().contains("boolean `true`, expected a sequence"), "{error}");
}

#[test]
fn a_variant_without_data_is_read_to_its_end_where_the_format_gives_it_a_value() {
    assert_eq!(from_json::<Vec<Shape>>(r#"[{"Unit":null},"Unit"]"#), [Shape::Unit, Shape::Unit]);
}

#[test]
fn unknown_and_skipped_fields_pass_through_the_limits() {
    struct Skips;
    impl Serialize for Skips {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut fields = serializer.serialize_struct("Skips", 1)?;
            fields.skip_field("absent")?;
            fields.serialize_field("present", &1)?;
            fields.end()
        }
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Known {
        present: u8,
    }
    // One element pays for the one field that is written.
    let json = serde_json::to_string(&LimitedContent::new(&Skips, 1)).unwrap();
    assert_eq!(json, r#"{"present":1}"#);
    let known: Known = from_json(r#"{"unknown":[[1],{"a":null}],"present":1}"#);
    assert_eq!(known, Known { present: 1 });
}
