//! The shapes of all small types.

use std::collections::HashSet;

use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleVariant,
};

use super::*;
use crate::session::json::JSON;

/// A value of any type: what bytes mean, under every type that could decode them.
#[derive(Clone)]
enum Nest {
    Number,
    Some(Box<Nest>),
    Json(Box<Nest>),
    List(Vec<Nest>),
    Tuple(Vec<Nest>),
    Map(Vec<Nest>),
    Fields(Vec<Nest>),
    Newtype(Box<Nest>),
    TupleVariant(Vec<Nest>),
    Variant(Vec<Nest>),
}

impl Serialize for Nest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        match self {
            Self::Number => to.serialize_u8(1),
            Self::Some(of) => to.serialize_some(&**of),
            Self::Json(of) => to.serialize_newtype_struct(JSON, &**of),
            Self::Newtype(of) => to.serialize_newtype_variant("Of", 0, "A", &**of),
            Self::List(of) => {
                let mut list = to.serialize_seq(Some(of.len()))?;
                of.iter().try_for_each(|one| list.serialize_element(one))?;
                list.end()
            }
            Self::Tuple(of) => {
                let mut tuple = to.serialize_tuple(of.len())?;
                of.iter().try_for_each(|one| tuple.serialize_element(one))?;
                tuple.end()
            }
            Self::Map(of) => {
                let mut map = to.serialize_map(Some(of.len() / 2))?;
                of.chunks_exact(2).try_for_each(|of| map.serialize_entry(&of[0], &of[1]))?;
                map.end()
            }
            Self::Fields(of) => {
                let mut fields = to.serialize_struct("Of", of.len())?;
                let mut named = NAMES.iter().zip(of);
                named.try_for_each(|(name, of)| fields.serialize_field(name, of))?;
                fields.end()
            }
            Self::TupleVariant(of) => {
                let mut tuple = to.serialize_tuple_variant("Of", 0, "A", of.len())?;
                of.iter().try_for_each(|one| tuple.serialize_field(one))?;
                tuple.end()
            }
            Self::Variant(of) => {
                let mut fields = to.serialize_struct_variant("Of", 0, "A", of.len())?;
                let mut named = NAMES.iter().zip(of);
                named.try_for_each(|(name, of)| fields.serialize_field(name, of))?;
                fields.end()
            }
        }
    }
}

/// All values of so many nodes.
fn nests(nodes: usize) -> Vec<Nest> {
    let mut all = match nodes {
        0 => return Vec::new(),
        1 => vec![Nest::Number],
        _ => Vec::new(),
    };
    for of in nests(nodes - 1) {
        all.extend([Nest::Some, Nest::Json, Nest::Newtype].map(|with| with(Box::new(of.clone()))));
    }
    for of in rows(nodes - 1) {
        if of.len() % 2 == 0 {
            all.push(Nest::Map(of.clone()));
        }
        let with = [Nest::List, Nest::Tuple, Nest::Fields, Nest::TupleVariant, Nest::Variant];
        all.extend(with.map(|with| with(of.clone())));
    }
    all
}

/// All rows of values that have so many nodes together.
fn rows(nodes: usize) -> Vec<Vec<Nest>> {
    if nodes == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 1..=nodes {
        for one in nests(first) {
            all.extend(rows(nodes - first).into_iter().map(|mut row| {
                row.insert(0, one.clone());
                row
            }));
        }
    }
    all
}

/// The shapes of all types, enumerated: whatever is nested in whatever, no two have one shape.
#[test]
fn no_two_small_values_of_any_types_have_one_shape() {
    let values: Vec<_> = (1..=4).flat_map(nests).collect();
    let shapes: HashSet<[u8; 16]> = values.iter().map(|value| shape_of(value).to_bytes()).collect();
    assert!(values.len() > 2_000, "{}", values.len());
    assert_eq!(shapes.len(), values.len());
}
