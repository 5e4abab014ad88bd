//! Owns one attribute value: its encoding as JSON text, and its decoding.
//!
//! Invariant: the text is JSON that serde_json reads. A type that buffers its data (`untagged`,
//! `tag`, `flatten`) sees the keys of its maps before it knows their types. So the text records
//! whether they were numbers or booleans.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::session::json::notes::Notes;
use crate::session::json::{reading, strict};

/// The value of an attribute: a JSON text that was checked to be readable.
///
/// [`Attributes`](crate::Attributes) consist of such values, and can be collected from them.
///
/// # Examples
///
/// ```
/// use sessile::{AttributeValue, Attributes};
///
/// let visits = ("visits".to_owned(), AttributeValue::new(1)?);
/// let theme = ("theme".to_owned(), AttributeValue::from_json(r#""dark""#)?);
/// let attributes: Attributes = [visits, theme].into_iter().collect();
/// assert_eq!(attributes.get::<String>("theme")?.as_deref(), Some("dark"));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AttributeValue {
    /// Begins with [`TYPED_KEYS`] if the value has typed keys.
    text: String,
}

/// The first character of a text in which every key that looks like a number or a boolean was
/// written as one. JSON allows a space there and gives it no meaning.
const TYPED_KEYS: char = ' ';

/// The name in errors of a value that has no name yet.
const NAMELESS: &str = "value";

impl AttributeValue {
    /// Makes a value from any type that JSON can return.
    ///
    /// # Errors
    ///
    /// As for [`Attributes::set`](crate::Attributes::set).
    pub fn new(value: impl Serialize) -> Result<Self> {
        Self::written(&value).map_err(|detail| Error::attribute(NAMELESS, detail))
    }

    /// Makes a value from its JSON text, without white space around it.
    ///
    /// # Errors
    ///
    /// [`Error::Attribute`] if the text is not JSON (RFC 8259), is nested more than 127 levels
    /// deep, has the same key twice in one map, a key that begins with `$serde_json::private::`, a
    /// number too large for an `f64`, or half a surrogate pair.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::checked(text).map_err(|detail| Error::attribute(NAMELESS, detail))
    }

    /// Decodes the value as a `T`.
    ///
    /// # Errors
    ///
    /// [`Error::Attribute`] if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        self.read().map_err(|detail| Error::attribute(NAMELESS, detail))
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.text.trim_start()
    }

    /// Encodes a value, or returns the reason for a refusal.
    pub(super) fn written<T: Serialize + ?Sized>(value: &T) -> Result<Self, String> {
        let notes = Notes::for_any_type();
        let mut text = strict::to_text(value, &notes).map_err(|error| error.to_string())?;
        reading::check(&text).map_err(|error| error.to_string())?;
        if notes.has_typed_keys() {
            if notes.has_texts_like_typed_keys() {
                let reason = "it has keys that are numbers or booleans, and texts for keys that \
                              look like them, which JSON cannot tell apart";
                return Err(reason.into());
            }
            text.insert(0, TYPED_KEYS);
        }
        Ok(Self { text })
    }

    pub(super) fn checked(text: &str) -> Result<Self, String> {
        reading::check(text).map_err(|error| error.to_string())?;
        Ok(Self { text: text.trim().to_owned() })
    }

    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        let read = match self.text.strip_prefix(TYPED_KEYS) {
            Some(text) => reading::from_text_with_typed_keys(text),
            None => reading::from_text(&self.text),
        };
        read.map_err(|error| error.to_string())
    }

    /// Takes a text from a record, which was checked before it was written.
    pub(super) fn stored(text: String) -> Self {
        Self { text }
    }

    /// Checks a text from an unknown source.
    pub(super) fn from_stored(text: String) -> Result<Self, String> {
        reading::check(&text).map_err(|error| error.to_string())?;
        Ok(Self { text })
    }

    pub(super) fn as_stored(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for AttributeValue {
    /// Shows only the length: the value may be a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AttributeValue")
            .field("len", &self.as_json().len())
            .finish_non_exhaustive()
    }
}
