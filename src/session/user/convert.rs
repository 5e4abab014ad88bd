//! Converts wider numbers, shared texts and UUIDs to user ids, and user ids to and from serde.
//!
//! Invariant: a number has one form as bytes, and so one key, whatever its type.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Repr, UserId};

const TAG_UNSIGNED: u8 = 1;
const TAG_NEGATIVE: u8 = 2;
/// Tag 3 is a text.
const TAG_WIDE: u8 = 4;
const TAG_WIDE_NEGATIVE: u8 = 5;

pub(super) fn number_to_bytes(number: i128) -> Vec<u8> {
    if let Ok(number) = u64::try_from(number) {
        return tagged(TAG_UNSIGNED, &number.to_be_bytes());
    }
    if let Ok(number) = i64::try_from(number) {
        return tagged(TAG_NEGATIVE, &number.to_be_bytes());
    }
    match u128::try_from(number) {
        Ok(number) => large_to_bytes(number),
        Err(_) => tagged(TAG_WIDE_NEGATIVE, &number.to_be_bytes()),
    }
}

pub(super) fn large_to_bytes(number: u128) -> Vec<u8> {
    tagged(TAG_WIDE, &number.to_be_bytes())
}

fn tagged(tag: u8, bits: &[u8]) -> Vec<u8> {
    [&[tag], bits].concat()
}

/// Decodes a number, if the bytes are its only valid form.
pub(super) fn number_from_bytes(tag: u8, bits: &[u8]) -> Option<Repr> {
    let number = match tag {
        TAG_UNSIGNED => u64::from_be_bytes(bits.try_into().ok()?).into(),
        TAG_NEGATIVE => i64::from_be_bytes(bits.try_into().ok()?).into(),
        TAG_WIDE => match u128::from_be_bytes(bits.try_into().ok()?) {
            number if i128::try_from(number).is_err() => return Some(Repr::Large(number)),
            number => i128::try_from(number).ok()?,
        },
        TAG_WIDE_NEGATIVE => i128::from_be_bytes(bits.try_into().ok()?),
        _ => return None,
    };
    let is_its_form = number_to_bytes(number).first() == Some(&tag);
    is_its_form.then_some(Repr::Number(number))
}

impl From<usize> for UserId {
    fn from(number: usize) -> Self {
        Self::from(number as u128)
    }
}

impl From<isize> for UserId {
    fn from(number: isize) -> Self {
        Self::from(number as i128)
    }
}

impl From<i128> for UserId {
    fn from(number: i128) -> Self {
        Self(Repr::Number(number))
    }
}

impl From<u128> for UserId {
    fn from(number: u128) -> Self {
        Self(i128::try_from(number).map_or(Repr::Large(number), Repr::Number))
    }
}

macro_rules! from_texts {
    ($($text:ty),*) => {$(
        impl From<$text> for UserId {
            fn from(text: $text) -> Self {
                Self::from(AsRef::<str>::as_ref(&text))
            }
        }
    )*};
}

from_texts!(Cow<'_, str>, Arc<str>, &Arc<str>, Box<str>, &Box<str>, std::rc::Rc<str>);

/// Parses a text: `"7".parse()` is the user "7", not the number 7.
impl FromStr for UserId {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text))
    }
}

/// Converts a UUID to its text, in lower case and with hyphens.
#[cfg(feature = "uuid")]
impl From<uuid::Uuid> for UserId {
    fn from(uuid: uuid::Uuid) -> Self {
        Self::from(uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()) as &str)
    }
}

/// A user where a format cannot tell a number from a text, or would round the number.
#[derive(Serialize, Deserialize)]
#[serde(rename = "UserId", rename_all = "lowercase")]
enum Tagged<'a> {
    /// In decimal digits.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
}

impl Tagged<'_> {
    fn user<E: Error>(self) -> Result<UserId, E> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Number(digits) => {
                let number = digits.parse::<i128>().map(UserId::from);
                let number = number.or_else(|_| digits.parse::<u128>().map(UserId::from));
                let its_form = number.ok().filter(|number| number.to_string() == digits);
                its_form.ok_or_else(|| E::custom("the number of a user id is not one"))
            }
        }
    }
}

/// Serializes a number or a text. A number of more than 64 bits is `{"number": "its digits"}`, as
/// many readers round it otherwise. In a format that is not for people, such as typed content, it
/// serializes an enum of the two. As the key of a map in JSON a number of up to 64 bits is a text,
/// which [`Json`](crate::Json) and [`Attributes`](crate::Attributes) read back as the number; a
/// larger one cannot be a key.
impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_for_people = serializer.is_human_readable();
        match &self.0 {
            Repr::Text(text) if is_for_people => serializer.serialize_str(text),
            Repr::Text(text) => Tagged::Text(Cow::Borrowed(text)).serialize(serializer),
            Repr::Number(number) if is_for_people => {
                match (u64::try_from(*number), i64::try_from(*number)) {
                    (Ok(number), _) => serializer.serialize_u64(number),
                    (_, Ok(number)) => serializer.serialize_i64(number),
                    _ => Tagged::Number(number.to_string().into()).serialize(serializer),
                }
            }
            Repr::Number(_) | Repr::Large(_) => {
                Tagged::Number(self.to_string().into()).serialize(serializer)
            }
        }
    }
}

/// Deserializes what it serializes.
impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;

        impl<'de> Visitor<'de> for NumberOrText {
            type Value = UserId;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a user id: a number or a text")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<UserId, E> {
                Ok(number.into())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<UserId, E> {
                Ok(number.into())
            }

            fn visit_u128<E: Error>(self, number: u128) -> Result<UserId, E> {
                Ok(number.into())
            }

            fn visit_i128<E: Error>(self, number: i128) -> Result<UserId, E> {
                Ok(number.into())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<UserId, E> {
                Ok(text.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UserId, A::Error> {
                Tagged::deserialize(MapAccessDeserializer::new(map))?.user()
            }
        }

        match deserializer.is_human_readable() {
            true => deserializer.deserialize_any(NumberOrText),
            false => Tagged::deserialize(deserializer)?.user(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_user_whatever_type_it_came_from() {
        let seven = UserId::from(7_u8);
        assert_eq!(UserId::from(7_usize), seven);
        assert_eq!(UserId::from(7_u128), seven);
        assert_eq!(UserId::from(7_i128).to_key().unwrap(), seven.to_key().unwrap());
        assert_ne!(UserId::from("7"), seven);
        assert_ne!("7".parse::<UserId>().unwrap(), seven);
    }

    #[test]
    fn every_number_comes_back_from_its_key_and_has_one() {
        let wide = [i128::MIN, i64::MIN.into(), -1, 0, u64::MAX.into(), i128::MAX];
        let around = |number: i128| [number.saturating_sub(1), number, number.saturating_add(1)];
        let numbers = wide.into_iter().flat_map(around).map(UserId::from);
        let large = [u128::MAX, i128::MAX as u128 + 1].map(UserId::from);
        for user in numbers.chain(large) {
            let key = user.to_key().unwrap();
            assert_eq!(UserId::from_key(key.as_bytes()), Some(user.clone()), "{user}");
        }
        // Invalid further forms of a number.
        assert_eq!(UserId::from_key(&tagged(TAG_WIDE, &7_u128.to_be_bytes())), None);
        assert_eq!(UserId::from_key(&tagged(TAG_WIDE_NEGATIVE, &(-7_i128).to_be_bytes())), None);
        assert_eq!(UserId::from_key(&tagged(TAG_NEGATIVE, &7_i64.to_be_bytes())), None);
    }

    #[test]
    fn texts_of_every_kind_are_the_same_user() {
        let ann = UserId::from("ann");
        let owned: [UserId; 3] = [
            Cow::Borrowed("ann").into(),
            Arc::<str>::from("ann").into(),
            Box::<str>::from("ann").into(),
        ];
        assert!(owned.iter().all(|user| *user == ann));
    }

    #[test]
    fn a_user_goes_through_json_as_a_number_or_a_text() {
        for (user, json) in [(UserId::from(7), "7"), ((-7).into(), "-7"), ("7".into(), "\"7\"")] {
            assert_eq!(serde_json::to_string(&user).unwrap(), json);
            assert_eq!(serde_json::from_str::<UserId>(json).unwrap(), user);
        }
    }

    #[test]
    fn a_number_that_json_would_round_goes_through_it_as_its_digits() {
        let json = r#"{"number":"-170141183460469231731687303715884105728"}"#;
        assert_eq!(serde_json::to_string(&UserId::from(i128::MIN)).unwrap(), json);
        assert_eq!(serde_json::from_str::<UserId>(json).unwrap(), UserId::from(i128::MIN));
        assert_eq!(serde_json::from_str::<UserId>(r#"{"text":"7"}"#).unwrap(), UserId::from("7"));
        for wrong in [r#"{"number":"07"}"#, r#"{"number":"x"}"#, r#"{"bytes":"x"}"#, "{}"] {
            assert!(serde_json::from_str::<UserId>(wrong).is_err(), "{wrong}");
        }
    }
}
