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
