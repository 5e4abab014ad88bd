//! The limit on the elements of a value, and the allocation for a claimed number.

use super::*;

fn claims(elements: u64) -> Vec<u8> {
    bincode::encode_to_vec(elements, CONFIG).unwrap()
}

#[test]
fn a_billion_zero_sized_elements_fail_within_the_budget() {
    let bytes = claims(1_000_000_000);
    assert_eq!(decode::<Vec<()>>(&bytes, 10_000), too_many(10_000));
    assert_eq!(decode::<BTreeMap<(), ()>>(&bytes, 10_000), too_many(10_000));
    assert_eq!(decode::<Vec<Vec<Marker>>>(&[&[9][..], &bytes].concat(), 10_000), too_many(10_000));
    assert_eq!(encode(&vec![(); 1_000_000_000], 10_000), too_many(10_000));
}

/// Verifies that `value` costs exactly `elements`, in both directions.
fn assert_elements<T>(elements: usize, value: T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let name = std::any::type_name::<T>();
    let bytes = encode(&value, elements).expect(name);
    assert_eq!(decode::<T>(&bytes, elements).expect(name), value);
    if let Some(fewer) = elements.checked_sub(1) {
        assert_eq!(encode(&value, fewer), too_many(fewer), "encoding {name}");
        let decoded = decode::<T>(&bytes, fewer);
        assert_eq!(decoded, too_many(fewer), "decoding {name}");
    }
}

#[test]
fn elements_at_the_limit_round_trip_and_one_more_is_refused_in_both_directions() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        a: u8,
        b: u8,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        Tuple(u8, u8, u8),
        Struct { a: u8, b: u8 },
    }

    assert_elements(0, 7u64);
    assert_elements(0, "text".to_owned());
    assert_elements(0, Bytes(vec![1; 100]));
    assert_elements(0, Some(Some(7u8)));
    assert_elements(0, Meters(7));
    assert_elements(0, Shape::Newtype(Box::new(Shape::Unit)));
    // The type, not the data, determines the number of these.
    assert_elements(0, (1u8, 2u8, 3u8));
    assert_elements(0, [1u8; 32]);
    assert_elements(0, Pair(1, String::new()));
    assert_elements(0, Named { a: 1, b: 2 });
    assert_elements(0, Variants::Tuple(1, 2, 3));
    assert_elements(0, Variants::Struct { a: 1, b: 2 });
    assert_elements(0, Vec::<u8>::new());
    assert_elements(5, vec![(); 5]);
    assert_elements(5, vec![1u8; 5]);
    assert_elements(5, vec![(1u8, 2u8); 5]);
    // An entry counts once, whatever its key and its value are.
    assert_elements(2, BTreeMap::from([(1u8, 1u8), (2, 2)]));
    assert_elements(2, PieceByPiece(BTreeMap::from([(1, String::new()), (2, String::new())])));
    // All levels share one budget: two outer elements and six inner ones.
    assert_elements(8, vec![vec![1u8; 3], vec![2; 3]]);
}

/// Bytes bound the elements that take bytes: tested on the densest content.
#[test]
fn elements_that_take_bytes_are_never_more_than_the_bytes() {
    fn used<T: Serialize>(value: &T) -> usize {
        let watch = Watch::new(Budget::of_elements(PLENTY), ShapeDigest::new());
        bincode::serde::encode_to_vec(Watched::new(value, &watch), CONFIG).unwrap();
        watch.budget.elements_used()
    }
    let units: BTreeMap<u8, ()> = (0..250).map(|key| (key, ())).collect();
    let nested = vec![vec![vec![vec![vec![vec![0u8; 1]]]]]];
    for (elements, bytes) in [
        (used(&vec![true; 300]), plain(&vec![true; 300]).len()),
        (used(&units), plain(&units).len()),
        (used(&nested), plain(&nested).len()),
        (used(&vec![None::<u8>; 300]), plain(&vec![None::<u8>; 300]).len()),
    ] {
        assert!((1..=bytes).contains(&elements), "{elements} elements in {bytes} bytes");
    }
}

/// Reads only the size hint.
#[derive(Debug, PartialEq)]
struct Hint<K>(Option<usize>, PhantomData<K>);

macro_rules! hint {
    ($kind:ty, $ask:ident, $visit:ident, $access:path) => {
        impl<'de> Deserialize<'de> for Hint<$kind> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct HintVisitor;
                impl<'de> Visitor<'de> for HintVisitor {
                    type Value = Hint<$kind>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a length")
                    }
                    fn $visit<A: $access>(self, access: A) -> Result<Self::Value, A::Error> {
                        Ok(Hint(access.size_hint(), PhantomData))
                    }
                }
                deserializer.$ask(HintVisitor)
            }
        }
    };
}

struct OfSeq;
struct OfMap;
hint!(OfSeq, deserialize_seq, visit_seq, SeqAccess<'de>);
hint!(OfMap, deserialize_map, visit_map, MapAccess<'de>);

impl Debug for OfSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfSeq")
    }
}

#[test]
fn a_size_hint_is_the_claimed_length_or_none_if_the_budget_cannot_pay_it() {
    let seq = |claimed, budget| decode::<Hint<OfSeq>>(&claims(claimed), budget).unwrap().0;
    assert_eq!(seq(10, 100), Some(10));
    assert_eq!(seq(1_000_000_000, 100), None);
    let map = |claimed, budget| decode::<Hint<OfMap>>(&claims(claimed), budget).unwrap().0;
    assert_eq!(map(10, 100), Some(10));
    assert_eq!(map(1_000_000_000, 100), None);
}

#[test]
fn size_hints_at_all_levels_together_stay_within_the_budget() {
    type Two = (Hint<OfSeq>, Hint<OfSeq>);
    let both = |first, second| {
        let bytes = [claims(first), claims(second)].concat();
        let (first, second) = decode::<Two>(&bytes, 100).unwrap();
        (first.0, second.0)
    };
    assert_eq!(both(10, 20), (Some(10), Some(20)));
    assert_eq!(both(90, 90), (Some(90), None));
    assert_eq!(both(1_000, 10), (None, Some(10)));
}

#[test]
fn a_size_hint_is_the_same_however_often_it_is_looked_at() {
    struct Exactly(Vec<u8>);
    struct OfLen;
    impl<'de> Visitor<'de> for OfLen {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("so many bytes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
            assert!(seq.size_hint().is_some_and(|len| len <= 100));
            let mut bytes = Vec::new();
            for left in (1..=seq.size_hint().unwrap()).rev() {
                assert_eq!(seq.size_hint(), Some(left));
                bytes.push(seq.next_element()?.unwrap());
            }
            Ok(bytes)
        }
    }
    impl<'de> Deserialize<'de> for Exactly {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_seq(OfLen).map(Self)
        }
    }
    let bytes: Vec<u8> = (0..80).collect();
    let read = decode::<Exactly>(&plain(&bytes), 100).unwrap();
    assert_eq!(read.0, bytes);
}

#[test]
fn no_hints_promise_more_elements_than_there_are_bytes() {
    let budget = Budget::new(100);
    assert!(budget.promise(30) && !budget.promise(71) && budget.promise(70) && !budget.promise(1));
}

#[test]
fn a_claimed_length_of_a_string_or_of_bytes_is_not_allocated() {
    fn refused<T: DeserializeOwned>(bytes: &[u8]) -> bool {
        let decoded = try_read::<T>(bytes, PLENTY);
        matches!(decoded, Err(Err(DecodeError::UnexpectedEnd { .. })))
    }
    // The first length exceeds a vector's limit, which would panic; the second exceeds a machine's
    // memory, which would abort.
    for claimed in [1 << 63, 1 << 46] {
        assert!(refused::<String>(&claims(claimed)));
        assert!(refused::<Bytes>(&claims(claimed)));
    }
}
