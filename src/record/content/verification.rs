//! Owns the verification, before anything is written, that content can be decoded: the content is
//! decoded and encoded again, and both results must equal their input.
//!
//! Invariants: accepted content has, whenever it is decoded, the returned shape and the given
//! value, as far as `Serialize` distinguishes values. A list or a map may be decoded in another
//! order only if its type is known to have none.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::canonical::Canonical;
use super::{BoundedWriter, MAX_LEN, Misread, Written, read, refusal, write_watched};
use crate::error::{Error, Result};
use crate::record::adapter::shape::{Shape, ShapeDigest};
use crate::record::adapter::trace::{Agreement, Event, Trace, compare};
use crate::record::adapter::{Budget, Watch};

/// Decodes content that was just encoded, and returns the shape that every later decoding must
/// have.
pub(super) fn shape_as_read<C: Serialize + DeserializeOwned>(
    content: &C,
    written: &Written,
) -> Result<Shape> {
    let watch = Watch::new(Budget::new(written.body().len()), ShapeDigest::new());
    let back: C = match read(written.body(), &watch) {
        Ok(back) => back,
        Err(misread) => return Err(unreadable(content, written, misread)),
    };
    let shape = watch.observer.shape();
    if shape != written.shape {
        agree(content, written)?;
    }
    // Two values can have the same JSON text: a `None`, and a `Some(None)`.
    if written.has_json || !is_written_the_same(&back, written.body()) {
        same_value(content, &back)?;
    }
    Ok(shape)
}

fn is_written_the_same<C: Serialize>(content: &C, bytes: &[u8]) -> bool {
    let mut writer = BoundedWriter::comparing(bytes);
    let watch = Watch::new(Budget::new(bytes.len()), ShapeDigest::new());
    write_watched(content, &mut writer, &watch).is_ok()
        && writer.expected.is_some_and(<[u8]>::is_empty)
}

/// The error for content that cannot be decoded: where decoding ended, or where `Serialize` and
/// `Deserialize` disagree before that.
#[cold]
fn unreadable<C: Serialize + DeserializeOwned>(
    content: &C,
    written: &Written,
    misread: Misread,
) -> Error {
    let asked = trace_of_reading::<C>(written.body());
    let events = trace_of_writing(content);
    // A failed decoding has requested less than was written; that is no disagreement.
    let reached = events.get(..asked.len()).unwrap_or(&events);
    match compare(reached, &asked) {
        Agreement::Parted(text) => refusal::parted::<C>(&text),
        Agreement::ExceptAliases => refusal::unreadable::<C>(misread, &asked),
    }
}

/// Decides whether two different shapes matter.
#[cold]
fn agree<C: Serialize + DeserializeOwned>(content: &C, written: &Written) -> Result<()> {
    match compare(&trace_of_writing(content), &trace_of_reading::<C>(written.body())) {
        Agreement::ExceptAliases => Ok(()),
        Agreement::Parted(text) => Err(refusal::parted::<C>(&text)),
    }
}

/// The calls of `Serialize`, up to its failure if it fails.
#[cold]
pub(super) fn trace_of_writing<C: Serialize>(content: &C) -> Vec<Event> {
    let watch = Watch::new(Budget::new(MAX_LEN), Trace::default());
    let _ = write_watched(content, &mut BoundedWriter::keeping(0), &watch);
    watch.observer.into_events()
}

/// The requests of `Deserialize`, up to its failure if it fails.
#[cold]
fn trace_of_reading<C: DeserializeOwned>(body: &[u8]) -> Vec<Event> {
    let watch = Watch::new(Budget::new(body.len()), Trace::default());
    let _ = read::<C, _>(body, &watch);
    watch.observer.into_events()
}

/// Compares the values themselves, because the bytes differ or are ambiguous.
fn same_value<C: Serialize>(content: &C, back: &C) -> Result<()> {
    let Some(place) = Canonical::difference(content, back) else { return Ok(()) };
    match Canonical::difference(content, content) {
        Some(place) => Err(refusal::unstable::<C>(&place)),
        None => Err(refusal::another_value::<C>(&place)),
    }
}
