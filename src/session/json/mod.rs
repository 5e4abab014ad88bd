//! Owns content of any serde type that is stored as a JSON text.
//!
//! Invariant: a human-readable format serializes a `Json<T>` as its `T`. Any other format
//! serializes a text, under a name that tells tools so.

mod key;
pub(in crate::session) mod node;
pub(in crate::session) mod notes;
pub(in crate::session) mod reading;
mod reserved;
pub(in crate::session) mod strict;

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

pub(crate) use self::strict::MAX_TEXT_LEN;
use self::strict::NoText;

/// The name of the newtype struct around the JSON text, in formats that are not human-readable.
pub(crate) const JSON: &str = "$sessile::Json";

/// Content of any serde type, stored as a JSON text: `SessionStore<Json<Cart>>`.
///
/// Choose it for a type that grows with the program, or that only a self-describing format can
/// hold: `untagged`, `tag` and `flatten`, `skip_serializing_if`, a [`serde_json::Value`]. Fields
/// may be added, with `#[serde(default)]`, and removed without a
/// [`content_version`](crate::Builder::content_version). A tool that does not know the type can
/// show the content. `Json<T>` dereferences to the value.
///
/// The text contains every field name, and saving takes about twice as long as with typed content,
/// not counting the disk. See [`guide::content`](crate::guide::content).
///
/// # Errors
///
/// [`Error::Encode`](crate::Error::Encode) when a value is stored that JSON cannot return: a float
/// that is not finite, a `Some` that holds nothing (`Some(None)`, `Some(())`), the same key twice
/// unless the type keeps both, more than 127 levels of lists and maps, more than 381 options or
/// newtypes in one another, or, where the type buffers its data, keys that are not texts and
/// 128-bit integers. A stored value reads back equal; floats do to the last bit.
///
/// # Examples
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sessile::{Json, SessionStore};
///
/// #[derive(Serialize, Deserialize)]
/// struct Cart {
///     items: Vec<String>,
///     #[serde(default, skip_serializing_if = "Option::is_none")]
///     coupon: Option<String>,
/// }
///
/// let store = SessionStore::<Json<Cart>>::in_memory()?;
/// let mut session = store.create(Json(Cart { items: vec![], coupon: None }))?;
/// session.content_mut().items.push("tea".into());
/// store.update(&mut session)?;
/// # assert_eq!(store.read(session.id())?.unwrap().content().items, ["tea"]);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

impl<T> Json<T> {
    /// Returns the value.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(sessile::Json("tea").into_inner(), "tea");
    /// ```
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Json<T> {
    /// Writes the value as its own `Debug` does.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => self.0.serialize(serializer),
            false => serializer.serialize_newtype_struct(JSON, &AsText(&self.0)),
        }
    }
}

/// Serializes the value as a text, or as itself in a human-readable format inside the newtype.
struct AsText<'a, T>(&'a T);

impl<T: Serialize> Serialize for AsText<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        match strict::to_text(self.0, &notes::Notes::default()) {
            Ok(text) => serializer.serialize_str(&text),
            Err(error) => {
                // By these bytes a store sees that the content is too large.
                if let NoText::TooLong(bytes) = &error {
                    serializer.serialize_bytes(bytes)?;
                }
                Err(S::Error::custom(error))
            }
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => T::deserialize(deserializer).map(Self),
            false => deserializer.deserialize_newtype_struct(JSON, TextVisitor(PhantomData)),
        }
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for TextVisitor<T> {
    type Value = Json<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON text")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, text: D) -> Result<Json<T>, D::Error> {
        text.deserialize_str(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Json<T>, E> {
        reading::from_text(text).map(Json).map_err(E::custom)
    }
}

/// The text of a `Json<T>`, without decoding its `T`.
pub(crate) struct JsonText(String);

impl JsonText {
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unread;

        impl<'de> Visitor<'de> for Unread {
            type Value = JsonText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON text")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                text: D,
            ) -> Result<JsonText, D::Error> {
                String::deserialize(text).map(JsonText)
            }
        }

        deserializer.deserialize_newtype_struct(JSON, Unread)
    }
}

#[cfg(test)]
mod tests;
