//! A value in memory decodes as serde_json decodes its text, and typed keys keep their types.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::Serialize;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Newtype(Option<u8>),
    Tuple(u8, String),
    Struct { a: u8, b: Option<Box<Choice>> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    choices: Vec<Choice>,
    numbers: (i8, u64, i64, f32, f64),
    letter: char,
    unit: (),
    options: [Option<bool>; 2],
    by_choice: BTreeMap<u8, HashMap<String, Choice>>,
    newtype: Meters,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

fn everything() -> Everything {
    Everything {
        choices: vec![
            Choice::Unit,
            Choice::Newtype(None),
            Choice::Newtype(Some(1)),
            Choice::Tuple(1, "x".into()),
            Choice::Struct { a: 1, b: Some(Box::new(Choice::Unit)) },
        ],
        numbers: (-1, u64::MAX, i64::MIN, 0.1, 0.1),
        letter: 'x',
        unit: (),
        options: [None, Some(true)],
        by_choice: BTreeMap::from([(7, HashMap::from([("8".into(), Choice::Unit)]))]),
        newtype: Meters(1.5),
    }
}

#[test]
fn a_value_is_read_as_serde_json_reads_it() {
    let text = serde_json::to_string(&everything()).unwrap();
    let node = Node::parse(&text).unwrap();
    assert_eq!(node.read::<Everything>(TypedKeys::No).unwrap(), everything());
    assert_eq!(node.read::<Everything>(TypedKeys::Yes).unwrap(), everything());
    let value: serde_json::Value = node.read(TypedKeys::No).unwrap();
    assert_eq!(value, serde_json::from_str::<serde_json::Value>(&text).unwrap());
}

fn refused<T: DeserializeOwned + Debug>(text: &str) -> String {
    let told = Node::parse(text).unwrap().read::<T>(TypedKeys::No).unwrap_err().to_string();
    assert!(serde_json::from_str::<T>(text).is_err(), "serde_json takes it");
    assert!(!told.contains("secret"), "{told}");
    told
}

#[test]
fn what_serde_json_refuses_is_refused_without_the_value() {
    assert!(refused::<u8>(r#""secret""#).contains("a text, and the type expects u8"));
    assert!(refused::<Choice>(r#""secret""#).contains("none of Unit, Newtype, Tuple, Struct"));
    assert!(refused::<Choice>(r#"{"Unit":"secret"}"#).contains("a text"));
    assert!(refused::<Choice>(r#"{"Tuple":[1]}"#).contains("invalid length 1"));
    assert!(refused::<Choice>(r#"{"Struct":{"a":1,"a":2}}"#).contains("duplicate field `a`"));
    assert!(refused::<Choice>(r#"{"Struct":{}}"#).contains("missing field `a`"));
    assert!(refused::<Choice>(r#"{"Unit":null,"Newtype":1}"#).contains("a map"));
    assert!(refused::<Choice>("[]").contains("a list"));
    assert!(refused::<BTreeMap<u8, u8>>(r#"{"secret":1}"#).contains("a text"));
    assert!(refused::<u8>("300").contains("an integer"));
    assert!(refused::<(u8, u8)>("[1,2,3]").contains("length 3"));
    assert!(refused::<std::net::IpAddr>(r#""secret""#).contains("invalid IP address"));
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Strict {
        known: u8,
    }
    assert!(refused::<Strict>(r#"{"secret":1}"#).contains("none of known"));
}

#[test]
fn a_number_for_a_key_is_no_place_of_a_field() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Fields {
        #[serde(default)]
        first: u8,
    }
    let node = Node::parse(r#"{"0":7}"#).unwrap();
    assert_eq!(node.read::<Fields>(TypedKeys::Yes).unwrap(), Fields { first: 0 });
}

/// With its feature `arbitrary_precision`, serde_json gives most numbers as such a map.
#[test]
fn a_number_that_serde_json_gives_as_a_map_is_a_number() {
    let number = |text: &str| format!(r#"{{"$serde_json::private::Number":"{text}"}}"#);
    let read = |text: &str| Node::parse(text).unwrap().read::<f64>(TypedKeys::Yes);
    for (text, value) in [("0.5", 0.5), ("-7", -7.0), ("7", 7.0), ("1e300", 1e300)] {
        assert_eq!(read(&number(text)).unwrap(), value);
    }
    assert_eq!(read(&number("-0.0")).unwrap().to_bits(), (-0.0_f64).to_bits());
    let node = Node::parse(&number("18446744073709551615")).unwrap();
    assert_eq!(node.read::<u64>(TypedKeys::Yes).unwrap(), u64::MAX);
    let node = Node::parse(&format!(r#"{{"7":[{}]}}"#, number("0.5"))).unwrap();
    let expected = BTreeMap::from([(7, vec![0.5])]);
    assert_eq!(node.read::<BTreeMap<u8, Vec<f64>>>(TypedKeys::Yes).unwrap(), expected);
    for text in ["1e400", "nan", "-inf", "seven", ""] {
        assert!(read(&number(text)).is_err(), "{text}");
    }
}

/// A decimal type reads the text of such a number, which an `f64` would change.
#[test]
fn a_number_that_only_its_text_tells_keeps_its_text() {
    for text in ["1.50", "1234567890123456789.01", "123456789012345678901234567890", "1e400"] {
        let node = Node::parse(&format!(r#"{{"$serde_json::private::Number":"{text}"}}"#)).unwrap();
        let read: BTreeMap<String, String> = node.read(TypedKeys::Yes).unwrap();
        assert_eq!(read.values().next().unwrap(), text);
    }
    let max = u128::MAX.to_string();
    let node = Node::parse(&format!(r#"{{"$serde_json::private::Number":"{max}"}}"#)).unwrap();
    assert_eq!(node.read::<u128>(TypedKeys::Yes).unwrap(), u128::MAX);
    let node = Node::parse(r#"{"$serde_json::private::Number":"1.50"}"#).unwrap();
    assert_eq!(node.read::<f64>(TypedKeys::Yes).unwrap(), 1.5);
    assert_eq!(node.read::<f32>(TypedKeys::Yes).unwrap(), 1.5);
}

#[test]
fn a_number_is_no_position_of_a_variant() {
    #[derive(Debug, Deserialize)]
    #[serde(tag = "t")]
    enum Tagged {
        Unit,
    }
    assert!(refused::<Tagged>(r#"{"t":0}"#).contains("an integer"));
    let node = Node::parse(r#"{"t":"Unit"}"#).unwrap();
    assert!(matches!(node.read(TypedKeys::Yes).unwrap(), Tagged::Unit));
}

/// serde's own `f32` takes it for infinity.
#[test]
fn a_float_that_is_too_large_for_an_f32_is_no_infinity() {
    use ordered_float::OrderedFloat;

    for large in ["1e300", "-3.5e38"] {
        assert!(refused::<f32>(large).contains("too large for an `f32`"));
        assert!(refused::<Vec<Option<f32>>>(&format!("[{large}]")).contains("too large"));
        let keyed = format!(r#"{{"{large}":1}}"#);
        assert!(refused::<BTreeMap<OrderedFloat<f32>, u8>>(&keyed).contains("too large"));
    }
    for large in ["1e300", "1.0e300", "1e400"] {
        let number = format!(r#"{{"$serde_json::private::Number":"{large}"}}"#);
        assert!(Node::parse(&number).unwrap().read::<f32>(TypedKeys::Yes).is_err(), "{large}");
    }
    for fits in ["3.4e38", "-0.1", "7", "1e-300"] {
        let read: f32 = Node::parse(fits).unwrap().read(TypedKeys::Yes).unwrap();
        assert_eq!(read, serde_json::from_str::<f32>(fits).unwrap());
    }
}
