//! Owns the kind of content, which a record stores beside the content's bytes.

use std::fmt;

use crate::session::attributes::ATTRIBUTES;
use crate::session::json::JSON;

/// The kind of a record's content, for tools that do not know the program's type.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use sessile::engine::{ContentKind, Engine, MemoryEngine, Moment};
/// use sessile::{Json, SessionStore};
///
/// let engine = Arc::new(MemoryEngine::new());
/// let builder = SessionStore::<Json<Vec<u32>>>::builder().engine(engine.clone());
/// let key = builder.build()?.create(Json(vec![1, 2]))?.key();
///
/// let record = engine.load(&key, Moment::BEGINNING)?.ok_or("no such session")?;
/// assert_eq!(record.content_kind(), Some(ContentKind::Json));
/// assert_eq!(record.stored_content().to_json()?.as_deref(), Some("[1,2]"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentKind {
    /// A type of the program, as bincode. Only the program can interpret it.
    Typed,
    /// [`Attributes`](crate::Attributes): a map from names to JSON texts.
    Attributes,
    /// [`Json`](crate::Json): a JSON text.
    Json,
}

impl ContentKind {
    /// The kind of content that a newtype struct of this name holds.
    #[inline]
    pub(in crate::record) fn marked_by(newtype: &str) -> Option<Self> {
        match newtype {
            ATTRIBUTES => Some(Self::Attributes),
            JSON => Some(Self::Json),
            _ => None,
        }
    }

    pub(in crate::record) const fn to_byte(self) -> u8 {
        match self {
            Self::Typed => 0,
            Self::Attributes => 1,
            Self::Json => 2,
        }
    }

    pub(in crate::record) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Typed),
            1 => Some(Self::Attributes),
            2 => Some(Self::Json),
            _ => None,
        }
    }
}

impl fmt::Display for ContentKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Typed => "a type of the program's",
            Self::Attributes => "`Attributes`",
            Self::Json => "`Json<T>`",
        })
    }
}
