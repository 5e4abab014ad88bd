//! Owns the errors for content that cannot be stored: the cause, its place, and what to use
//! instead.
//!
//! Invariant: no text from this module contains any of the content. The message of a type's
//! `Serialize` is included; the message of its `Deserialize`, which may quote the content, is only
//! a source.

use std::any::type_name;
use std::fmt::Display;
use std::sync::Arc;

use bincode::error::EncodeError;
use serde::Serialize;

use super::verification::end_of_writing;
use super::{Cause, Misread};
use crate::error::{Error, Source};
use crate::record::adapter::Refusal;

const USE_JSON: &str = "keep it as `Json<T>`, or change the type";

/// `Serialize` failed.
#[cold]
pub(super) fn of_encoding<C: Serialize>(
    content: &C,
    max_len: usize,
    error: EncodeError,
    refusal: Option<Refusal>,
) -> Error {
    let place = end_of_writing(content, max_len).to_string();
    match refusal {
        Some(refusal) => told::<C>(&refusal, Some(&place)),
        None => {
            let (text, source) = in_words(error);
            refused::<C>(&place, format_args!("`Serialize` failed{text}"), source)
        }
    }
}

/// The adapter refused the content, while encoding or decoding.
#[cold]
pub(super) fn told<C>(refusal: &Refusal, place: Option<&str>) -> Error {
    let advice = match refusal {
        Refusal::TooDeep | Refusal::TooManyElements { .. } => "keep less in a session",
        Refusal::Miscounted { .. } => "mend its `Serialize`",
        _ => USE_JSON,
    };
    let text = format_args!("{refusal}; {advice}");
    match (refusal, place) {
        // The refusal names its struct; the place would be that of the field before.
        (Refusal::FieldLeftOut { .. }, _) | (_, None) => refused::<C>("", text, None),
        (_, Some(place)) => refused::<C>(place, text, None),
    }
}

/// `Serialize` and `Deserialize` disagree. A type that takes a default after a refusal keeps the
/// refusal to itself.
#[cold]
pub(super) fn parted<C>(text: &str, kept: Option<Refusal>) -> Error {
    let kept = kept.map(|kept| format!(", after an error that it kept to itself ({kept})"));
    let kept = kept.unwrap_or_default();
    let text = format_args!("{text}{kept}; it could come back as another value: {USE_JSON}");
    refused::<C>("", text, None)
}

/// The encoded content could not be decoded.
#[cold]
pub(super) fn unreadable<C>(misread: Misread, place: &str) -> Error {
    match misread.cause {
        Cause::Refused(refusal) => told::<C>(&refusal, Some(place)),
        _ => {
            let text = "`Deserialize` does not take what `Serialize` wrote; the error's source says \
                        why. Make both accept the same values, change the type, or keep typed \
                        content as `Json<T>`";
            refused::<C>(&place, text, Some(misread.into()))
        }
    }
}

/// The content was decoded as another value.
#[cold]
pub(super) fn another_value<C>(place: &str) -> Error {
    let text = "it comes back as another value; what `Serialize` writes has to tell all that is kept, \
                in an order that `Deserialize` keeps";
    refused::<C>(place, text, None)
}

/// The decoded content is not equal to it by `PartialEq`, though `Serialize` writes the same.
#[cold]
pub(super) fn not_equal<C>() -> Error {
    let text = "it comes back as a value that is not equal to it, though `Serialize` writes the same \
                for both; let `Serialize` write what tells them apart, or leave such values out, and \
                a `NaN`, which equals nothing";
    refused::<C>("", text, None)
}

/// A list or a map was decoded in another order.
#[cold]
pub(super) fn another_order<C>(place: &str) -> Error {
    let text = "it comes back as another value: a list or a map is in another order; use a type that \
                keeps the order, or keep a map as `Json<T>`";
    refused::<C>(place, text, None)
}

/// `Serialize` writes the content differently each time.
#[cold]
pub(super) fn unstable<C>(place: &str) -> Error {
    let text =
        "`Serialize` writes something else each time, so nobody can tell whether it comes back";
    refused::<C>(place, text, None)
}

/// The type, the place in it unless that is empty, and the problem there.
fn refused<C>(place: impl Display, text: impl Display, source: Option<Source>) -> Error {
    let place = match place.to_string() {
        place if place.is_empty() => place,
        place => format!(", at {place}"),
    };
    Error::Encode { detail: format!("`{}`{place}: {text}", type_name::<C>()), source }
}

/// The message of the type's own `Serialize`, or else bincode's error.
fn in_words(error: EncodeError) -> (String, Option<Source>) {
    match error {
        EncodeError::OtherString(text) => (format!(": {text}"), None),
        error => (String::new(), Some(Arc::new(error))),
    }
}
