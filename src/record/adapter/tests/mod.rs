//! Owns the tests of the adapter's guarantees, over bincode as the store uses it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::IpAddr;

use bincode::config::{Configuration, standard};
use bincode::error::DecodeError;
use proptest::prelude::*;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::budget::{Budget, MAX_DEPTH, Refusal};
use super::shape::{Shape as ShapeOf, ShapeDigest};
use super::{Watch, Watched, WatchedSeed};

mod agreement;
mod depth;
mod elements;
mod nests;
mod shapes;

const CONFIG: Configuration = standard();
const PLENTY: usize = 1 << 20;

/// The bytes of a value and its shape, or the reason for its refusal.
fn write<T: Serialize>(value: &T, elements: usize) -> Result<(Vec<u8>, ShapeOf), Refusal> {
    let watch = Watch::new(Budget::of_elements(elements), ShapeDigest::new());
    let encoded = bincode::serde::encode_to_vec(Watched::new(value, &watch), CONFIG);
    match encoded {
        Ok(bytes) => Ok((bytes, watch.observer.shape())),
        Err(error) => Err(watch
            .budget
            .take_refusal()
            .unwrap_or_else(|| panic!("refused, and not by the adapter: {error:?}"))),
    }
}

fn encode<T: Serialize>(value: &T, elements: usize) -> Result<Vec<u8>, Refusal> {
    write(value, elements).map(|(bytes, _)| bytes)
}

fn shape_of<T: Serialize>(value: &T) -> ShapeOf {
    write(value, PLENTY).unwrap().1
}

/// A value, the bytes read and the shape, or the refusal of the adapter or of bincode.
fn try_read<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    elements: usize,
) -> Result<(T, usize, ShapeOf), Result<Refusal, DecodeError>> {
    let watch = Watch::new(Budget::of_elements(elements), ShapeDigest::new());
    let seed = WatchedSeed::new(&watch);
    match bincode::serde::seed_decode_from_slice(seed, bytes, CONFIG) {
        Ok((value, read)) => Ok((value, read, watch.observer.shape())),
        Err(error) => Err(watch.budget.take_refusal().ok_or(error)),
    }
}

fn read<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    elements: usize,
) -> Result<(T, ShapeOf), Refusal> {
    match try_read(bytes, elements) {
        Ok((value, read, shape)) => {
            assert_eq!(read, bytes.len(), "the whole input is read");
            Ok((value, shape))
        }
        Err(Ok(refusal)) => Err(refusal),
        Err(Err(error)) => panic!("refused, and not by the adapter: {error:?}"),
    }
}

fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8], elements: usize) -> Result<T, Refusal> {
    read(bytes, elements).map(|(value, _)| value)
}

fn plain<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, CONFIG).unwrap()
}

fn too_deep<T>() -> Result<T, Refusal> {
    Err(Refusal::TooDeep)
}

fn too_many<T>(allowed: usize) -> Result<T, Refusal> {
    Err(Refusal::TooManyElements { allowed })
}

// Every data type of serde, in one type.

/// Encodes with `serialize_bytes`; in the standard library only `CString` does.
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

/// Encodes and decodes keys and values separately; a `BTreeMap` uses whole entries.
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
        // A NaN would not equal itself.
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
    fn encoding_through_the_adapter_is_byte_identical(rich in riches()) {
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
        if let Some(fewer) = to_encode.checked_sub(1) {
            prop_assert_eq!(encode(&rich, fewer), too_many(fewer));
            prop_assert_eq!(decode::<Rich>(&bytes, fewer), too_many(fewer));
        }
    }

    #[test]
    fn both_directions_see_the_same_shape(rich in riches()) {
        let (bytes, written) = write(&rich, PLENTY).unwrap();
        let (_, asked) = read::<Rich>(&bytes, PLENTY).unwrap();
        prop_assert_eq!(written, asked);
    }

    #[test]
    fn damaged_bytes_decode_to_the_same_value_or_to_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        // Bare bincode decodes only input on which the adapter has shown that decoding ends.
        if let Ok((watched, read, _)) = try_read::<Vec<Shape>>(&bytes, PLENTY) {
            let bare: (Vec<Shape>, usize) =
                bincode::serde::decode_from_slice(&bytes, CONFIG).unwrap();
            prop_assert_eq!((watched, read), bare);
        }
    }
}

#[test]
fn borrowed_strings_and_bytes_stay_borrowed() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Borrowed<'a> {
        text: &'a str,
        #[serde(borrow)]
        bytes: &'a [u8],
    }
    let bytes = plain(&("text", Bytes(vec![1, 2, 3])));
    let value: Borrowed<'_> = decode(&bytes, 0).unwrap();
    assert_eq!(value, Borrowed { text: "text", bytes: &[1, 2, 3] });
    assert!(bytes.as_ptr_range().contains(&value.text.as_ptr()));
    assert!(bytes.as_ptr_range().contains(&value.bytes.as_ptr()));
}
