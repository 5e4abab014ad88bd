//! Owns what is observed while a value is encoded as a JSON text, and the refusal of what only some
//! types could read back.

use std::cell::Cell;

use serde::ser::Error;

use super::key::TypedKey;
use super::reserved;

/// Observations made while a value is encoded.
#[derive(Default)]
pub(in crate::session) struct Notes {
    /// Whether the type is unknown that will decode the value. Then everything is refused that only
    /// some types can read back.
    for_any_type: bool,
    typed_keys: Cell<bool>,
    texts_like_typed_keys: Cell<bool>,
}

impl Notes {
    /// For a value whose type is unknown when it is decoded.
    pub(in crate::session) fn for_any_type() -> Self {
        Self { for_any_type: true, ..Self::default() }
    }

    /// Whether a key was a number or a boolean.
    pub(in crate::session) fn has_typed_keys(&self) -> bool {
        self.typed_keys.get()
    }

    /// Whether a key was a text that looks like a number or a boolean.
    pub(in crate::session) fn has_texts_like_typed_keys(&self) -> bool {
        self.texts_like_typed_keys.get()
    }

    pub(super) fn note_typed_key(&self) {
        self.typed_keys.set(true);
    }

    pub(super) fn note_text_key(&self, key: &str) -> serde_json::Result<()> {
        if TypedKey::parse(key).is_some() {
            self.texts_like_typed_keys.set(true);
        }
        self.refuse(reserved::is_reserved(key), reserved::REFUSAL)
    }

    /// A number of serde_json is a struct with a name of its own.
    pub(super) fn note_field(&self, name: &str) -> serde_json::Result<()> {
        if name == reserved::NUMBER { Ok(()) } else { self.note_text_key(name) }
    }

    pub(super) fn note_struct(&self, name: &str) -> serde_json::Result<()> {
        self.refuse(
            reserved::is_reserved(name) && name != reserved::NUMBER,
            "it holds a raw JSON text, which not every type can read; store the text with `set_json`",
        )
    }

    /// A type that buffers its data cannot read such an integer back, however small it is.
    pub(super) fn note_wide(&self) -> serde_json::Result<()> {
        self.refuse(
            true,
            "it holds a 128-bit integer type (`i128` or `u128`), which not every type can read \
             back; use `i64` or `u64`, write it as a text, or keep the content as `Json<T>`",
        )
    }

    /// serde_json can write an `f32` for a key only by its shortest text.
    pub(super) fn note_f32_key(&self, key: f32) -> serde_json::Result<()> {
        self.refuse(
            !survives_f64(key),
            "it has an `f32` for a key that could come back as its neighbour; write it as an `f64`",
        )
    }

    fn refuse(&self, is_lost: bool, reason: &str) -> serde_json::Result<()> {
        match self.for_any_type && is_lost {
            true => Err(Error::custom(reason)),
            false => Ok(()),
        }
    }
}

/// Whether the shortest text of a number, read as an `f64` and then rounded, gives the number. A
/// type that buffers its data reads it so.
pub(super) fn survives_f64(v: f32) -> bool {
    let as_read = v.to_string().parse::<f64>().map(|read| (read as f32).to_bits());
    as_read == Ok(v.to_bits())
}
