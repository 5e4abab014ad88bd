//! What holds for any text that is read as JSON content. Shared by the fuzz target and the test that
//! replays its corpus.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sessile::{Attributes, Json, SessionStore};

/// What typed content cannot hold: a type that asks what comes next, in every way that serde has.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nickname: Option<String>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    prices: HashMap<u32, f64>,
    #[serde(flatten)]
    rest: BTreeMap<String, Setting>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Role {
    Guest,
    Member { since: i64, level: f32 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Setting {
    Flag(bool),
    Number(i64),
    Float(f64),
    Text(String),
    List(Vec<Setting>),
}

type Tuple = (Option<Option<u8>>, u128, f32, f64, char, BTreeMap<bool, ()>);

/// Whether JSON can write it. A number of JSON beyond an `f32` is read as an infinity, which JSON
/// does not have; one beyond an `f64` is not read at all.
trait Writable {
    fn is_writable(&self) -> bool;
}

impl Writable for Profile {
    fn is_writable(&self) -> bool {
        let is_finite = |role: &Role| match role {
            Role::Guest => true,
            Role::Member { level, .. } => level.is_finite(),
        };
        self.roles.iter().all(is_finite)
    }
}

impl Writable for Value {
    fn is_writable(&self) -> bool {
        true
    }
}

impl Writable for Tuple {
    fn is_writable(&self) -> bool {
        self.2.is_finite()
    }
}

/// The first byte tells what the rest is read as.
pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match kind % 4 {
        0 => check_type::<Profile>(text),
        1 => check_type::<Value>(text),
        2 => check_type::<Tuple>(text),
        _ => check_attribute(text),
    }
}

/// What a type was read from JSON as comes back from a store, or is refused if JSON cannot write it.
fn check_type<T: Serialize + DeserializeOwned + Debug + PartialEq + Writable>(text: &str) {
    let Ok(value) = serde_json::from_str::<T>(text) else { return };
    let store = SessionStore::<Json<T>>::builder()
        .manual_maintenance()
        .max_content_len(1 << 20)
        .in_memory()
        .expect("a store in memory");
    if !value.is_writable() {
        return assert!(store.create(Json(value)).is_err(), "an infinity is taken");
    }
    let created = store.create(Json(value)).expect("what JSON gave can be kept as JSON");
    let read = store.read(created.id()).expect("it is read").expect("it is there");
    assert_eq!(read.content(), created.content(), "another value");
}

/// A text that is taken is the value that it stands for, and a value is taken as its text is.
fn check_attribute(text: &str) {
    let mut attributes = Attributes::new();
    let value = serde_json::from_str::<Value>(text);
    if attributes.set_json("a", text).is_err() {
        // Twice the same key is the one thing more that is refused.
        assert!(value.is_err() || text.contains(':'), "{text:?} is JSON");
        return;
    }
    let value = value.expect("what is not JSON is refused");
    assert_eq!(attributes.get::<Value>("a").expect("it is a value"), Some(value.clone()));
    attributes.set("b", &value).expect("a value is JSON");
    assert_eq!(attributes.get::<Value>("b").expect("it is a value"), Some(value));
    let store: SessionStore = SessionStore::builder()
        .manual_maintenance()
        .max_content_len(1 << 20)
        .in_memory()
        .expect("a store in memory");
    let created = store.create(attributes).expect("they are taken");
    let read = store.read(created.id()).expect("it is read").expect("it is there");
    assert_eq!(read.content(), created.content(), "other attributes");
}
