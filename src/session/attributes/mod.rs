//! Content of programs without their own content type: values by name.
//!
//! Invariant: every value is valid JSON text without duplicate keys, nested no deeper than
//! [`Attributes::get`] can read. Values are stored as text: reading a session decodes only the
//! values asked for, and the stored type is not recursive.

mod form;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::value::AttributeValue;
use crate::error::{Error, Result};

/// The name of the newtype struct around attributes, for the record format.
pub(crate) const ATTRIBUTES: &str = "$sessile::Attributes";

/// JSON-like values by name: the content of a session whose store names no type.
///
/// A value is anything that serde can turn into JSON: numbers, texts, lists, maps, your own types.
/// [`get`](Self::get) of the same type returns the value given to [`set`](Self::set), floats to the
/// last bit. `set` refuses a value that JSON cannot return.
///
/// Three faults escape this check, since it does not know the type that reads the value:
///
/// - a type whose `Deserialize` does not undo its `Serialize`;
/// - an `untagged` enum with a variant that takes what a later variant writes;
/// - a `flatten`ed map with numbers for keys, inside another `flatten`, an `untagged` or a `tag`;
///   `get` is an error.
///
/// [`Json`](crate::Json) and typed content are checked against the type itself.
///
/// # Examples
///
/// ```
/// use sessile::{Attributes, SessionStore};
///
/// let store: SessionStore = SessionStore::in_memory()?;
/// let mut session = store.create(Attributes::new())?;
///
/// session.content_mut().set("visits", 1)?;
/// session.content_mut().set("flash", "Welcome!")?;
/// store.update(&mut session)?;
///
/// let visits: Option<u32> = session.content().get("visits")?;
/// assert_eq!(visits, Some(1));
/// // A message that is shown once:
/// assert_eq!(session.content_mut().take::<String>("flash")?.as_deref(), Some("Welcome!"));
/// assert!(!session.content().contains("flash"));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    values: BTreeMap<String, AttributeValue>,
}

impl Attributes {
    /// Makes an empty set of attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the value under a name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Attribute`] if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        value.read().map(Some).map_err(|detail| Error::attribute(name, detail))
    }

    /// Stores a value under a name, and replaces an earlier value.
    ///
    /// # Errors
    ///
    /// [`Error::Attribute`] if JSON cannot return the value:
    ///
    /// - a float that is not finite;
    /// - a `Some` that holds nothing (`Some(None)`, `Some(())`);
    /// - a 128-bit integer type (`i128`, `u128`), whatever the value is;
    /// - the same key twice in one map;
    /// - a key other than a text, number, boolean or unit variant;
    /// - an `f32` for a key that would come back as its neighbour;
    /// - a raw JSON text, or a name that begins with `$serde_json::private::`;
    /// - number or boolean keys together with text keys that look like them;
    /// - more than 127 levels of lists and maps, or 381 options or newtypes in one another;
    /// - a JSON text of more than 16 MiB.
    ///
    /// The earlier value stays.
    pub fn set(&mut self, name: impl Into<String>, value: impl Serialize) -> Result<()> {
        let name = name.into();
        match AttributeValue::written(&value) {
            Ok(value) => drop(self.values.insert(name, value)),
            Err(detail) => return Err(Error::attribute(&name, detail)),
        }
        Ok(())
    }

    /// Stores a value that is already JSON text, and replaces an earlier value.
    ///
    /// # Errors
    ///
    /// As for [`AttributeValue::from_json`]. The earlier value stays.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut attributes = sessile::Attributes::new();
    /// attributes.set_json("cart", r#"{ "tea": 2 }"#)?;
    /// let cart: Option<std::collections::BTreeMap<String, u32>> = attributes.get("cart")?;
    /// assert_eq!(cart.unwrap_or_default()["tea"], 2);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn set_json(&mut self, name: impl Into<String>, text: &str) -> Result<()> {
        let name = name.into();
        match AttributeValue::checked(text) {
            Ok(value) => drop(self.values.insert(name, value)),
            Err(detail) => return Err(Error::attribute(&name, detail)),
        }
        Ok(())
    }

    /// Removes a name and its value; `false` if there was none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.values.remove(name).is_some()
    }

    /// Removes the value under a name and returns it; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Attribute`] if the value is not a `T`; the value stays.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let value = self.get(name)?;
        self.values.remove(name);
        Ok(value)
    }

    /// Removes all attributes.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// Whether there is a value under a name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns the value under a name, to copy or inspect it; `None` if there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&AttributeValue> {
        self.values.get(name)
    }

    /// Iterates over the names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Iterates over the names with their values as JSON text, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_json()))
    }

    /// Returns the number of attributes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no attributes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the attributes as one JSON object.
    pub(crate) fn to_json(&self) -> String {
        let members: Vec<String> = self
            .iter()
            .map(|(name, json)| format!("{}:{json}", serde_json::Value::from(name)))
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

/// Iterates over the attributes in the order of their names.
impl IntoIterator for Attributes {
    type Item = (String, AttributeValue);
    type IntoIter = btree_map::IntoIter<String, AttributeValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.into_iter()
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = (&'a String, &'a AttributeValue);
    type IntoIter = btree_map::Iter<'a, String, AttributeValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.iter()
    }
}

/// If a name occurs twice, the last value stays.
impl<N: Into<String>> Extend<(N, AttributeValue)> for Attributes {
    fn extend<I: IntoIterator<Item = (N, AttributeValue)>>(&mut self, attributes: I) {
        self.values.extend(attributes.into_iter().map(|(name, value)| (name.into(), value)));
    }
}

impl<N: Into<String>> FromIterator<(N, AttributeValue)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, AttributeValue)>>(attributes: I) -> Self {
        let mut collected = Self::new();
        collected.extend(attributes);
        collected
    }
}

impl fmt::Debug for Attributes {
    /// Shows only the names: values may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Attributes")?;
        formatter.debug_set().entries(self.values.keys()).finish()
    }
}
