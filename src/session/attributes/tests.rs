//! Values by name: an accepted value reads back equal, and others are refused.

use super::*;

#[test]
fn a_value_of_another_type_is_an_error_and_stays() {
    let mut attributes = Attributes::new();
    attributes.set("n", "text").unwrap();
    assert!(matches!(attributes.get::<u32>("n"), Err(Error::Attribute { .. })));
    assert!(attributes.take::<u32>("n").is_err());
    assert_eq!(attributes.get::<String>("n").unwrap().as_deref(), Some("text"));
}

#[test]
fn what_could_not_be_read_back_is_refused_and_changes_nothing() {
    let nested = |depth: usize| {
        let mut value = serde_json::Value::Null;
        for _ in 0..depth {
            value = serde_json::Value::Array(vec![value]);
        }
        value
    };
    let mut attributes = Attributes::new();
    attributes.set("deep", nested(127)).unwrap();
    assert!(attributes.set("deep", nested(128)).is_err());
    assert_eq!(attributes.get::<serde_json::Value>("deep").unwrap(), Some(nested(127)));

    let keyed_by_a_list = BTreeMap::from([(vec![1], 1)]);
    assert!(attributes.set("map", keyed_by_a_list).is_err());
    assert!(!attributes.contains("map"));
}

#[test]
fn the_attributes_are_counted_by_name() {
    let mut attributes = Attributes::new();
    assert!(attributes.is_empty());
    for (name, value) in [("a", 1), ("b", 2), ("a", 3)] {
        attributes.set(name, value).unwrap();
    }
    assert_eq!((attributes.len(), attributes.is_empty()), (2, false));
    attributes.remove("a");
    assert_eq!(attributes.take::<u8>("b").unwrap(), Some(2));
    assert_eq!((attributes.len(), attributes.is_empty()), (0, true));
}

#[test]
fn debug_shows_names_and_no_values() {
    let mut attributes = Attributes::new();
    attributes.set("card", "4111 1111").unwrap();
    assert_eq!(format!("{attributes:?}"), "Attributes{\"card\"}");
}

#[test]
fn the_attributes_are_listed_in_the_order_of_their_names() {
    let mut attributes = Attributes::new();
    attributes.set("b", 1).unwrap();
    attributes.set("a", "x").unwrap();
    assert_eq!(attributes.iter().collect::<Vec<_>>(), [("a", "\"x\""), ("b", "1")]);
}

/// With `arbitrary_precision`, serde_json takes such an object for a number.
#[test]
fn an_object_is_taken_as_text_only_if_it_is_taken_as_a_value() {
    let text = r#"{"$serde_json::private::Number":"12"}"#;
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut attributes = Attributes::new();
    assert_eq!(attributes.set_json("a", text).is_ok(), attributes.set("a", &value).is_ok());
    assert_eq!(attributes.is_empty(), value.is_object());
}

/// A cookie or a cache may hold a map that another program wrote.
#[test]
fn attributes_from_another_binary_format_are_checked() {
    let decode = |texts: &BTreeMap<&str, &str>| {
        let bytes = bincode::serde::encode_to_vec(texts, bincode::config::standard()).unwrap();
        bincode::serde::decode_from_slice::<Attributes, _>(&bytes, bincode::config::standard())
            .map(|(attributes, _)| attributes)
    };
    let attributes = decode(&BTreeMap::from([("theme", "1")])).unwrap();
    assert_eq!(attributes.get::<u8>("theme").unwrap(), Some(1));
    for text in ["1,\"admin\":true", "{\"a\":1,\"a\":2}", "nothing"] {
        assert!(decode(&BTreeMap::from([("theme", text)])).is_err(), "{text}");
    }
}
