//! Owns the proof of what the limits promise, over bincode as the store uses it and over JSON for the
//! calls that bincode never makes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::net::IpAddr;

use bincode::config::{Configuration, standard};
use bincode::error::{DecodeError, EncodeError};
use proptest::prelude::*;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{LimitedContent, LimitedSeed, MAX_DEPTH};

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

// Depth.

/// Costs one level for each `Some` and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Chain(Option<Box<Chain>>);

fn chain(levels: u8) -> Chain {
    (0..levels).fold(Chain(None), |inside, _| Chain(Some(Box::new(inside))))
}

/// Shows that `wrap` costs exactly `levels` around a chain, in both directions.
fn assert_levels<T>(levels: u8, wrap: impl Fn(Chain) -> T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let name = std::any::type_name::<T>();
    let fits = wrap(chain(MAX_DEPTH - levels));
    let bytes = encode(&fits, PLENTY).expect(name);
    assert_eq!(decode::<T>(&bytes, PLENTY).expect(name), fits);

    let deeper = wrap(chain(MAX_DEPTH - levels + 1));
    assert_eq!(encode(&deeper, PLENTY), too_deep(), "encoding {name}");
    let bytes = plain(&deeper);
    assert_eq!(decode::<T>(&bytes, PLENTY), too_deep(), "decoding {name}");
}

#[test]
fn depth_at_the_limit_round_trips_and_one_more_is_refused_in_both_directions() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        chain: Chain,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Chain);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two(u8, Chain);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        Newtype(Chain),
        Tuple(u8, Chain),
        Struct { chain: Chain },
    }

    assert_levels(0, |c| c);
    assert_levels(0, Box::new);
    assert_levels(1, Some::<Chain>);
    assert_levels(1, |c| vec![c]);
    assert_levels(1, |c| (c, 1u8));
    assert_levels(1, |c| [c]);
    assert_levels(1, |c| BTreeMap::from([(1u8, c)]));
    assert_levels(1, |chain| Named { chain });
    assert_levels(1, Wrapped);
    assert_levels(1, |c| Two(1, c));
    assert_levels(1, Variants::Newtype);
    assert_levels(1, |c| Variants::Tuple(1, c));
    assert_levels(1, |chain| Variants::Struct { chain });
    assert_levels(3, |c| vec![Some((c,))]);
}

#[test]
fn a_key_of_a_map_is_one_level_down_like_its_value() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Key(Option<Box<Key>>);
    let key = |levels| (0..levels).fold(Key(None), |inside, _| Key(Some(Box::new(inside))));
    let map = |levels| BTreeMap::from([(key(levels), ())]);

    let bytes = encode(&map(MAX_DEPTH - 1), PLENTY).unwrap();
    assert_eq!(decode(&bytes, PLENTY), Ok(map(MAX_DEPTH - 1)));
    assert_eq!(encode(&map(MAX_DEPTH), PLENTY), too_deep());
    let bytes = plain(&map(MAX_DEPTH));
    assert_eq!(decode::<BTreeMap<Key, ()>>(&bytes, PLENTY), too_deep());
}

#[test]
fn what_carries_nothing_costs_no_level() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Deep {
        Down(Box<Deep>),
        End(Option<u8>, Marker, (), Shape),
    }
    let deep = |last| (1..MAX_DEPTH).fold(last, |inside, _| Deep::Down(Box::new(inside)));

    let empty = deep(Deep::End(None, Marker, (), Shape::Unit));
    let bytes = encode(&empty, PLENTY).unwrap();
    assert_eq!(decode(&bytes, PLENTY), Ok(empty));
    for carries in [
        deep(Deep::End(Some(1), Marker, (), Shape::Unit)),
        deep(Deep::End(None, Marker, (), Shape::EmptyTuple())),
        deep(Deep::End(None, Marker, (), Shape::EmptyStruct {})),
    ] {
        assert_eq!(encode(&carries, PLENTY), too_deep());
        assert_eq!(decode::<Deep>(&plain(&carries), PLENTY), too_deep());
    }
}

/// As fat as session content gets: a level has several fields, and every way down is there.
#[derive(Debug, Serialize, Deserialize)]
struct Fat {
    ids: [u64; 8],
    names: (String, String, String),
    next: Option<Box<Fat>>,
    branch: Branch,
    children: Vec<Fat>,
    by_name: BTreeMap<String, Fat>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Branch {
    None,
    One(Box<Fat>),
    Tuple(u64, Box<Fat>),
    Struct { fat: Box<Fat> },
}

/// Writes the bytes of a `Fat` that goes down `levels` times, each time another way.
fn hostile_fat(levels: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for level in 0..levels {
        bytes.extend([0; 8 + 3]);
        match level % 6 {
            0 => bytes.extend([1]),
            1 => bytes.extend([0, 1]),
            2 => bytes.extend([0, 2, 7]),
            3 => bytes.extend([0, 3]),
            4 => bytes.extend([0, 0, 1]),
            _ => bytes.extend([0, 0, 0, 1, 0]),
        }
    }
    bytes
}

/// Never ends, and so encodes as deep as it is let.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Endless", 1)?;
        fields.serialize_field("next", &Some(Endless))?;
        fields.end()
    }
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn deep_nesting_does_not_overflow_a_small_stack() {
    on_a_small_stack(|| {
        assert_eq!(decode::<Chain>(&vec![1; 1_000_000], PLENTY), too_deep());
        let fat = decode::<Fat>(&hostile_fat(100_000), PLENTY);
        assert_eq!(fat.map(drop), too_deep());
        assert_eq!(encode(&Endless, PLENTY), too_deep());
    });
}

// Elements.

fn claims(elements: u64) -> Vec<u8> {
    bincode::encode_to_vec(elements, CONFIG).unwrap()
}

#[test]
fn a_billion_zero_sized_elements_fail_within_the_budget() {
    let bytes = claims(1_000_000_000);
    assert_eq!(decode::<Vec<()>>(&bytes, 10_000), too_many(10_000));
    assert_eq!(decode::<BTreeMap<(), ()>>(&bytes, 10_000), too_many(10_000));
    assert_eq!(decode::<Vec<Vec<Marker>>>(&[&[9][..], &bytes].concat(), 10_000), too_many(10_000));
    assert_eq!(encode(&vec![(); 1_000_000_000], 10_000), too_many(10_000));
}

/// Shows that `value` costs exactly `elements`, in both directions.
fn assert_elements<T>(elements: usize, value: T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let name = std::any::type_name::<T>();
    let bytes = encode(&value, elements).expect(name);
    assert_eq!(decode::<T>(&bytes, elements).expect(name), value);
    if let Some(fewer) = elements.checked_sub(1) {
        assert_eq!(encode(&value, fewer), too_many(fewer), "encoding {name}");
        let decoded = decode::<T>(&bytes, fewer);
        assert_eq!(decoded, too_many(fewer), "decoding {name}");
    }
}

#[test]
fn elements_at_the_limit_round_trip_and_one_more_is_refused_in_both_directions() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        a: u8,
        b: u8,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        Tuple(u8, u8, u8),
        Struct { a: u8, b: u8 },
    }

    assert_elements(0, 7u64);
    assert_elements(0, "text".to_owned());
    assert_elements(0, Bytes(vec![1; 100]));
    assert_elements(0, Some(Some(7u8)));
    assert_elements(0, Meters(7));
    assert_elements(0, Shape::Newtype(Box::new(Shape::Unit)));
    assert_elements(0, Vec::<u8>::new());
    assert_elements(5, vec![(); 5]);
    assert_elements(5, vec![1u8; 5]);
    assert_elements(3, (1u8, 2u8, 3u8));
    assert_elements(2, Pair(1, String::new()));
    assert_elements(2, Named { a: 1, b: 2 });
    assert_elements(3, Variants::Tuple(1, 2, 3));
    assert_elements(2, Variants::Struct { a: 1, b: 2 });
    assert_elements(4, BTreeMap::from([(1u8, 1u8), (2, 2)]));
    assert_elements(4, PieceByPiece(BTreeMap::from([(1, String::new()), (2, String::new())])));
    // The levels share one budget: two outer elements and six inner ones.
    assert_elements(8, vec![vec![1u8; 3], vec![2; 3]]);
}

#[test]
fn one_wrapper_encodes_twice_because_each_encoding_has_the_whole_budget() {
    let value = vec![1u8; 5];
    let limited = LimitedContent::new(&value, 5);
    for _ in 0..2 {
        let bytes = bincode::serde::encode_to_vec(&limited, CONFIG).unwrap();
        assert_eq!(bytes, plain(&value));
    }
}

// Allocation.

/// Reads the size hint and nothing else.
#[derive(Debug, PartialEq)]
struct Hint<K>(Option<usize>, PhantomData<K>);

macro_rules! hint {
    ($kind:ty, $ask:ident, $visit:ident, $access:path) => {
        impl<'de> Deserialize<'de> for Hint<$kind> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct HintVisitor;
                impl<'de> Visitor<'de> for HintVisitor {
                    type Value = Hint<$kind>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a length")
                    }
                    fn $visit<A: $access>(self, access: A) -> Result<Self::Value, A::Error> {
                        Ok(Hint(access.size_hint(), PhantomData))
                    }
                }
                deserializer.$ask(HintVisitor)
            }
        }
    };
}

struct OfSeq;
struct OfMap;
hint!(OfSeq, deserialize_seq, visit_seq, SeqAccess<'de>);
hint!(OfMap, deserialize_map, visit_map, MapAccess<'de>);

impl Debug for OfSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfSeq")
    }
}

#[test]
fn a_size_hint_is_the_claimed_length_up_to_what_the_budget_can_pay() {
    let seq = |claimed, budget| decode::<Hint<OfSeq>>(&claims(claimed), budget).unwrap().0;
    assert_eq!(seq(10, 100), Some(10));
    assert_eq!(seq(1_000_000_000, 100), Some(100));
    let map = |claimed, budget| decode::<Hint<OfMap>>(&claims(claimed), budget).unwrap().0;
    assert_eq!(map(10, 100), Some(10));
    assert_eq!(map(1_000_000_000, 100), Some(50));
}

#[test]
fn a_claimed_length_of_a_string_or_of_bytes_is_not_allocated() {
    fn refused<T: DeserializeOwned>(bytes: &[u8]) -> bool {
        let seed = LimitedSeed::<T>::new(PLENTY);
        let decoded = bincode::serde::seed_decode_from_slice(seed, bytes, CONFIG);
        matches!(decoded, Err(DecodeError::UnexpectedEnd { .. }))
    }
    // The first is more than a vector can hold, which would panic; the second is more than a
    // machine has, which would abort.
    for claimed in [1 << 63, 1 << 46] {
        assert!(refused::<String>(&claims(claimed)));
        assert!(refused::<Bytes>(&claims(claimed)));
    }
}
