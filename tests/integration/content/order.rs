//! Lists and maps that come back in another order.

use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::de::Deserializer;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};
use sessile::Json;

use super::{comes_back, is_refused};

/// A stack that is written from its top, and read as if it had been written from its bottom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reversed(Vec<u8>);

impl Serialize for Reversed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().rev())
    }
}

impl<'de> Deserialize<'de> for Reversed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self)
    }
}

#[test]
fn a_list_that_comes_back_in_another_order_is_refused() {
    comes_back(Reversed(vec![1]));
    is_refused(Reversed(vec![1, 2, 3]), &["another value", "order"]);
    is_refused((1u8, Reversed(vec![1, 2])), &["another value"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unordered {
    set: HashSet<String>,
    map: HashMap<u32, Vec<HashSet<u8>>>,
    boxed: Box<[HashMap<u8, String>]>,
    fixed: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
    heap: Vec<u8>,
}

#[test]
fn collections_without_an_order_come_back_whatever_their_order_is() {
    for size in [0u8, 1, 2, 3, 50] {
        let names = || (0..size).map(|number| format!("name {number}"));
        comes_back(Unordered {
            set: names().collect(),
            map: (0..size).map(|key| (u32::from(key), vec![(0..key).collect(); 3])).collect(),
            boxed: vec![(0..size).zip(names()).collect(); 3].into(),
            fixed: (0..size).map(u64::from).collect(),
            heap: (0..size).collect::<BinaryHeap<_>>().into_vec(),
        });
    }
}

/// Writes a map and a set one by one, so that nobody sees their types.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct OneByOne {
    map: HashMap<u8, String>,
    set: HashSet<u8>,
}

impl Serialize for OneByOne {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("OneByOne", 2)?;
        fields.serialize_field("map", &Each(&self.map))?;
        fields.serialize_field("set", &Each(&self.set))?;
        fields.end()
    }
}

struct Each<'a, T>(&'a T);

impl Serialize for Each<'_, HashMap<u8, String>> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

impl Serialize for Each<'_, HashSet<u8>> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|value| list.serialize_element(value))?;
        list.end()
    }
}

#[test]
fn what_is_written_one_by_one_from_a_hash_table_comes_back_in_whatever_order() {
    for size in [2u8, 3, 50].repeat(20) {
        let map = (0..size).map(|key| (key, format!("name {key}"))).collect();
        let content = OneByOne { map, set: (0..size).collect() };
        comes_back(content.clone());
        comes_back(Json(vec![content]));
    }
}

#[test]
fn a_list_that_is_turned_round_beside_a_hash_table_is_refused() {
    let set: HashSet<u8> = (0..50).collect();
    is_refused((set.clone(), Reversed(vec![1, 2])), &["another value", "order"]);
    // What nobody knows to have no order shows nothing about the list either.
    let hidden = OneByOne { map: HashMap::new(), set };
    is_refused((hidden, Reversed(vec![1, 2])), &["another value", "order"]);
}

#[test]
fn a_list_that_is_turned_round_is_told_from_a_hash_table_with_the_same_elements() {
    for _ in 0..10 {
        let set: HashSet<u8> = [1, 2].into();
        is_refused((set.clone(), Reversed(vec![1, 2])), &["another value", "order"]);
        is_refused(Json((set.clone(), Reversed(vec![1, 2]))), &["another value", "order"]);
        let hidden = OneByOne { map: HashMap::new(), set };
        is_refused(vec![(hidden, Reversed(vec![2, 1]))], &["another value", "order"]);
        // Each list of the map becomes what the other was.
        let lists = [("a".to_owned(), Reversed(vec![1, 2])), ("b".into(), Reversed(vec![2, 1]))];
        is_refused(HashMap::from(lists.clone()), &["another value", "order"]);
        is_refused(Json(HashMap::from(lists)), &["another value", "order"]);
    }
}

/// Without their order such lists are equal, and in a hash table no place tells them apart.
#[test]
fn lists_of_the_same_elements_in_a_hash_table_keep_their_orders() {
    for _ in 0..10 {
        let lists = [vec![1, 2, 3], vec![2, 1, 3]];
        comes_back(HashSet::from(lists.clone()));
        comes_back(HashSet::from(lists.clone().map(|list| vec![list.clone(), list])));
        let set = HashSet::from(lists.map(Reversed));
        is_refused(set.clone(), &["another value", "order"]);
        is_refused(Json(set.clone()), &["another value", "order"]);
        is_refused(HashMap::from([(7, set)]), &["another value", "order"]);
    }
}

/// Keeps the order of insertion when it is written, and not when it is read.
#[derive(Clone, Debug, PartialEq)]
struct LinkedHashSet(Vec<u8>);

static READINGS: AtomicU32 = AtomicU32::new(0);

impl Serialize for LinkedHashSet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(&self.0)
    }
}

impl<'de> Deserialize<'de> for LinkedHashSet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        READINGS.fetch_add(1, Ordering::Relaxed);
        BTreeSet::deserialize(from).map(|set| Self(set.into_iter().collect()))
    }
}

#[test]
fn a_linked_set_has_an_order_and_its_refusal_takes_few_decodings() {
    comes_back(LinkedHashSet(vec![1, 2, 3]));
    READINGS.store(0, Ordering::Relaxed);
    is_refused(LinkedHashSet((0..100).rev().collect()), &["another value", "order"]);
    let readings = READINGS.load(Ordering::Relaxed);
    assert!(readings <= 20, "{readings} decodings");
}
