//! Each attribute of serde in typed content, and in `Json<T>`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sessile::Json;

use super::{comes_back, is_refused};

/// Checks that content is read back unchanged, typed and as JSON.
fn comes_back_both_ways<C>(content: C)
where
    C: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    comes_back(content.clone());
    comes_back(Json(content));
}

/// Checks that content is read back as JSON alone; and that the typed form is refused, with this
/// error.
fn needs_json<C>(content: C, says: &[&str])
where
    C: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    is_refused(content.clone(), says);
    is_refused(content.clone(), &["Json<T>"]);
    comes_back(Json(content));
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Renamed {
    #[serde(rename = "userNumber")]
    user_id: u32,
    #[serde(default)]
    last_seen: Option<u64>,
    color_scheme: String,
    #[serde(skip)]
    cached: u8,
}

#[test]
fn rename_default_and_skip_go_with_typed_content() {
    let content = Renamed { user_id: 7, color_scheme: "dark".into(), ..Renamed::default() };
    comes_back_both_ways(content.clone());
    comes_back_both_ways(vec![content.clone(), content]);
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    a: u8,
}

/// A failing test shows sixty thousand of them.
impl std::fmt::Debug for Item {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("_")
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct LastIsOdd {
    items: Vec<Item>,
    last: u8,
}

impl Serialize for LastIsOdd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("LastIsOdd", 2)?;
        fields.serialize_field("items", &self.items)?;
        fields.serialize_field("last", &[self.last])?;
        fields.end()
    }
}

#[test]
fn what_is_wrong_is_found_behind_as_many_elements_as_there_may_be() {
    let items: Vec<_> = (0..60_000).map(|a: u32| Item { a: a as u8 }).collect();
    comes_back(items.clone());
    is_refused(LastIsOdd { items, last: 1 }, &["LastIsOdd.last", "a tuple", "asks for a u8"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Names {
    #[serde(alias = "first_name")]
    name: String,
    nick: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Login {
    By {
        #[serde(alias = "first_name")]
        name: String,
        nick: String,
    },
}

/// serde lists the names and aliases of all fields in one list. A next release could have the same
/// list with the fields `first_name` and `name`.
#[test]
fn an_alias_of_a_field_needs_json() {
    let names = Names { name: "ann".into(), nick: "annie".into() };
    needs_json(names.clone(), &["`first_name`", "`Names`", "`alias`"]);
    needs_json(vec![Some(names)], &["`first_name`", "`Names`", "`alias`"]);
    let login = Login::By { name: "ann".into(), nick: "annie".into() };
    needs_json(login, &["`first_name`", "`alias`"]);
    comes_back(Vec::<Names>::new());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    inner: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
struct Ordered(u8, u8);

impl TryFrom<(u8, u8)> for Ordered {
    type Error = String;

    fn try_from((low, high): (u8, u8)) -> Result<Self, String> {
        if low <= high { Ok(Self(low, high)) } else { Err("they are not in order".into()) }
    }
}

impl From<Ordered> for (u8, u8) {
    fn from(Ordered(low, high): Ordered) -> Self {
        (low, high)
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Timed {
    #[serde(with = "seconds")]
    limit: std::time::Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "std::ops::Bound<u8>")]
enum RemoteBound {
    Included(u8),
    Excluded(u8),
    Unbounded,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bounded(#[serde(with = "RemoteBound")] std::ops::Bound<u8>);

#[test]
fn transparent_from_into_with_and_remote_go_with_typed_content() {
    comes_back_both_ways(Transparent { inner: vec![1, 2] });
    comes_back_both_ways(Ordered(1, 2));
    comes_back_both_ways(Timed { limit: std::time::Duration::from_secs(9) });
    comes_back_both_ways(Bounded(std::ops::Bound::Excluded(7)));
    comes_back_both_ways(Bounded(std::ops::Bound::Unbounded));
}

#[test]
fn a_value_that_its_own_type_refuses_to_read_is_refused() {
    is_refused(Ordered(2, 1), &["Ordered", "does not take what `Serialize` wrote"]);
    is_refused(Json(Ordered(2, 1)), &["Ordered"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Role {
    #[serde(skip)]
    #[allow(dead_code)]
    Internal,
    Guest,
    Member {
        since: u32,
    },
    Admin(String),
}

#[test]
fn a_variant_behind_a_skipped_one_is_never_read_as_the_next() {
    needs_json(Role::Guest, &["`Guest` of `Role`", "read as `Member`", "skipped variants"]);
    needs_json(Role::Member { since: 1 }, &["`Member` of `Role`", "read as `Admin`"]);
    needs_json(Role::Admin("ann".into()), &["`Admin` of `Role`", "does not list"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Level {
    Guest,
    Admin,
    #[serde(skip)]
    #[allow(dead_code)]
    Internal,
}

#[test]
fn a_skipped_variant_behind_all_others_is_in_nobodys_way() {
    comes_back_both_ways(vec![Level::Guest, Level::Admin]);
    is_refused(Level::Internal, &["Level", "cannot be serialized"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Aliased {
    Guest,
    #[serde(alias = "Boss")]
    Admin,
    Owner,
}

#[test]
fn a_variant_behind_one_with_an_alias_is_never_read_as_another() {
    comes_back_both_ways(vec![Aliased::Guest, Aliased::Admin]);
    needs_json(Aliased::Owner, &["`Owner` of `Aliased`", "aliases"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum OneWay {
    Kept,
    #[serde(skip_deserializing)]
    WrittenOnly,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Other {
    Known(u8),
    #[serde(other)]
    Unknown,
}

#[test]
fn a_variant_that_is_written_and_not_read_is_refused() {
    comes_back_both_ways(OneWay::Kept);
    is_refused(OneWay::WrittenOnly, &["`WrittenOnly` of `OneWay`", "does not list"]);
    is_refused(Json(OneWay::WrittenOnly), &["OneWay"]);
    comes_back_both_ways(vec![Other::Known(1), Other::Unknown]);
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct LeftOut {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_admin: bool,
    note: String,
}

/// The bytes of `{ note: "\0" }` are also those of `{ is_admin: true, note: "" }`.
#[test]
fn a_field_that_is_left_out_is_refused_and_never_read_from_the_next() {
    let content = LeftOut { is_admin: false, note: "\0".into() };
    needs_json(content, &["`is_admin` of `LeftOut`", "skip_serializing_if"]);
    comes_back_both_ways(LeftOut { is_admin: true, note: "x".into() });
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LeftOutOfTuple(#[serde(skip_serializing_if = "std::ops::Not::not")] bool, String);

/// No call of serde shows that a field of a tuple struct is left out.
#[test]
fn a_field_that_is_left_out_of_a_tuple_struct_is_refused() {
    is_refused(LeftOutOfTuple(false, "\0".into()), &["LeftOutOfTuple", "Json<T>"]);
    comes_back_both_ways(LeftOutOfTuple(true, "x".into()));
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct WrittenOnly {
    #[serde(skip_deserializing)]
    first: u8,
    second: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ReadOnly {
    #[serde(skip_serializing, default)]
    first: u8,
    second: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Crossed {
    #[serde(skip_deserializing)]
    is_guest: bool,
    #[serde(skip_serializing, default)]
    is_admin: bool,
}

#[test]
fn a_field_that_goes_one_way_is_refused_whatever_its_value_is() {
    let says = ["`first` of `WrittenOnly`", "skip_deserializing"];
    is_refused(WrittenOnly { first: 0, second: 0 }, &says);
    is_refused(WrittenOnly { first: 1, second: 2 }, &says);
    let says = ["`first` of `ReadOnly`", "skip_serializing"];
    is_refused(ReadOnly { first: 0, second: 0 }, &says);
    is_refused(Crossed::default(), &["`is_guest` of `Crossed`"]);
    is_refused(Crossed { is_guest: true, is_admin: false }, &["`is_guest` of `Crossed`"]);
    // In JSON the names identify the fields, so only the skipped field is lost.
    comes_back(Json(ReadOnly { first: 0, second: 2 }));
    is_refused(Json(WrittenOnly { first: 1, second: 2 }), &["another value", "WrittenOnly.first"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    user: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum InternallyTagged {
    Guest,
    Member { id: u32 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum AdjacentlyTagged {
    Guest,
    Member(u32),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
struct TaggedStruct {
    id: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum WithUntaggedVariant {
    Known,
    #[serde(untagged)]
    Any(String),
}

#[test]
fn content_that_asks_what_comes_next_needs_json() {
    let rest = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    needs_json(Flattened { user: 1, rest }, &["flatten", "Flattened"]);
    needs_json(Untagged::Text("x".into()), &["deserialize_any", "Untagged"]);
    needs_json(vec![Untagged::Number(1)], &["deserialize_any"]);
    needs_json(InternallyTagged::Guest, &["InternallyTagged"]);
    needs_json(InternallyTagged::Member { id: 7 }, &["InternallyTagged"]);
    needs_json(AdjacentlyTagged::Guest, &["AdjacentlyTagged"]);
    needs_json(AdjacentlyTagged::Member(7), &["AdjacentlyTagged"]);
    needs_json(TaggedStruct { id: 7 }, &["TaggedStruct"]);
    needs_json(WithUntaggedVariant::Any("x".into()), &["WithUntaggedVariant"]);
    needs_json(WithUntaggedVariant::Known, &["WithUntaggedVariant"]);
}

#[test]
fn a_json_value_needs_json_wherever_it_stands() {
    let value = serde_json::json!({ "cart": ["tea"], "n": 1, "f": 0.1, "none": null });
    needs_json(value.clone(), &["deserialize_any"]);
    needs_json(HashMap::from([("prefs".to_owned(), value.clone())]), &["deserialize_any"]);
    needs_json((1u8, vec![value]), &["the content.1[0]"]);
    // An empty map asks for no value.
    comes_back_both_ways(HashMap::<String, serde_json::Value>::new());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ignoring {
    #[serde(deserialize_with = "ignore")]
    first: u8,
    second: u8,
}

fn ignore<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| 0)
}

#[test]
fn a_value_that_is_read_to_be_thrown_away_is_refused() {
    is_refused(Ignoring { first: 1, second: 2 }, &["deserialize_ignored_any", "Ignoring.first"]);
}
