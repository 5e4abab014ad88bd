//! Owns content as a record stores it, for migrations and for tools that do not know its type.

use std::fmt;

use serde::de::DeserializeOwned;

use super::{Cause, ContentKind, HEAD_LEN, Misread, decode};
use crate::error::{Error, Result};
use crate::record::adapter::shape::{SHAPE_LEN, Shape};
use crate::session::attributes::Attributes;
use crate::session::json::JsonText;

/// Content as it was written, perhaps by an earlier version of the program. The migration given to
/// [`Builder::content_version`](crate::Builder::content_version) receives it.
///
/// # Examples
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sessile::SessionStore;
///
/// /// Version 0: the first release set none.
/// #[derive(Deserialize)]
/// struct First { items: u32 }
///
/// /// Version 1.
/// #[derive(Deserialize)]
/// struct Second { items: u32, currency: String }
///
/// #[derive(Serialize, Deserialize)]
/// struct Cart { items: u64, currency: String }
///
/// let store = SessionStore::<Cart>::builder()
///     .content_version(2, |old| match old.version() {
///         0 => {
///             let First { items } = old.decode()?;
///             Ok(Cart { items: items.into(), currency: "EUR".into() })
///         }
///         _ => {
///             let Second { items, currency } = old.decode()?;
///             Ok(Cart { items: items.into(), currency })
///         }
///     })
///     .in_memory()?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct StoredContent<'a> {
    version: u32,
    kind: Option<ContentKind>,
    /// `None` for content that a test made up.
    shape: Option<Shape>,
    body: &'a [u8],
}

impl<'a> StoredContent<'a> {
    /// Parses a record's stored content.
    #[inline]
    pub(crate) fn new(version: u32, stored: &'a [u8]) -> Self {
        match stored.split_first_chunk::<HEAD_LEN>() {
            Some(([kind, shape @ ..], body)) => {
                let shape: &[u8; SHAPE_LEN] = shape;
                let (kind, shape) = (ContentKind::from_byte(*kind), Shape::from_bytes(*shape));
                Self { version, kind, shape: Some(shape), body }
            }
            None => Self { version, kind: None, shape: None, body: stored },
        }
    }

    /// Content without a known shape.
    #[cfg(feature = "testing")]
    pub(crate) const fn without_shape(version: u32, body: &'a [u8]) -> Self {
        Self { version, kind: Some(ContentKind::Typed), shape: None, body }
    }

    /// The content version at writing; 0 if the program set none.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The kind of the content; `None` for a kind that this version of the library does not know.
    #[must_use]
    pub const fn kind(&self) -> Option<ContentKind> {
        self.kind
    }

    /// The encoded content: bincode 2, `config::standard()`.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.body
    }

    /// Decodes the content as the type from which it was written.
    ///
    /// # Errors
    ///
    /// [`Error::ContentMismatch`] if it has another shape than a `T`: other names of fields or of
    /// variants, another order, other kinds of values. The names of types do not count.
    #[inline]
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        self.read().map_err(|misread| Error::ContentMismatch {
            detail: format!(
                "content of version {} is not a `{}`; decode it as the type that wrote it",
                self.version,
                std::any::type_name::<T>()
            ),
            source: Some(misread.into()),
        })
    }

    #[inline]
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Misread> {
        if self.kind.is_none() {
            return Err(Misread::new(Cause::UnknownKind));
        }
        decode(self.body, self.shape)
    }

    /// Returns the content as a JSON text, if that is possible without the program's type:
    /// [`Json`](crate::Json) is its text, and [`Attributes`] are an object. `None` for a type of
    /// the program.
    ///
    /// # Security
    ///
    /// The text is the program's data about its users, in clear.
    ///
    /// # Errors
    ///
    /// [`Error::ContentMismatch`] if the content does not match its kind.
    ///
    /// # Examples
    ///
    /// See [`ContentKind`].
    pub fn to_json(&self) -> Result<Option<String>> {
        match self.kind {
            Some(ContentKind::Json) => Ok(Some(self.decode::<JsonText>()?.into_text())),
            Some(ContentKind::Attributes) => Ok(Some(self.decode::<Attributes>()?.to_json())),
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for StoredContent<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoredContent")
            .field("version", &self.version)
            .field("kind", &self.kind)
            .field("len", &self.body.len())
            .finish()
    }
}
