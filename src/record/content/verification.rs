//! Owns the verification, before anything is written, that content can be decoded: the content is
//! decoded and encoded again, and both results must equal their input.
//!
//! Invariants: accepted content has, whenever it is decoded, the returned shape and the given
//! value, as far as `Serialize` distinguishes values. A list or a map may be decoded in another
//! order only if its type is known to have none, if it is a map in a JSON text, or if the same
//! bytes are decoded in different orders.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::canonical::Canonical;
use super::{BoundedWriter, MAX_LEN, Misread, Same, Written, read, refusal, write_watched};
use crate::error::{Error, Result};
use crate::record::adapter::shape::{Shape, ShapeDigest};
use crate::record::adapter::trace::{Comparison, Event, Path, Trace};
use crate::record::adapter::{Budget, Refusal, Watch};

/// Decodes content that was just encoded, and returns the shape that every later decoding must
/// have.
pub(super) fn shape_as_read<C: Serialize + DeserializeOwned>(
    content: &C,
    written: &Written,
    same: Option<Same<C>>,
) -> Result<Shape> {
    let watch = Watch::new(Budget::new(written.body().len()), ShapeDigest::new());
    let back: C = match read(written.body(), &watch) {
        Ok(back) => back,
        Err(misread) => {
            return Err(unreadable(content, written, misread, watch.budget.take_refusal()));
        }
    };
    let shape = watch.observer.shape();
    if shape != written.shape {
        return Err(parted(content, written, watch.budget.take_refusal()));
    }
    // Two values can have the same JSON text: a `None`, and a `Some(None)`.
    if written.has_json || !is_written_the_same(&back, written) {
        same_value(content, &back, written)?;
    }
    match same {
        Some(same) if !same(content, &back) => Err(refusal::not_equal::<C>()),
        _ => Ok(shape),
    }
}

fn is_written_the_same<C: Serialize>(content: &C, written: &Written) -> bool {
    let mut writer = BoundedWriter::comparing(written.body());
    let watch = Watch::new(Budget::new(written.body().len()), ShapeDigest::new());
    write_watched(content, &mut writer, &watch).is_ok()
        && writer.expected.is_some_and(<[u8]>::is_empty)
        && watch.observer.shape() == written.shape
}

/// The error for content that cannot be decoded: where decoding ended, or where `Serialize` and
/// `Deserialize` disagree before that.
#[cold]
fn unreadable<C: Serialize + DeserializeOwned>(
    content: &C,
    written: &Written,
    misread: Misread,
    kept: Option<Refusal>,
) -> Error {
    // A failed decoding has requested less than was written; that is no disagreement.
    let compared = compared::<C>(content, written.body(), |events, asked| {
        events.get(..asked.len()).unwrap_or(events)
    });
    match compared {
        Err(text) => refusal::parted::<C>(&text, kept),
        Ok(place) => refusal::unreadable::<C>(misread, &place),
    }
}

/// The error for content whose shape in writing is not the one in reading.
#[cold]
fn parted<C: Serialize + DeserializeOwned>(
    content: &C,
    written: &Written,
    kept: Option<Refusal>,
) -> Error {
    match compared::<C>(content, written.body(), |events, _| events) {
        Ok(place) => refusal::unstable::<C>(&place),
        Err(text) => refusal::parted::<C>(&text, kept),
    }
}

/// Compares the calls of `Serialize`, or those of each part that count, with the requests of
/// `Deserialize`; the error says how they disagree. Otherwise returns the place where they end, or
/// where so many are compared that the rest is not.
#[cold]
fn compared<C: Serialize + DeserializeOwned>(
    content: &C,
    body: &[u8],
    counting: impl for<'a> Fn(&'a [Event], &[Event]) -> &'a [Event],
) -> std::result::Result<String, String> {
    let mut comparison = Comparison::default();
    for skipped in (0..).step_by(Trace::PART).take(Trace::PARTS) {
        let written = trace_of_writing(content, skipped);
        let asked = trace_of_reading::<C>(body, skipped);
        comparison.go_on(counting(&written, &asked), &asked)?;
        if asked.len() < Trace::PART {
            return Ok(comparison.into_path().to_string());
        }
    }
    Ok(format!("a place behind `{}`", comparison.into_path()))
}

/// The path to where `Serialize` failed, with the limits that it had.
#[cold]
pub(super) fn end_of_writing<C: Serialize>(content: &C, max_len: usize) -> Path {
    let watch = Watch::new(Budget::new(max_len), Trace::of_the_end());
    let _ = write_watched(content, &mut BoundedWriter::keeping(0), &watch);
    watch.observer.into_path()
}

/// A part of the calls of `Serialize`, up to its failure if it fails.
#[cold]
fn trace_of_writing<C: Serialize>(content: &C, skipped: usize) -> Vec<Event> {
    let watch = Watch::new(Budget::new(MAX_LEN), Trace::after(skipped));
    let _ = write_watched(content, &mut BoundedWriter::keeping(0), &watch);
    watch.observer.into_events()
}

/// A part of the requests of `Deserialize`, up to its failure if it fails.
#[cold]
fn trace_of_reading<C: DeserializeOwned>(body: &[u8], skipped: usize) -> Vec<Event> {
    let watch = Watch::new(Budget::new(body.len()), Trace::after(skipped));
    let _ = read::<C, _>(body, &watch);
    watch.observer.into_events()
}

/// Compares the values themselves, because the bytes differ or are ambiguous.
fn same_value<C: Serialize + DeserializeOwned>(
    content: &C,
    back: &C,
    written: &Written,
) -> Result<()> {
    let Some(place) = Canonical::difference(content, back) else { return Ok(()) };
    let moved = Canonical::reordered(content, back);
    let is_reordered = moved.is_some();
    if let Some(moved) = moved
        && have_no_order(moved, back, written.body())
    {
        return Ok(());
    }
    match Canonical::difference(content, content) {
        Some(place) => Err(refusal::unstable::<C>(&place)),
        None if is_reordered => Err(refusal::another_order::<C>(&place)),
        None => Err(refusal::another_value::<C>(&place)),
    }
}

/// A list in random order keeps its order in all decodings once in two to this power.
const CERTAINTY: f64 = 40.0;

/// The number of decodings after which a list in random order has moved almost certainly, by the
/// number of its distinct elements: 40 for two of them, 4 for seven or more.
fn decodings_for(distinct: usize) -> u32 {
    let mut bits = 0.0;
    for number in 2..=distinct {
        bits += (number as f64).log2();
        if bits >= CERTAINTY / 4.0 {
            return 4;
        }
    }
    (CERTAINTY / f64::max(bits, 1.0)).ceil() as u32
}

/// Whether each of these lists is decoded from the same bytes in another order than `back` has.
/// Then its order can have no meaning. A `Serialize` that writes a `HashMap` entry by entry does
/// not show its type.
#[cold]
fn have_no_order<C: Serialize + DeserializeOwned>(
    mut lists: BTreeMap<usize, usize>,
    back: &C,
    body: &[u8],
) -> bool {
    for decodings in 0.. {
        if lists.is_empty() {
            return true;
        }
        if lists.values().any(|distinct| decodings >= decodings_for(*distinct)) {
            return false;
        }
        let watch = Watch::new(Budget::new(body.len()), ShapeDigest::new());
        let again = read(body, &watch).ok();
        let moved = again.and_then(|again: C| Canonical::reordered(back, &again));
        let moved = moved.unwrap_or_default();
        lists.retain(|list, _| !moved.contains_key(list));
    }
    false
}
