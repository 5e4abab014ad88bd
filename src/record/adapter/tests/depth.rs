//! The limit on the depth of a value.

use super::*;

/// Costs one level for each `Some` and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Chain(Option<Box<Chain>>);

fn chain(levels: u8) -> Chain {
    (0..levels).fold(Chain(None), |inside, _| Chain(Some(Box::new(inside))))
}

/// Shows that `wrap` costs exactly `levels` around a chain, in both directions.
fn assert_levels<T>(levels: u8, wrap: impl Fn(Chain) -> T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let name = std::any::type_name::<T>();
    let fits = wrap(chain(MAX_DEPTH - levels));
    let bytes = encode(&fits, PLENTY).expect(name);
    assert_eq!(decode::<T>(&bytes, PLENTY).expect(name), fits);

    let deeper = wrap(chain(MAX_DEPTH - levels + 1));
    assert_eq!(encode(&deeper, PLENTY), too_deep(), "encoding {name}");
    let bytes = plain(&deeper);
    assert_eq!(decode::<T>(&bytes, PLENTY), too_deep(), "decoding {name}");
}

#[test]
fn depth_at_the_limit_round_trips_and_one_more_is_refused_in_both_directions() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        chain: Chain,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Chain);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two(u8, Chain);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        Newtype(Chain),
        Tuple(u8, Chain),
        Struct { chain: Chain },
    }

    assert_levels(0, |c| c);
    assert_levels(0, Box::new);
    assert_levels(1, Some::<Chain>);
    assert_levels(1, |c| vec![c]);
    assert_levels(1, |c| (c, 1u8));
    assert_levels(1, |c| [c]);
    assert_levels(1, |c| BTreeMap::from([(1u8, c)]));
    assert_levels(1, |chain| Named { chain });
    assert_levels(1, Wrapped);
    assert_levels(1, |c| Two(1, c));
    assert_levels(1, Variants::Newtype);
    assert_levels(1, |c| Variants::Tuple(1, c));
    assert_levels(1, |chain| Variants::Struct { chain });
    assert_levels(3, |c| vec![Some((c,))]);
}

#[test]
fn a_key_of_a_map_is_one_level_down_like_its_value() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Key(Option<Box<Key>>);
    let key = |levels| (0..levels).fold(Key(None), |inside, _| Key(Some(Box::new(inside))));
    let map = |levels| BTreeMap::from([(key(levels), ())]);

    let bytes = encode(&map(MAX_DEPTH - 1), PLENTY).unwrap();
    assert_eq!(decode(&bytes, PLENTY), Ok(map(MAX_DEPTH - 1)));
    assert_eq!(encode(&map(MAX_DEPTH), PLENTY), too_deep());
    let bytes = plain(&map(MAX_DEPTH));
    assert_eq!(decode::<BTreeMap<Key, ()>>(&bytes, PLENTY), too_deep());
}

#[test]
fn what_carries_nothing_costs_no_level() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Deep {
        Down(Box<Deep>),
        End(Option<u8>, Marker, (), Shape),
    }
    let deep = |last| (1..MAX_DEPTH).fold(last, |inside, _| Deep::Down(Box::new(inside)));

    let empty = deep(Deep::End(None, Marker, (), Shape::Unit));
    let bytes = encode(&empty, PLENTY).unwrap();
    assert_eq!(decode(&bytes, PLENTY), Ok(empty));
    for carries in [
        deep(Deep::End(Some(1), Marker, (), Shape::Unit)),
        deep(Deep::End(None, Marker, (), Shape::EmptyTuple())),
        deep(Deep::End(None, Marker, (), Shape::EmptyStruct {})),
    ] {
        assert_eq!(encode(&carries, PLENTY), too_deep());
        assert_eq!(decode::<Deep>(&plain(&carries), PLENTY), too_deep());
    }
}

/// As large as session content gets: each level has several fields, and every kind of recursion.
#[derive(Debug, Serialize, Deserialize)]
struct Fat {
    ids: [u64; 8],
    names: (String, String, String),
    next: Option<Box<Fat>>,
    branch: Branch,
    children: Vec<Fat>,
    by_name: BTreeMap<String, Fat>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Branch {
    None,
    One(Box<Fat>),
    Tuple(u64, Box<Fat>),
    Struct { fat: Box<Fat> },
}

/// Writes the bytes of a `Fat` of `levels` levels, each through another field.
fn hostile_fat(levels: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for level in 0..levels {
        bytes.extend([0; 8 + 3]);
        match level % 6 {
            0 => bytes.extend([1]),
            1 => bytes.extend([0, 1]),
            2 => bytes.extend([0, 2, 7]),
            3 => bytes.extend([0, 3]),
            4 => bytes.extend([0, 0, 1]),
            _ => bytes.extend([0, 0, 0, 1, 0]),
        }
    }
    bytes
}

/// Never ends, so it encodes as deep as allowed.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Endless", 1)?;
        fields.serialize_field("next", &Some(Endless))?;
        fields.end()
    }
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn deep_nesting_does_not_overflow_a_small_stack() {
    on_a_small_stack(|| {
        assert_eq!(decode::<Chain>(&vec![1; 1_000_000], PLENTY), too_deep());
        let fat = decode::<Fat>(&hostile_fat(100_000), PLENTY);
        assert_eq!(fat.map(drop), too_deep());
        assert_eq!(encode(&Endless, PLENTY), too_deep());
    });
}
