//! Which differences change the shape, and which do not.

use std::borrow::Cow;
use std::collections::HashSet;

use super::*;

/// Verifies that no two of these values have the same shape.
macro_rules! all_differ {
    ($($value:expr),* $(,)?) => {
        let shapes = [$((stringify!($value), shape_of(&$value))),*];
        for (at, (one, shape)) in shapes.iter().enumerate() {
            for (other, another) in &shapes[at + 1..] {
                assert!(shape != another, "{one} and {other} have one shape");
            }
        }
    };
}

#[derive(Serialize)]
enum One {
    A,
    B,
    C(u8),
    D { a: u8 },
    E(u8, u8),
}

#[derive(Serialize)]
#[serde(rename = "One")]
enum Other {
    B,
    A,
}

#[test]
fn every_kind_of_value_has_a_shape_of_its_own() {
    all_differ![
        true,
        1i8,
        1i16,
        1i32,
        1i64,
        1i128,
        1u8,
        1u16,
        1u32,
        1u64,
        1u128,
        1f32,
        1f64,
        'x',
        "x",
        Bytes(vec![1]),
        (),
        None::<u8>,
        Some(1u8),
        Some(Some(1u8)),
        Some(None::<u8>),
        (1u8,),
        (1u8, 1u8),
        ((1u8, 1u8),),
        ((1u8,), 1u8),
        Some((1u8, 1u8)),
        (Some(1u8), 1u8),
        (Some((1u8,)), 1u8),
        Some(((1u8,), 1u8)),
        Some(vec![1u8]),
        vec![Some(1u8)],
        vec![1u8],
        vec![1u8, 1],
        vec![vec![1u8]],
        Vec::<u8>::new(),
        BTreeMap::from([(1u8, 1u8)]),
        BTreeMap::<u8, u8>::new(),
        One::A,
        One::B,
        One::C(1),
        One::D { a: 1 },
        One::E(1, 1),
    ];
}

#[test]
fn names_and_their_order_count() {
    #[derive(Serialize)]
    struct Empty {}
    #[derive(Serialize)]
    struct Ab {
        a: u8,
        b: u8,
    }
    #[derive(Serialize)]
    struct Ba {
        b: u8,
        a: u8,
    }
    #[derive(Serialize)]
    struct Ac {
        a: u8,
        c: u8,
    }
    #[derive(Serialize)]
    struct Abc {
        abc: u8,
    }
    #[derive(Serialize)]
    struct Unit;
    all_differ![
        Ab { a: 1, b: 1 },
        Ba { b: 1, a: 1 },
        Ac { a: 1, c: 1 },
        (1u8, 1u8),
        Abc { abc: 1 },
        (1u8,),
        Empty {},
        Unit,
    ];
    // The same number for another variant.
    assert_eq!(encode(&One::A, 0), encode(&Other::B, 0));
    assert_ne!(shape_of(&One::A), shape_of(&Other::B));
    assert_ne!(shape_of(&[One::A, One::B]), shape_of(&[Other::B, Other::A]));
}

#[test]
fn names_of_types_and_ways_to_hold_a_text_do_not_count() {
    #[derive(Serialize)]
    struct Now(String, u8);
    #[derive(Serialize)]
    struct Formerly(Box<str>, u8);
    #[derive(Serialize)]
    struct Wrapper<T>(T);
    assert_eq!(shape_of(&Now("x".into(), 1)), shape_of(&Formerly("x".into(), 1)));
    assert_eq!(shape_of(&Now("x".into(), 1)), shape_of(&(Cow::Borrowed("y"), 2u8)));
    assert_eq!(shape_of(&Wrapper(Wrapper(7u8))), shape_of(&7u8));
    assert_eq!(shape_of(&vec![1u8]), shape_of(&HashSet::from([2u8])));
    assert_eq!(shape_of(&Marker), shape_of(&()));
    assert_eq!(shape_of(&One::A), shape_of(&Other::A));
}

#[test]
fn data_does_not_count_but_for_its_structure() {
    assert_eq!(shape_of(&("x", 1u64)), shape_of(&("another", u64::MAX)));
    assert_eq!(shape_of(&vec![1u128; 9]), shape_of(&vec![u128::MAX; 9]));
}

/// The shapes of a recursive type, enumerated: no two trees of one to seven nodes share a shape.
#[test]
fn no_two_small_trees_have_one_shape() {
    #[derive(Clone, Serialize)]
    enum Tree {
        Leaf,
        One(Box<Tree>),
        Two(Box<Tree>, Box<Tree>),
        Many(Vec<Tree>),
    }
    fn trees(nodes: usize) -> Vec<Tree> {
        match nodes {
            0 => vec![],
            1 => vec![Tree::Leaf, Tree::Many(vec![])],
            _ => {
                let mut all = Vec::new();
                for tree in trees(nodes - 1) {
                    all.push(Tree::One(Box::new(tree.clone())));
                    all.push(Tree::Many(vec![tree]));
                }
                for left in 1..nodes - 1 {
                    for (one, two) in trees(left).iter().flat_map(|one| {
                        trees(nodes - 1 - left).into_iter().map(move |two| (one.clone(), two))
                    }) {
                        all.push(Tree::Many(vec![one.clone(), two.clone()]));
                        all.push(Tree::Two(Box::new(one), Box::new(two)));
                    }
                }
                all
            }
        }
    }
    let trees: Vec<_> = (1..=7).flat_map(trees).collect();
    let shapes: HashSet<[u8; 16]> = trees.iter().map(|tree| shape_of(tree).to_bytes()).collect();
    assert!(trees.len() > 2_000);
    assert_eq!(shapes.len(), trees.len());
}

/// Part of the format: these bytes must never change. An independent program derived them from
/// docs/internals/format.md.
#[test]
fn the_digest_is_the_documented_one() {
    let hex = |shape: ShapeOf| {
        shape.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    #[derive(Serialize)]
    struct Example {
        name: String,
        choice: Option<One>,
        numbers: Vec<u32>,
    }
    let example =
        Example { name: "ann".into(), choice: Some(One::D { a: 1 }), numbers: vec![1, 2] };
    assert_eq!(hex(shape_of(&())), PINNED_UNIT);
    assert_eq!(hex(shape_of(&example)), PINNED_EXAMPLE);
}

const PINNED_UNIT: &str = "4fa87360b2747f053a7159a93002ab59";
const PINNED_EXAMPLE: &str = "df1add36b41686e6b278bcc30858eba2";
