//! Types that buffer their data (`untagged`, `tag`, `flatten`) see a number before they know what
//! it is for.

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Discount {
    Percent(u8),
    Amount(u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Prices {
    Range { low: u32, high: u32 },
    Discount(Discount),
    ById(BTreeMap<u32, u32>),
}

#[test]
fn a_number_for_a_key_is_no_position_of_a_field_or_a_variant() {
    comes_back(Prices::ById(BTreeMap::from([(0, 10), (1, 20), (2, 30)])));
    comes_back(Prices::ById(BTreeMap::from([(0, 10), (1, 20)])));
    comes_back(Prices::ById(BTreeMap::from([(1, 7)])));
    comes_back(Prices::Discount(Discount::Amount(7)));
    comes_back(vec![Prices::Range { low: 1, high: 2 }, Prices::ById(BTreeMap::from([(0, 7)]))]);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t")]
enum ByTag<T: Ord> {
    Prices { by_id: BTreeMap<T, u8> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattened<T: Ord> {
    name: String,
    #[serde(flatten)]
    by_id: BTreeMap<T, u8>,
}

fn is_a_key_everywhere<T>(keys: impl IntoIterator<Item = T>)
where
    T: Ord + Clone + Debug + Serialize + DeserializeOwned,
{
    for key in keys {
        let by_id = BTreeMap::from([(key, 7)]);
        comes_back(by_id.clone());
        comes_back(Buffered::Value(by_id.clone()));
        comes_back(ByTag::Prices { by_id: by_id.clone() });
        comes_back(Flattened { name: "n".into(), by_id });
    }
}

#[test]
fn an_integer_of_every_type_is_a_key() {
    is_a_key_everywhere([0, 1, u8::MAX]);
    is_a_key_everywhere([0, 1, u16::MAX]);
    is_a_key_everywhere([0, 1, u32::MAX]);
    is_a_key_everywhere([0, 1, i64::MAX as u64, 1 << 63, u64::MAX]);
    is_a_key_everywhere([0, 1, usize::MAX]);
    is_a_key_everywhere([i8::MIN, 0, i8::MAX]);
    is_a_key_everywhere([i16::MIN, 0, i16::MAX]);
    is_a_key_everywhere([i32::MIN, 0, i32::MAX]);
    is_a_key_everywhere([i64::MIN, 0, i64::MAX]);
    is_a_key_everywhere([isize::MIN, 0, isize::MAX]);
    is_a_key_everywhere([std::num::NonZeroU64::MIN, std::num::NonZeroU64::MAX]);
    is_a_key_everywhere([sessile::UserId::from(7), sessile::UserId::from(-7)]);
    is_a_key_everywhere([false, true]);
}

/// serde passes only a text or an unsigned number on to a flattened map behind a buffer.
#[test]
fn a_flattened_map_by_number_behind_a_buffer_is_an_error_and_no_other_value() {
    let flattened = Flattened { name: "n".into(), by_id: BTreeMap::from([(0u8, 1), (1, 2)]) };
    let mut attributes = Attributes::new();
    attributes.set("x", Buffered::Value(flattened)).unwrap();
    assert!(attributes.get::<Buffered<Flattened<u8>>>("x").is_err());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wide {
    n: u128,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Outer {
    #[serde(flatten)]
    wide: Wide,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Event {
    Login {
        #[serde(with = "time::serde::timestamp::milliseconds")]
        at: time::OffsetDateTime,
    },
}

/// serde's buffers have no place for such an integer, however small it is.
#[test]
fn an_integer_of_a_128_bit_type_is_refused_whatever_its_value_is() {
    comes_back(u64::MAX);
    comes_back(i64::MIN);
    comes_back(sessile::UserId::from(u64::MAX));
    let says = "a 128-bit integer type";
    for number in [0, 7, u128::from(u64::MAX), u128::MAX] {
        is_refused(number, says);
        is_refused(Outer { wide: Wide { n: number } }, says);
        is_refused(Buffered::Value(number), says);
        is_refused(BTreeMap::from([(number, 1u8)]), says);
        is_refused(vec![Some(number as i128)], says);
        is_refused(BTreeMap::from([(number as i128, 1u8)]), says);
    }
    is_refused(Event::Login { at: time::OffsetDateTime::UNIX_EPOCH }, says);
}

/// The shortest text of this number, read as an `f64` and then rounded, gives its neighbour.
#[test]
fn a_float_for_a_key_comes_back_to_the_last_bit_or_is_refused() {
    use ordered_float::OrderedFloat;
    let refused = f32::from_bits(0x15ae_43fd);
    is_refused(BTreeMap::from([(OrderedFloat(refused), 1u8)]), "write it as an `f64`");
    let mut attributes = Attributes::new();
    for bits in patterns(20_000) {
        let key = OrderedFloat(f32::from_bits(bits as u32));
        if key.is_finite() && attributes.set("f", BTreeMap::from([(key, 1u8)])).is_ok() {
            let read: BTreeMap<OrderedFloat<f32>, u8> = attributes.get("f").unwrap().unwrap();
            assert_eq!(read.into_keys().next().unwrap().to_bits(), key.to_bits(), "{key:?}");
        }
    }
}
