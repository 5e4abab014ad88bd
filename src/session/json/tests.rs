//! `Json<T>` in formats that are not human-readable. Other tests go through a store.

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
