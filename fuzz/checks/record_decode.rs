//! What holds for any bytes that are read as a record. Shared by the fuzz target and the test that
//! replays its corpus.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sessile::engine::Record;
use sessile::testing::stored_content;
use sessile::{Attributes, SessionKey, SessionStore};

/// One of every shape that serde knows, and a recursive one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Shapes {
    text: String,
    bytes: Vec<u8>,
    numbers: (u8, i16, u32, i64, u128),
    floats: (f32, f64),
    option: Option<Box<Shapes>>,
    map: BTreeMap<String, Choice>,
    letter: char,
    units: Vec<()>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Newtype(String),
    Tuple(bool, u16),
    Struct { nested: Vec<Choice> },
}

/// The first byte tells what the rest is read as: a record, or content of one of three types.
pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => check_record(bytes),
        1 => check_content::<Shapes>(bytes),
        2 => check_content::<Attributes>(bytes),
        _ => check_content::<Vec<Choice>>(bytes),
    }
}

fn check_record(bytes: &[u8]) {
    let key = SessionKey::from_bytes([7; 16]);
    if let Ok(record) = Record::decode(&key, bytes) {
        assert_eq!(record.encode(&key), bytes, "a record has one spelling");
    }
    // Few random bytes have the right checksum; so give them one, and see what else is checked.
    let checksum = crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), bytes);
    let sealed = [bytes, &checksum.to_le_bytes()].concat();
    if let Ok(record) = Record::decode(&key, &sealed) {
        assert_eq!(record.encode(&key), sealed, "a record has one spelling");
        assert!(record.last_active() >= record.created_at());
        assert!(record.user().is_none_or(|user| !user.as_bytes().is_empty()));
        let other = SessionKey::from_bytes([8; 16]);
        assert!(Record::decode(&other, &sealed).is_err(), "it decodes under another key");
    }
}

/// Decoding never panics. bincode accepts some values in more than one spelling (a small number in
/// a wide encoding), so what is compared is the value, and from then on the bytes. What was decoded a
/// store takes and gives back.
fn check_content<T: Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
    let Ok(value) = stored_content(1, bytes).decode::<T>() else { return };
    let once = match sessile::testing::encode_content(&value) {
        Ok(once) => once,
        // A length in a wide spelling allows for a few more elements that take no bytes.
        Err(error) => return assert!(error.to_string().contains("that take none"), "{error}"),
    };
    assert!(once.len() <= bytes.len(), "the encoding is the shortest one");
    let again: T = stored_content(1, &once).decode().expect("what was encoded decodes");
    assert_eq!(sessile::testing::encode_content(&again).expect("encodes again"), once);
    let builder = SessionStore::<T>::builder().manual_maintenance().max_content_len(16 << 20);
    let store = builder.in_memory().expect("a store in memory");
    let id = store.create(value).expect("what decodes is stored").id().clone();
    let read = store.read(&id).expect("it is read").expect("it is there").into_content();
    assert_eq!(sessile::testing::encode_content(&read).expect("encodes again"), once);
}
