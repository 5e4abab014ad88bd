//! `Attributes`: `get` returns the value of `set`, for the same type.

mod buffered;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Formatter};

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sessile::{AttributeValue, Attributes, SessionStore};

/// Checks that a value is read back, from memory and from a store, or returns the reason for its
/// refusal.
fn stored<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T) -> Result<(), String> {
    let mut attributes = Attributes::new();
    attributes.set("x", "before").unwrap();
    if let Err(error) = attributes.set("x", value) {
        assert_eq!(attributes.get::<String>("x").unwrap().unwrap(), "before", "it stays");
        return Err(error.to_string());
    }
    assert_eq!(attributes.get::<T>("x").unwrap().as_ref(), Some(value));
    let store = SessionStore::<Attributes>::in_memory().unwrap();
    let id = store.create(attributes).unwrap().id().clone();
    let mut read = store.read(&id).unwrap().unwrap();
    assert_eq!(read.content().get::<T>("x").unwrap().as_ref(), Some(value));
    assert_eq!(read.content_mut().take::<T>("x").unwrap().as_ref(), Some(value));
    Ok(())
}

fn comes_back<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: T) {
    if let Err(text) = stored(&value) {
        panic!("{value:?} was refused: {text}");
    }
}

fn is_refused<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: T, says: &str) {
    let Err(text) = stored(&value) else { panic!("{value:?} was taken") };
    assert!(text.contains("`x`") && text.contains(says), "no {says:?} in: {text}");
}

/// XorShift, which gives every bit pattern.
fn patterns(count: usize) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
    .take(count)
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Buffered<T> {
    Value(T),
    Both(T, T),
}

#[test]
fn floats_come_back_to_the_last_bit() {
    let mut attributes = Attributes::new();
    let thousandths = (0..50_000).map(|number| f64::from(number) * 0.001 + 0.1);
    let any = patterns(50_000).map(f64::from_bits).filter(|float| float.is_finite());
    for float in thousandths.chain(any).chain([-0.0, f64::MIN_POSITIVE, f64::MAX, 5e-324]) {
        attributes.set("f", float).unwrap();
        let read: f64 = attributes.get("f").unwrap().unwrap();
        assert_eq!(read.to_bits(), float.to_bits(), "{float:?}");
    }
    for bits in patterns(50_000) {
        let float = f32::from_bits(bits as u32);
        if float.is_finite() {
            attributes.set("f", float).unwrap();
            let read: f32 = attributes.get("f").unwrap().unwrap();
            assert_eq!(read.to_bits(), float.to_bits(), "{float:?}");
            let Some(Buffered::Value(read)) = attributes.get::<Buffered<f32>>("f").unwrap() else {
                panic!("one value")
            };
            assert_eq!(read.to_bits(), float.to_bits(), "{float:?}, buffered");
        }
    }
}

/// The shortest text of this number, read as an `f64` and then rounded, gives its neighbour.
#[test]
fn a_float_that_two_roundings_would_change_comes_back_through_a_buffer() {
    for bits in (0..1_u32 << 12).map(|low| 0x5000_0000 | low.wrapping_mul(1_048_583) >> 4) {
        comes_back(Buffered::Value(f32::from_bits(bits)));
    }
}

#[test]
fn a_float_that_is_not_finite_is_refused_wherever_it_is() {
    let says = "not finite (NaN or infinity)";
    is_refused(f64::NAN, says);
    is_refused(f64::INFINITY, says);
    is_refused(f64::NEG_INFINITY, says);
    is_refused(f32::NAN, says);
    is_refused(f32::INFINITY, says);
    is_refused(Some(f64::NAN), says);
    is_refused(vec![1.0, f64::INFINITY], says);
    is_refused(vec![(1u8, BTreeMap::from([("a".to_owned(), Some(f32::NAN))]))], says);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Circle { radius: f64 },
    }
    is_refused(Shape::Circle { radius: f64::NAN }, says);
}

#[test]
fn an_option_that_holds_nothing_is_refused() {
    comes_back(None::<u8>);
    comes_back(Some(7u8));
    comes_back(Some(Some(7u8)));
    comes_back(());
    comes_back(vec![None, Some(1u8)]);
    let says = "a `Some` that holds nothing";
    is_refused(Some(None::<u32>), says);
    is_refused(Some(()), says);
    is_refused(vec![Some(None::<u8>)], says);
    is_refused(Some(serde_json::Value::Null), says);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newtype(Option<u8>);
    is_refused(Some(Unit), says);
    is_refused(Some(Newtype(None)), says);
    comes_back(Some(Newtype(Some(1))));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Tagged {
    Prices { by_id: HashMap<u32, u32> },
    Names { by_name: HashMap<String, u32> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    ByName(BTreeMap<String, u8>),
    ById(BTreeMap<i16, u8>),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Size {
    Small,
    Large,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    by_id: BTreeMap<u8, u8>,
}

#[test]
fn keys_that_are_no_texts_come_back_even_through_a_buffer() {
    comes_back(BTreeMap::from([(7u32, 1u8)]));
    comes_back(BTreeMap::from([(i64::MIN, 1u8), (-1, 2)]));
    comes_back(BTreeMap::from([(true, 1u8), (false, 2)]));
    comes_back(BTreeMap::from([('x', 1u8)]));
    comes_back(HashMap::from([(Size::Small, 1u8)]));
    comes_back(BTreeMap::from([(Some(1u8), 1u8)]));
    comes_back(Tagged::Prices { by_id: HashMap::from([(7, 1_999)]) });
    comes_back(Tagged::Names { by_name: HashMap::from([("7".into(), 1_999)]) });
    comes_back(Either::ById(BTreeMap::from([(7, 1), (-7, 2)])));
    comes_back(Either::ByName(BTreeMap::from([("7".into(), 1)])));
    comes_back(Buffered::Value(BTreeMap::from([(true, Size::Large)])));
    comes_back(Flat { name: "n".into(), by_id: BTreeMap::from([(7, 1)]) });
    comes_back(vec![Some((1u8, Tagged::Prices { by_id: HashMap::from([(7, 1)]) }))]);
}

#[test]
fn keys_that_could_not_be_told_apart_are_refused() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        by_id: BTreeMap<u8, u8>,
        by_name: BTreeMap<String, u8>,
    }
    let both = |name: &str| Both {
        by_id: BTreeMap::from([(7, 1)]),
        by_name: BTreeMap::from([(name.into(), 1)]),
    };
    comes_back(both("seven"));
    is_refused(both("7"), "cannot tell apart");
    is_refused(BTreeMap::from([(None::<u8>, 1u8)]), "a key of a map");
    is_refused(BTreeMap::from([(vec![1u8], 1u8)]), "a key of a map");
}

struct Twice;

impl Serialize for Twice {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map([("a", 1), ("a", 2)])
    }
}

#[derive(Serialize)]
struct Hidden {
    a: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[test]
fn a_key_that_occurs_twice_is_refused() {
    let mut attributes = Attributes::new();
    let rest = BTreeMap::from([("a".to_owned(), 2)]);
    for refused in [
        attributes.set("x", Twice),
        attributes.set("x", vec![Some(Twice)]),
        attributes.set("x", Hidden { a: 1, rest }),
        attributes.set_json("x", r#"{"a":1,"b":{"c":1,"c":2}}"#),
        attributes.set_json("x", r#"{"a":1,"\u0061":2}"#),
    ] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("a key occurs twice"), "{text}");
    }
    assert!(attributes.is_empty());
}

/// With its features `raw_value` and `arbitrary_precision`, serde_json reads an object with such a
/// name as what is in it.
#[test]
fn a_name_that_serde_json_keeps_for_itself_is_refused() {
    let says = "serde_json";
    for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let form = serde_json::json!({ name: "{\"role\":\"admin\"}" });
        is_refused(form.clone(), says);
        is_refused(vec![Some(form.clone())], says);
        is_refused(BTreeMap::from([(name.to_owned(), 7u8)]), says);
        is_refused(Buffered::Value(HashMap::from([(name.to_owned(), "7".to_owned())])), says);
        let mut attributes = Attributes::new();
        let error = attributes.set_json("form", &form.to_string()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let escaped = form.to_string().replace('$', "\\u0024");
        assert!(attributes.set_json("form", &escaped).is_err());
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Form {
        #[serde(rename = "$serde_json::private::RawValue")]
        Raw(String),
        #[serde(rename = "$serde_json::private::Number")]
        Number { n: u8 },
    }
    is_refused(Form::Raw("{}".into()), says);
    is_refused(Form::Number { n: 7 }, says);
    comes_back("$serde_json::private::RawValue".to_owned());
}

#[test]
fn a_raw_json_text_is_no_value() {
    let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
    let mut attributes = Attributes::new();
    for refused in [
        attributes.set("x", raw("7")),
        attributes.set("x", Some(raw("null"))),
        attributes.set("x", BTreeMap::from([(7u8, raw("{}"))])),
    ] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("set_json"), "{text}");
    }
    assert!(attributes.is_empty());
}

#[test]
fn json_text_can_be_put_in_and_taken_out() {
    let mut attributes = Attributes::new();
    attributes.set_json("cart", " { \"tea\" : 2 }\n").unwrap();
    assert_eq!(attributes.get::<BTreeMap<String, u8>>("cart").unwrap().unwrap()["tea"], 2);
    attributes.set("by id", BTreeMap::from([(7u8, 1u8)])).unwrap();
    let texts: Vec<_> = attributes.iter().collect();
    assert_eq!(texts, [("by id", "{\"7\":1}"), ("cart", "{ \"tea\" : 2 }")]);
    for text in ["", "{", "nope", "1 2", "NaN", "1e999", "'x'"] {
        let error = attributes.set_json("cart", text).unwrap_err().to_string();
        assert!(error.contains("not JSON"), "{text:?}: {error}");
    }
    let deep = "[".repeat(128) + &"]".repeat(128);
    let error = attributes.set_json("cart", &deep).unwrap_err().to_string();
    assert!(error.contains("127 levels"), "{error}");
    assert_eq!(attributes.iter().count(), 2);
}

#[test]
fn attributes_are_collected_extended_and_taken_apart() {
    let mut attributes: Attributes =
        [("a", AttributeValue::new(1).unwrap()), ("b", AttributeValue::from_json("[2]").unwrap())]
            .into_iter()
            .collect();
    attributes.extend([("a", AttributeValue::new("x").unwrap())]);
    assert_eq!(attributes.keys().collect::<Vec<_>>(), ["a", "b"]);
    let copied: Attributes =
        (&attributes).into_iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(copied, attributes);
    assert_eq!(attributes.value("b").unwrap().get::<Vec<u8>>().unwrap(), [2]);
    let parts: Vec<_> = attributes.into_iter().collect();
    assert_eq!(parts.len(), 2);
    assert_eq!((parts[0].0.as_str(), parts[0].1.as_json()), ("a", "\"x\""));
    assert!(!format!("{parts:?}").contains('x'), "a value may be a secret");
}

#[test]
fn no_error_shows_a_value() {
    let mut attributes = Attributes::new();
    attributes.set("card", "4111 1111").unwrap();
    attributes.set("cards", BTreeMap::from([("4111 1111", "4222")])).unwrap();
    let errors = [
        attributes.get::<u32>("card").unwrap_err(),
        attributes.get::<Vec<u8>>("cards").unwrap_err(),
        attributes.get::<Size>("card").unwrap_err(),
        attributes.get::<BTreeMap<u8, String>>("cards").unwrap_err(),
        attributes.get::<BTreeMap<String, Size>>("cards").unwrap_err(),
    ];
    for error in errors {
        let text = format!("{error} {error:?}");
        assert!(!text.contains("4111") && !text.contains("4222"), "{text}");
        assert!(text.contains("it has"), "it says what is there instead: {text}");
    }
}

/// Reads nothing but a text that it may borrow, as `serde_json` lends it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Borrows(String);

impl<'de> Deserialize<'de> for Borrows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&str>::deserialize(from).map(|text| Self(text.to_owned()))
    }
}

/// Writes a text, and reads nothing but bytes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct AsBytes(String);

impl<'de> Deserialize<'de> for AsBytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = AsBytes;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<AsBytes, E> {
                String::from_utf8(bytes.to_vec()).map(AsBytes).map_err(E::custom)
            }
        }

        from.deserialize_byte_buf(Bytes)
    }
}

#[test]
fn a_type_that_borrows_its_text_comes_back_beside_number_keys() {
    comes_back(Borrows("tea".into()));
    comes_back(AsBytes("tea".into()));
    comes_back(BTreeMap::from([(7, Borrows("tea".into())), (8, Borrows("7".into()))]));
    comes_back(BTreeMap::from([(7, AsBytes("tea".into()))]));
    comes_back((BTreeMap::from([(Borrows("tea".into()), 1)]), BTreeMap::from([(7, 1)])));
    comes_back((BTreeMap::from([(AsBytes("tea".into()), 1)]), BTreeMap::from([(7, 1)])));
    comes_back(BTreeMap::from([(7, Some(vec![serde_bytes::ByteBuf::from(*b"tea")]))]));
}

#[test]
fn a_float_that_is_too_large_for_an_f32_is_an_error_and_no_infinity() {
    let mut attributes = Attributes::new();
    attributes.set("by day", BTreeMap::from([(7, 1e300)])).unwrap();
    attributes.set("by name", BTreeMap::from([("7", 1e300)])).unwrap();
    for name in ["by day", "by name"] {
        let read = attributes.get::<BTreeMap<i64, f32>>(name).unwrap_err().to_string();
        assert!(read.contains(name) && read.contains("too large for an `f32`"), "{read}");
        assert_eq!(attributes.get(name).unwrap(), Some(BTreeMap::from([(7, 1e300)])));
    }
}
