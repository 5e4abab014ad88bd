//! Content for programs that name no type of their own: values by name.
//!
//! Invariant: every value is valid JSON text, nested no deeper than [`Attributes::get`] can read.
//! Values are kept as text, so that reading a session converts only what is asked for, and so
//! that what is stored is not a recursive type.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// JSON-like values by name: the content of a session whose store names no type.
///
/// Each value is anything that serde can turn into JSON: numbers, texts, lists, maps, your own
/// types. JSON has no infinities and no NaN; such a float is stored as `null`.
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
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    json: BTreeMap<String, String>,
}

impl Attributes {
    /// No attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value under a name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Attribute`] if the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(json) = self.json.get(name) else { return Ok(None) };
        serde_json::from_str(json).map(Some).map_err(|error| conversion_error(name, error))
    }

    /// Stores a value under a name, in place of what was there.
    ///
    /// # Errors
    ///
    /// [`Error::Attribute`] if the value cannot be turned into JSON, or not back (it is nested
    /// more than 127 levels deep); what was there stays.
    pub fn set(&mut self, name: impl Into<String>, value: impl Serialize) -> Result<()> {
        let name = name.into();
        let json = serde_json::to_string(&value).map_err(|error| conversion_error(&name, error))?;
        serde_json::from_str::<serde_json::Value>(&json)
            .map_err(|error| conversion_error(&name, error))?;
        self.json.insert(name, json);
        Ok(())
    }

    /// Removes a name; `false` if it was not there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.json.remove(name).is_some()
    }

    /// Removes the value under a name and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::Attribute`] if the value is not a `T`; it stays.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let value = self.get(name)?;
        self.json.remove(name);
        Ok(value)
    }

    /// Whether there is a value under a name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.json.contains_key(name)
    }

    /// Every name with its value as JSON text, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.json.iter().map(|(name, json)| (name.as_str(), json.as_str()))
    }

    /// How many attributes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.json.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.json.is_empty()
    }
}

impl fmt::Debug for Attributes {
    /// Shows the names alone: values may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Attributes")?;
        formatter.debug_set().entries(self.json.keys()).finish()
    }
}

fn conversion_error(name: &str, error: serde_json::Error) -> Error {
    Error::Attribute { name: name.into(), source: Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_an_error_and_stays() {
        let mut attributes = Attributes::new();
        attributes.set("n", "text").unwrap();
        assert!(matches!(attributes.get::<u32>("n"), Err(Error::Attribute { .. })));
        assert!(attributes.take::<u32>("n").is_err());
        assert_eq!(attributes.get::<String>("n").unwrap().as_deref(), Some("text"));
    }

    #[test]
    fn what_could_not_be_read_back_is_refused_and_changes_nothing() {
        let nested = |depth: usize| {
            let mut value = serde_json::Value::Null;
            for _ in 0..depth {
                value = serde_json::Value::Array(vec![value]);
            }
            value
        };
        let mut attributes = Attributes::new();
        attributes.set("deep", nested(127)).unwrap();
        assert!(attributes.set("deep", nested(128)).is_err());
        assert_eq!(attributes.get::<serde_json::Value>("deep").unwrap(), Some(nested(127)));

        let keyed_by_a_list = BTreeMap::from([(vec![1], 1)]);
        assert!(attributes.set("map", keyed_by_a_list).is_err());
        assert!(!attributes.contains("map"));
    }

    #[test]
    fn the_attributes_are_counted_by_name() {
        let mut attributes = Attributes::new();
        assert!(attributes.is_empty());
        for (name, value) in [("a", 1), ("b", 2), ("a", 3)] {
            attributes.set(name, value).unwrap();
        }
        assert_eq!((attributes.len(), attributes.is_empty()), (2, false));
        attributes.remove("a");
        assert_eq!(attributes.take::<u8>("b").unwrap(), Some(2));
        assert_eq!((attributes.len(), attributes.is_empty()), (0, true));
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let mut attributes = Attributes::new();
        attributes.set("card", "4111 1111").unwrap();
        assert_eq!(format!("{attributes:?}"), "Attributes{\"card\"}");
    }

    #[test]
    fn the_attributes_are_listed_in_the_order_of_their_names() {
        let mut attributes = Attributes::new();
        attributes.set("b", 1).unwrap();
        attributes.set("a", "x").unwrap();
        assert_eq!(attributes.iter().collect::<Vec<_>>(), [("a", "\"x\""), ("b", "1")]);
    }
}
