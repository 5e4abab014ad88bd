//! `Json<T>`: content of any serde type. A value that does not survive the round trip is refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use sessile::engine::{ContentKind, Engine, MemoryEngine, Moment};
use sessile::{Attributes, Error, Json, SessionOptions, SessionStore};

use super::{comes_back, is_refused, mismatch, store_on};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wide {
    n: u128,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Outer {
    #[serde(flatten)]
    wide: Wide,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Tagged {
    Prices { by_id: HashMap<u32, u32> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    ByName(BTreeMap<String, u8>),
    ById(BTreeMap<u16, u8>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Sizes {
    Small(u8),
    Large(u16),
}

#[test]
fn values_that_json_keeps_come_back() {
    comes_back(Json(0.1_f64 + 0.2));
    comes_back(Json(vec![f64::MAX, -0.0, 5e-324, 1e23]));
    comes_back(Json(f32::from_bits(0x0000_0001)));
    comes_back(Json(u128::MAX));
    comes_back(Json(i128::MIN));
    comes_back(Json(BTreeMap::from([(7u32, 1u8)])));
    comes_back(Json(HashMap::from([(true, HashSet::from([1, 2, 3, 4, 5]))])));
    comes_back(Json("\u{0}\u{1f600}\"\\".to_owned()));
    comes_back(Json(Some(Some(1u8))));
    comes_back(Json(vec![Some(1u8), None]));
    comes_back(Json(Sizes::Small(7)));
    comes_back(Json(Sizes::Large(700)));
    comes_back(Json((0..200).map(|n| (n.to_string(), n)).collect::<HashMap<_, _>>()));
}

#[test]
fn values_that_json_does_not_keep_are_refused() {
    is_refused(Json(f64::NAN), &["not finite"]);
    is_refused(Json(vec![Some(f32::INFINITY)]), &["not finite"]);
    is_refused(Json(Some(None::<u8>)), &["a `Some` that holds nothing"]);
    is_refused(Json(Some(())), &["a `Some` that holds nothing"]);
    is_refused(Json(Outer { wide: Wide { n: u128::MAX } }), &["Outer"]);
    is_refused(Json(Outer { wide: Wide { n: 7 } }), &["Outer"]);
    is_refused(Json(Tagged::Prices { by_id: HashMap::from([(7, 1_999)]) }), &["Tagged"]);
    is_refused(Json(BTreeMap::from([(vec![1u8], 1u8)])), &["a key of a map"]);
}

/// The text is the same for both; the value is not.
#[test]
fn a_value_that_comes_back_as_another_variant_is_refused() {
    comes_back(Json(Either::ByName(BTreeMap::from([("7".into(), 1)]))));
    is_refused(Json(Either::ById(BTreeMap::from([(7, 1)]))), &["another value"]);
    is_refused(Json(Sizes::Large(7)), &["another value"]);
}

#[test]
fn an_object_that_serde_json_takes_for_a_raw_text_is_refused() {
    let text = "{\"role\":\"admin\"}";
    let form = serde_json::json!({ "$serde_json::private::RawValue": text });
    is_refused(Json(form), &["another value"]);
}

#[test]
fn a_map_without_an_order_comes_back_as_json() {
    let map = || dashmap::DashMap::<u8, u8>::from_iter((0..200).map(|n| (n, n)));
    for _ in 0..20 {
        let store = store_on::<Json<dashmap::DashMap<u8, u8>>>(&Arc::default());
        let id = store.create(Json(map())).unwrap().id().clone();
        assert_eq!(store.read(&id).unwrap().unwrap().content().len(), 200);
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    #[serde(flatten)]
    rest: HashMap<String, serde_json::Value>,
}

/// Each map hashes as every other one. What it had before decides its order too.
type Fixed<V> = HashMap<String, V, BuildHasherDefault<DefaultHasher>>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Settings {
    Of(HashMap<String, u32>),
    Fixed(Fixed<u32>),
    Each {
        #[serde(serialize_with = "one_by_one")]
        map: Fixed<u32>,
    },
}

fn one_by_one<S: Serializer>(map: &Fixed<u32>, to: S) -> Result<S::Ok, S::Error> {
    let mut entries = to.serialize_map(None)?;
    map.iter().try_for_each(|(key, value)| entries.serialize_entry(key, value))?;
    entries.end()
}

#[test]
fn a_flattened_map_without_an_order_comes_back_as_json() {
    for round in 0..20 {
        for size in [2, 3, 5, 50] {
            let names = || (0..size).map(|number| format!("name {number}"));
            let mut fixed = Fixed::with_capacity_and_hasher(round * 100, Default::default());
            fixed.extend(names().zip(0..));
            let rest = names().map(|name| (name.clone(), name.into())).collect();
            comes_back(Json(Profile { name: "ann".into(), rest }));
            comes_back(Json(Settings::Of(names().zip(0..).collect())));
            comes_back(Json(Settings::Fixed(fixed.clone())));
            comes_back(Json(Settings::Each { map: fixed }));
        }
    }
}

#[test]
fn an_attribute_with_a_flattened_map_comes_back() {
    let rest = (0..50).map(|number| (number.to_string(), number.into())).collect();
    let profile = Profile { name: "ann".into(), rest };
    let mut attributes = Attributes::new();
    attributes.set("profile", &profile).unwrap();
    comes_back(attributes.clone());
    comes_back(Json(attributes.clone()));
    assert_eq!(attributes.get("profile").unwrap(), Some(profile));
}

#[test]
fn json_nests_127_levels_and_no_more() {
    let nested = |levels: usize| {
        (0..levels)
            .fold(serde_json::Value::Null, |inside, _| serde_json::Value::Array(vec![inside]))
    };
    comes_back(Json(nested(127)));
    is_refused(Json(nested(128)), &["127 levels"]);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Chain {
        End,
        Newtype(Box<Chain>),
        Struct { next: Box<Chain> },
    }
    let chain = |levels: usize| (0..levels).fold(Chain::End, |next, _| Chain::Newtype(next.into()));
    comes_back(Json(chain(127)));
    is_refused(Json(chain(128)), &["127 levels"]);
    let chain =
        |levels: usize| (0..levels).fold(Chain::End, |next, _| Chain::Struct { next: next.into() });
    comes_back(Json(chain(63)));
    is_refused(Json(chain(64)), &["127 levels"]);
}

/// Writes so many elements, and counts them.
#[derive(Debug, Deserialize)]
struct Counted {
    elements: u64,
    #[serde(skip)]
    written: AtomicU64,
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(None)?;
        for _ in 0..self.elements {
            self.written.fetch_add(1, Ordering::Relaxed);
            list.serialize_element(&())?;
        }
        list.end()
    }
}

#[test]
fn a_json_text_beyond_the_limit_ends_at_the_limit() {
    const LIMIT: u64 = 16 << 20;
    let counted = || Counted { elements: 2 * LIMIT, written: AtomicU64::new(0) };
    let ends_at_the_limit = |counted: &Counted| {
        let written = counted.written.load(Ordering::Relaxed);
        assert!((LIMIT / 5..LIMIT / 4).contains(&written), "{written} elements of 5 bytes");
    };
    let builder = SessionStore::<Json<Counted>>::builder().max_content_len(16 << 20);
    for store in [builder.in_memory().unwrap(), SessionStore::in_memory().unwrap()] {
        let refused = store.create_or_give_back(Json(counted()), &SessionOptions::new());
        let (error, content) = refused.unwrap_err().into_parts();
        assert!(matches!(error, Error::TooLarge { len, max } if len > max), "{error:?}");
        ends_at_the_limit(&content);
    }
    let (mut attributes, content) = (Attributes::new(), counted());
    let refused = attributes.set("many", &content).unwrap_err().to_string();
    assert!(refused.contains("16 MiB"), "{refused}");
    ends_at_the_limit(&content);
    // A format of another crate gets no text that was cut off.
    assert!(bincode::serde::encode_to_vec(Json(counted()), bincode::config::standard()).is_err());
}

#[test]
fn a_json_text_of_the_limit_itself_is_content() {
    let text = |len: usize| Json("x".repeat(len));
    // The text has two quotes, and its length takes five bytes.
    let whole = (16 << 20) - 2 - 5;
    let builder = SessionStore::<Json<String>>::builder().max_content_len(16 << 20);
    let store = builder.in_memory().unwrap();
    let id = store.create(text(whole)).unwrap().id().clone();
    assert_eq!(store.read(&id).unwrap().unwrap().content().len(), whole);
    for longer in [whole + 1, whole + 5, whole + 6, whole + 100] {
        let refused = store.create(text(longer)).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { .. }), "{longer}: {refused:?}");
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cart1 {
    items: Vec<u32>,
    note: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cart2 {
    #[serde(default = "euro")]
    currency: String,
    items: Vec<u64>,
}

fn euro() -> String {
    "EUR".into()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cart3 {
    items: Vec<u32>,
    country: String,
}

#[test]
fn fields_come_and_go_without_a_version() {
    let engine = Arc::<MemoryEngine>::default();
    let first = store_on::<Json<Cart1>>(&engine);
    let id = first.create(Json(Cart1 { items: vec![1], note: "n".into() })).unwrap().id().clone();
    let second = store_on::<Json<Cart2>>(&engine);
    let read = second.read(&id).unwrap().unwrap().into_content().into_inner();
    assert_eq!(read, Cart2 { currency: "EUR".into(), items: vec![1] });
    // A missing field without a default is an error that names the field.
    let error = store_on::<Json<Cart3>>(&engine).read(&id).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("missing field `country`"), "{source}");
    assert!(mismatch::<()>(Err(error)).contains("#[serde(default)]"));
}

#[test]
fn an_error_of_reading_shows_no_value() {
    let engine = Arc::<MemoryEngine>::default();
    let content = Json(BTreeMap::from([("card".to_owned(), "4111 1111".to_owned())]));
    let id = store_on(&engine).create(content).unwrap().id().clone();
    let error = store_on::<Json<BTreeMap<String, u32>>>(&engine).read(&id).unwrap_err();
    let text = format!("{error:?}");
    assert!(!text.contains("4111"), "{text}");
    assert!(text.contains("it has a text, and the type expects u32"), "{text}");
}

#[test]
fn json_is_its_value_for_the_program_and_for_other_formats() {
    let mut json = Json(vec![1, 2]);
    json.push(3);
    assert_eq!((json.len(), Json::from(vec![1]).into_inner()), (3, vec![1]));
    assert_eq!(serde_json::to_string(&json).unwrap(), "[1,2,3]");
    assert_eq!(serde_json::from_str::<Json<Vec<u8>>>("[1,2,3]").unwrap(), Json(vec![1, 2, 3]));
    assert_eq!(format!("{json:?}"), "[1, 2, 3]");
}

#[test]
fn json_and_attributes_stand_inside_typed_content_and_inside_json() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Mixed {
        plain: u8,
        json: Json<Option<HashMap<String, serde_json::Value>>>,
        named: Attributes,
        list: Vec<Json<Either>>,
    }
    let mut named = Attributes::new();
    named.set("by id", BTreeMap::from([(7u8, 0.1)])).unwrap();
    let content = Mixed {
        plain: 7,
        json: Json(Some(HashMap::from([("a".into(), 0.1.into()), ("b".into(), true.into())]))),
        named,
        list: vec![Json(Either::ByName(BTreeMap::from([("x".into(), 1)])))],
    };
    comes_back(content.clone());
    comes_back(Json(content.clone()));
    let mut lossy = content;
    lossy.list = vec![Json(Either::ById(BTreeMap::from([(7, 1)])))];
    is_refused(lossy, &["another value", "Mixed.list"]);
}

#[test]
fn a_tool_without_the_type_can_show_json_and_attributes() {
    let engine = Arc::<MemoryEngine>::default();
    let shown = |key| {
        let record = engine.load(&key, Moment::BEGINNING).unwrap().unwrap();
        (record.content_kind().unwrap(), record.stored_content().to_json().unwrap())
    };
    let cart = Json(Cart1 { items: vec![1, 2], note: "\"n\"".into() });
    let key = store_on(&engine).create(cart).unwrap().key();
    let text = r#"{"items":[1,2],"note":"\"n\""}"#;
    assert_eq!(shown(key), (ContentKind::Json, Some(text.into())));

    let mut attributes = Attributes::new();
    attributes.set("a \"name\"", vec![1]).unwrap();
    attributes.set("by id", BTreeMap::from([(7u8, "x")])).unwrap();
    let key = store_on(&engine).create(attributes).unwrap().key();
    let text = r#"{"a \"name\"":[1],"by id":{"7":"x"}}"#;
    assert_eq!(shown(key), (ContentKind::Attributes, Some(text.into())));
    assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());

    let key = store_on(&engine).create("typed".to_owned()).unwrap().key();
    assert_eq!(shown(key), (ContentKind::Typed, None));
    // A type of the program that begins with either is still one of the program.
    let key = store_on(&engine).create((Json(1u8), 2u8)).unwrap().key();
    assert_eq!(shown(key), (ContentKind::Typed, None));
    let key = store_on(&engine).create(vec![Json(1u8)]).unwrap().key();
    assert_eq!(shown(key), (ContentKind::Typed, None));
    let key = store_on(&engine).create(Some(Attributes::new())).unwrap().key();
    assert_eq!(shown(key), (ContentKind::Typed, None));
}

#[test]
fn json_in_a_file_outlives_the_process_that_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let store = SessionStore::<Json<Cart1>>::open(&path).unwrap();
    let cart = Cart1 { items: vec![1], note: "n".into() };
    let id = store.create(Json(cart.clone())).unwrap().id().clone();
    store.close().unwrap();
    let store = SessionStore::<Json<Cart1>>::open(&path).unwrap();
    assert_eq!(**store.read(&id).unwrap().unwrap().content(), cart);
}

/// A number as that many options in one another, which add no level to a JSON text.
#[derive(Serialize, Deserialize)]
struct Peano(Option<Box<Peano>>);

/// A number of options around a text.
#[derive(PartialEq, Eq, Hash)]
struct Wrapped(u16);

impl Serialize for Wrapped {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => to.serialize_str("inmost"),
            left => to.serialize_some(&Self(left - 1)),
        }
    }
}

#[test]
fn options_in_one_another_are_refused_before_they_use_up_the_stack() {
    let number = |size| (0..size).fold(Peano(None), |number, _| Peano(Some(Box::new(number))));
    for size in [1_000, 8_000] {
        let store = SessionStore::<Json<Peano>>::in_memory().unwrap();
        let refused = store.create(Json(number(size))).unwrap_err();
        assert!(refused.to_string().contains("options or newtypes"), "{refused}");
        let refused = Attributes::new().set("number", number(size)).unwrap_err();
        let cause = std::error::Error::source(&refused).map(ToString::to_string);
        assert!(
            format!("{refused} {cause:?}").contains("options or newtypes"),
            "{refused} {cause:?}"
        );
        let keyed = Attributes::new().set("key", HashMap::from([(Wrapped(size), 1)])).unwrap_err();
        let cause = std::error::Error::source(&keyed).map(ToString::to_string);
        assert!(format!("{keyed} {cause:?}").contains("options or newtypes"), "{keyed} {cause:?}");
        let store = SessionStore::<Peano>::in_memory().unwrap();
        let refused = store.create(number(size)).unwrap_err();
        assert!(refused.to_string().contains("levels"), "{refused}");
    }
}
