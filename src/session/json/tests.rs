//! `Json<T>` in formats that are not human-readable. Other tests go through a store.

use std::collections::BTreeMap;

use super::*;

#[test]
fn json_is_a_text_where_nobody_reads() {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(Json(vec![1, 2]), config).unwrap();
    assert_eq!(bytes, b"\x05[1,2]");
    let (read, len) =
        bincode::serde::decode_from_slice::<Json<Vec<u8>>, _>(&bytes, config).unwrap();
    assert_eq!((read, len), (Json(vec![1, 2]), 6));
    let (text, _) = bincode::serde::decode_from_slice::<JsonText, _>(&bytes, config).unwrap();
    assert_eq!(text.into_text(), "[1,2]");
    assert!(bincode::serde::decode_from_slice::<Json<bool>, _>(&bytes, config).is_err());
}

/// serde_json makes invalid text of the rest of such a key, and panics as it shows it.
#[test]
fn a_key_in_any_script_that_is_no_boolean_is_an_error() {
    for key in ["é", "ß", "\u{7ff}x", "\u{20ac}", "\u{1f600}true", "true\u{1f600}", "tea", ""] {
        let text = format!(r#"{{"{key}":1}}"#);
        let read = reading::from_text::<BTreeMap<bool, u8>>(&text);
        let told = read.unwrap_err().to_string();
        assert!(told.contains("a text, and the type expects a boolean"), "{key}: {told}");
        let read = reading::from_text::<BTreeMap<String, u8>>(&text).unwrap();
        assert_eq!(read, BTreeMap::from([(key.to_owned(), 1)]));
    }
}

#[test]
fn a_text_that_serde_json_does_not_read_is_not_said_to_be_no_json() {
    for text in ["1e400", "-1e999", r#""\ud800""#, r#"["é\udc00"]"#] {
        let told = reading::check(text).unwrap_err().to_string();
        assert!(told.contains("too large or half a surrogate pair"), "{text}: {told}");
    }
}
