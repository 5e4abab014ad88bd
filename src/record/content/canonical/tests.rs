//! In which respects two equal values must agree, and in which they need not.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::*;

fn differ(one: &impl Serialize, other: &impl Serialize) -> bool {
    Canonical::of(one).first_difference(&Canonical::of(other)).is_some()
}

#[derive(Clone, Serialize)]
struct Cart {
    items: Vec<u32>,
    owner: Owner,
}

#[derive(Clone, Serialize)]
struct Owner {
    name: String,
    tags: HashSet<u8>,
}

fn cart() -> Cart {
    let tags = (0..30).collect();
    Cart { items: vec![1, 2], owner: Owner { name: "ann".into(), tags } }
}

#[test]
fn the_place_of_the_first_difference_is_named() {
    let place = |other: &Cart| Canonical::of(&cart()).first_difference(&Canonical::of(other));
    assert_eq!(place(&cart()), None);
    assert_eq!(place(&Cart { items: vec![1, 3], ..cart() }).unwrap(), "`Cart.items`");
    let mut other = cart();
    other.owner.name.push('a');
    assert_eq!(place(&other).unwrap(), "`Cart.owner.name`");
    let mut other = cart();
    other.owner.tags.insert(200);
    assert_eq!(place(&other).unwrap(), "`Cart.owner.tags`");
    assert_eq!(
        Canonical::of(&1).first_difference(&Canonical::of(&2)).unwrap(),
        "the content itself"
    );
}

#[test]
fn order_counts_but_in_what_has_none() {
    let twice =
        || (HashSet::<u8>::from_iter(0..50), HashMap::<u8, u8>::from_iter((0..50).zip(0..)));
    assert!(!differ(&twice(), &twice()));
    assert!(!differ(&vec![Some(twice())], &vec![Some(twice())]));
    assert!(differ(&vec![1, 2], &vec![2, 1]));
    assert!(differ(&HashSet::from([vec![1, 2]]), &HashSet::from([vec![2, 1]])));
    assert!(!differ(&BTreeMap::from([(1, 2)]), &HashMap::from([(1, 2)])));
    assert!(differ(&HashMap::from([(1, 2), (3, 4)]), &HashMap::from([(1, 4), (3, 2)])));
}

#[test]
fn what_json_and_bincode_write_alike_differs() {
    assert!(differ(&1u8, &1u16));
    assert!(differ(&None::<u8>, &Some(None::<u8>)));
    assert!(differ(&(), &None::<u8>));
    assert!(differ(&f64::NAN, &-f64::NAN));
    assert!(differ(&0.0, &-0.0));
    assert!(differ(&BTreeMap::from([("7", 1)]), &BTreeMap::from([(7, 1)])));
    assert!(differ(&("a", "bc"), &("ab", "c")));
    assert!(differ(&(vec![1u8], vec![2u8]), &(vec![1u8, 2], Vec::<u8>::new())));
}

#[test]
fn a_value_whose_serialize_fails_equals_nothing() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let mut list = to.serialize_seq(Some(2))?;
            list.serialize_element(&1)?;
            Err(serde::ser::Error::custom("half way"))
        }
    }
    assert!(differ(&Fails, &Fails));
}

/// Each collection removes its own marks, and looks at no other.
#[test]
fn the_marks_of_many_unordered_collections_stand_in_order() {
    let owners: Vec<Owner> =
        (0..1_000).map(|_| Owner { name: "ann".into(), tags: HashSet::from([1, 2]) }).collect();
    let form = Canonical::of(&owners);
    assert!(form.marks.is_sorted_by_key(|mark| mark.at));
    let mut other = owners.clone();
    if let Some(last) = other.last_mut() {
        last.tags.insert(3);
    }
    assert_eq!(form.first_difference(&Canonical::of(&other)).unwrap(), "`Owner.tags`");
}
