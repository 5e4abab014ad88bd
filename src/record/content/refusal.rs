//! Owns what a caller is told whose content cannot be stored: what does it, where, and what to use.
//!
//! Invariant: no text of this module's holds any of the content. What a type's `Serialize` says is
//! passed on, and what its `Deserialize` says, which may quote what it was given, is a source.

use std::any::type_name;
use std::fmt::Display;
use std::sync::Arc;

use bincode::error::EncodeError;
use serde::Serialize;

use super::verification::trace_of_writing;
use super::{Cause, Misread};
use crate::error::{Error, Source};
use crate::record::adapter::Refusal;
use crate::record::adapter::trace::{Event, Path};

const USE_JSON: &str = "keep it as `Json<T>`, or change the type";

/// `Serialize` ended in an error.
#[cold]
pub(super) fn of_encoding<C: Serialize>(
    content: &C,
    error: EncodeError,
    refusal: Option<Refusal>,
) -> Error {
    let events = trace_of_writing(content);
    let place = Path::to_end_of(&events);
    match refusal {
        Some(refusal) => told::<C>(&refusal, Some(&place)),
        None => {
            let (text, source) = in_words(error);
            refused::<C>(&place, format_args!("`Serialize` failed{text}"), source)
        }
    }
}

/// The adapter refused it, in either direction.
#[cold]
pub(super) fn told<C>(refusal: &Refusal, place: Option<&Path>) -> Error {
    let advice = match refusal {
        Refusal::TooDeep | Refusal::TooManyElements { .. } => "keep less in a session",
        Refusal::Miscounted { .. } => "mend its `Serialize`",
        _ => USE_JSON,
    };
    let text = format_args!("{refusal}; {advice}");
    match (refusal, place) {
        // It names its struct, and the place is that of the field before.
        (Refusal::FieldLeftOut { .. }, _) | (_, None) => refused::<C>("", text, None),
        (_, Some(place)) => refused::<C>(place, text, None),
    }
}

/// `Serialize` and `Deserialize` do not see the same.
#[cold]
pub(super) fn parted<C>(text: &str) -> Error {
    let text = format_args!("{text}; it could come back as another value: {USE_JSON}");
    refused::<C>("", text, None)
}

/// What was written could not be read.
#[cold]
pub(super) fn unreadable<C>(misread: Misread, asked: &[Event]) -> Error {
    let place = Path::to_end_of(asked);
    match misread.cause {
        Cause::Refused(refusal) => told::<C>(&refusal, Some(&place)),
        _ => {
            let text = "`Deserialize` does not take what `Serialize` wrote; make both accept the same \
                        values";
            refused::<C>(&place, text, Some(misread.into()))
        }
    }
}

/// It came back as another value.
#[cold]
pub(super) fn another_value<C>(place: &str) -> Error {
    let text = "it comes back as another value; what `Serialize` writes has to tell all that is kept, \
                in an order that `Deserialize` keeps";
    refused::<C>(place, text, None)
}

/// It is not even written the same way twice.
#[cold]
pub(super) fn unstable<C>(place: &str) -> Error {
    let text =
        "`Serialize` writes something else each time, so nobody can tell whether it comes back";
    refused::<C>(place, text, None)
}

/// The type, the place in it unless that is empty, and what is wrong there.
fn refused<C>(place: impl Display, text: impl Display, source: Option<Source>) -> Error {
    let place = match place.to_string() {
        place if place.is_empty() => place,
        place => format!(", at {place}"),
    };
    Error::Encode { detail: format!("`{}`{place}: {text}", type_name::<C>()), source }
}

/// The words of the type's own `Serialize`, or else bincode's error.
fn in_words(error: EncodeError) -> (String, Option<Source>) {
    match error {
        EncodeError::OtherString(text) => (format!(": {text}"), None),
        error => (String::new(), Some(Arc::new(error))),
    }
}
