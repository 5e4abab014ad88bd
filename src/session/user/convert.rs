//! Converts wider numbers, shared texts and UUIDs to user ids, and user ids to and from serde.
//!
//! Invariant: a number has one form as bytes, and so one key, whatever its type.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

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

/// Serializes a number or a text.
impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Text(text) => serializer.serialize_str(text),
            Repr::Large(number) => serializer.serialize_u128(*number),
            Repr::Number(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => serializer.serialize_u64(number),
                (_, Ok(number)) => serializer.serialize_i64(number),
                _ => serializer.serialize_i128(*number),
            },
        }
    }
}

/// Deserializes a number or a text, as self-describing formats have them.
impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;

        impl Visitor<'_> for NumberOrText {
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
        }

        deserializer.deserialize_any(NumberOrText)
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
}
