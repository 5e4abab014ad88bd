//! The caller's content as bytes, and back: bincode, after a head of kind and shape.
//!
//! Invariants: [`decode`] returns everything that [`encode`] accepts; `encode` tries this before
//! anything is written. A decoded value has the shape under which it was written, or it is an
//! error. Decoding allocates nothing for a length that is only claimed, recurses to a fixed depth,
//! and ends in time proportional to the input.

mod canonical;
mod kind;
mod refusal;
mod stored;
#[cfg(test)]
mod tests;
mod verification;

use std::fmt;
use std::sync::Arc;

use bincode::config;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::kind::ContentKind;
pub use self::stored::StoredContent;
use super::adapter::observer::Observer;
use super::adapter::shape::{SHAPE_LEN, Shape, ShapeDigest};
use super::adapter::{Budget, Refusal, Watch, Watched, WatchedSeed, elements_allowed};
use crate::error::{Error, Result, Source};
use crate::session::json::MAX_TEXT_LEN;

/// The largest `max_content_len` a builder accepts, in bytes.
pub(crate) const MAX_LEN: usize = MAX_TEXT_LEN;

/// The length of the head before bincode's bytes: the kind, and the shape.
pub(crate) const HEAD_LEN: usize = 1 + SHAPE_LEN;

/// Whether two values are equal.
pub(crate) type Same<C> = fn(&C, &C) -> bool;

/// Encodes content of at most `max_len` bytes, without the head, and verifies that it can be
/// decoded. Encoding keeps `max_len` bytes, whatever the content's size; the text of a
/// [`Json`](crate::Json) is made first, up to [`MAX_LEN`]. The verification takes a decoded copy in
/// addition, and the canonical forms of both if the copy is encoded to other bytes. The copy must
/// also be the `same`, if that is to be looked at.
pub(crate) fn encode<C: Serialize + DeserializeOwned>(
    content: &C,
    max_len: usize,
    same: Option<Same<C>>,
) -> Result<Vec<u8>> {
    let written = write(content, max_len)?;
    let shape = verification::shape_as_read(content, &written, same)?;
    let Written { mut bytes, kind, .. } = written;
    if let Some((head, _)) = bytes.split_first_chunk_mut::<HEAD_LEN>() {
        let (kind_byte, shape_bytes) = head.split_at_mut(1);
        kind_byte.copy_from_slice(&[kind.to_byte()]);
        shape_bytes.copy_from_slice(&shape.to_bytes());
    }
    Ok(bytes)
}

/// The bytes of bincode, without the head.
#[cfg(feature = "testing")]
pub(crate) fn encode_body<C: Serialize>(content: &C) -> Result<Vec<u8>> {
    write(content, MAX_LEN).map(|written| written.body().to_vec())
}

/// Encoded content that is not yet verified.
struct Written {
    /// Begins with room for the head.
    bytes: Vec<u8>,
    kind: ContentKind,
    /// The shape that `Serialize` produced.
    shape: Shape,
    has_json: bool,
}

impl Written {
    #[inline]
    fn body(&self) -> &[u8] {
        self.bytes.get(HEAD_LEN..).unwrap_or_default()
    }
}

fn write<C: Serialize>(content: &C, max_len: usize) -> Result<Written> {
    let mut writer = BoundedWriter::keeping(max_len);
    let watch = Watch::new(Budget::new(max_len), ShapeDigest::new());
    let encoded = write_watched(content, &mut writer, &watch);
    let Watch { budget, observer: digest } = watch;
    let BoundedWriter { bytes, len, .. } = writer;
    if len > max_len {
        let len = match budget.take_refusal() {
            Some(Refusal::TooManyElements { .. }) => full_len(content),
            _ => len,
        };
        return Err(Error::TooLarge { len, max: max_len });
    }
    if let Err(error) = encoded {
        return Err(refusal::of_encoding(content, max_len, error, budget.take_refusal()));
    }
    if budget.elements_used() > elements_allowed(len) {
        let refusal = Refusal::TooManyElements { allowed: elements_allowed(len) };
        return Err(refusal::told::<C>(&refusal, None));
    }
    let (kind, has_json) = (digest.outermost_kind(), digest.has_json());
    Ok(Written { bytes, kind, shape: digest.shape(), has_json })
}

/// The encoded length of content that has too many elements for a limit that it exceeds.
#[cold]
fn full_len<C: Serialize>(content: &C) -> usize {
    let mut writer = BoundedWriter::keeping(0);
    let _ =
        write_watched(content, &mut writer, &Watch::new(Budget::new(MAX_LEN), ShapeDigest::new()));
    writer.len
}

#[inline]
fn write_watched<C: Serialize, O: Observer>(
    content: &C,
    writer: &mut BoundedWriter<'_>,
    watch: &Watch<O>,
) -> Result<(), EncodeError> {
    let watched = Watched::new(content, watch);
    bincode::serde::encode_into_writer(watched, writer, config::standard())
}

/// Decodes all of the content, which must have this shape: bytes left over are an error.
#[inline]
pub(super) fn decode<C: DeserializeOwned>(body: &[u8], shape: Option<Shape>) -> Result<C, Misread> {
    let watch = Watch::new(Budget::new(body.len()), ShapeDigest::new());
    let read = read(body, &watch);
    let digest = &watch.observer;
    match read {
        Ok(content) if shape.is_none_or(|shape| shape == digest.shape()) => Ok(content),
        Ok(_) => Err(Misread { asked: digest.outermost_kind(), cause: Cause::OtherShape }),
        Err(misread) => Err(Misread { asked: digest.outermost_kind(), ..misread }),
    }
}

#[inline]
fn read<C: DeserializeOwned, O: Observer>(body: &[u8], watch: &Watch<O>) -> Result<C, Misread> {
    let seed = WatchedSeed::new(watch);
    match bincode::serde::seed_decode_from_slice(seed, body, config::standard()) {
        Ok((content, read)) if read == body.len() => Ok(content),
        Ok((_, read)) => Err(Misread::new(Cause::LeftOver { bytes: body.len() - read })),
        Err(error) => Err(Misread::failed(error, watch.budget.take_refusal())),
    }
}

/// Why bytes could not be decoded as a type.
#[derive(Debug)]
pub(crate) struct Misread {
    /// The kind of content that the type has.
    asked: ContentKind,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// The content is of a kind that this version of the library does not know.
    UnknownKind,
    /// The content has another shape than the type.
    OtherShape,
    LeftOver {
        bytes: usize,
    },
    TooShort,
    Refused(Refusal),
    /// The message of the type's `Deserialize`, or of bincode.
    Failed(String),
}

impl Misread {
    #[cold]
    fn new(cause: Cause) -> Self {
        Self { asked: ContentKind::Typed, cause }
    }

    #[cold]
    fn failed(error: DecodeError, refusal: Option<Refusal>) -> Self {
        Self::new(match (refusal, error) {
            (Some(refusal), _) => Cause::Refused(refusal),
            (None, DecodeError::UnexpectedEnd { .. } | DecodeError::OutsideUsizeRange(_)) => {
                Cause::TooShort
            }
            (None, DecodeError::OtherString(text)) => Cause::Failed(text),
            (None, error) => Cause::Failed(error.to_string()),
        })
    }

    /// The kind of content that the type has.
    pub(crate) fn asked_kind(&self) -> ContentKind {
        self.asked
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::UnknownKind => formatter.write_str("it is of a kind that is not known here"),
            Cause::OtherShape => formatter.write_str(
                "the names of its fields or variants, their order, or the kinds of its values differ",
            ),
            Cause::LeftOver { bytes } => {
                write!(formatter, "{bytes} bytes are left over after the content")
            }
            Cause::TooShort => formatter.write_str("the content ends before the value does"),
            Cause::Refused(refusal) => refusal.fmt(formatter),
            Cause::Failed(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for Misread {}

impl From<Misread> for Source {
    fn from(misread: Misread) -> Self {
        Arc::new(misread)
    }
}

/// Keeps the first `max_len` bytes after room for the head, and counts the rest for the error. Or
/// keeps nothing, and compares with bytes written earlier.
struct BoundedWriter<'a> {
    bytes: Vec<u8>,
    len: usize,
    max_len: usize,
    /// The bytes that must still come.
    expected: Option<&'a [u8]>,
}

impl<'a> BoundedWriter<'a> {
    /// Enough for most content.
    const FIRST_CAPACITY: usize = 512;

    fn keeping(max_len: usize) -> Self {
        let mut bytes = Vec::with_capacity(Self::FIRST_CAPACITY);
        bytes.resize(HEAD_LEN, 0);
        Self { bytes, len: 0, max_len, expected: None }
    }

    fn comparing(expected: &'a [u8]) -> Self {
        Self { bytes: Vec::new(), len: 0, max_len: 0, expected: Some(expected) }
    }
}

impl Writer for BoundedWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if let Some(expected) = &mut self.expected {
            let rest = expected.strip_prefix(bytes).ok_or(EncodeError::Other("other bytes"))?;
            *expected = rest;
            return Ok(());
        }
        self.len = self.len.saturating_add(bytes.len());
        if self.len <= self.max_len {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }
}
