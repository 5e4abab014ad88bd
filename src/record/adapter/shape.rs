//! Owns the shape of a value: a digest of all its events, without its data.
//!
//! Invariant: two values of one shape have, call by call, the same kinds of primitives, the same
//! names of fields and variants, and lists of the same lengths. So bytes mean the same when they
//! are decoded under the shape under which they were written. A token stands before what a `Some`
//! or a variant has, and two tokens enclose a compound. So the tokens of a value tell where it
//! ends, and no other nesting has the same.
//!
//! # Why this digest
//!
//! A client that chooses content chooses which variants, options and lengths occur, and so, in
//! part, the digest's input. It must not find content that has one shape for the type that wrote it
//! and the same shape for another type. The state has 128 bits, and all of them are kept. For a
//! given token, a step permutes the states. So two different states stay different while the tokens
//! are the same. To make them equal again, two words of 64 bits must cancel at once. Only digests
//! of the program's names could do that, and no client chooses these.

use std::cell::Cell;

use super::names;
use super::observer::{Closed, Leaf, Observer, Opened, Variant};
use crate::record::content::ContentKind;

/// The length of a stored shape, in bytes.
pub(in crate::record) const SHAPE_LEN: usize = 16;

/// The shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) struct Shape {
    low: u64,
    high: u64,
}

impl Shape {
    pub(in crate::record) fn to_bytes(self) -> [u8; SHAPE_LEN] {
        let mut bytes = [0; SHAPE_LEN];
        let (low, high) = bytes.split_at_mut(SHAPE_LEN / 2);
        low.copy_from_slice(&self.low.to_le_bytes());
        high.copy_from_slice(&self.high.to_le_bytes());
        bytes
    }

    #[inline]
    pub(in crate::record) const fn from_bytes(bytes: [u8; SHAPE_LEN]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self { low: both as u64, high: (both >> 64) as u64 }
    }

    /// The shape of a value without events: the first bits of the fraction of pi.
    const BLANK: Self = Self { low: 0x243f_6a88_85a3_08d3, high: 0x1319_8a2e_0370_7344 };
}

/// Digests the events as they come.
pub(in crate::record) struct ShapeDigest {
    low: Cell<u64>,
    high: Cell<u64>,
    kinds: Cell<Kinds>,
}

/// The kinds of content that were reported.
#[derive(Clone, Copy)]
struct Kinds {
    outermost: ContentKind,
    has_json: bool,
}

// Tokens. Leaves have the small numbers, so no other token may be small.
const NONE: u64 = 32;
const SOME: u64 = 33;
const OPEN: u64 = 34;
const KIND: u64 = 40;
const LIST: u64 = 0xa409_3822_299f_31d0;
const MAP: u64 = 0x082e_fa98_ec4e_6c89;
const TUPLE: u64 = 0x4528_21e6_38d0_1377;
const VARIANT: u64 = 0xbe54_66cf_34e9_0c6c;
/// Odd, so that multiplication by it is reversible.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl ShapeDigest {
    #[inline]
    pub(in crate::record) fn new() -> Self {
        let Shape { low, high } = Shape::BLANK;
        let kinds = Kinds { outermost: ContentKind::Typed, has_json: false };
        Self { low: Cell::new(low), high: Cell::new(high), kinds: Cell::new(kinds) }
    }

    #[inline]
    pub(in crate::record) fn shape(&self) -> Shape {
        Shape { low: self.low.get(), high: self.high.get() }
    }

    /// The kind of content that the value reports.
    pub(in crate::record) fn outermost_kind(&self) -> ContentKind {
        self.kinds.get().outermost
    }

    /// Whether the value contains a JSON text anywhere.
    pub(in crate::record) fn has_json(&self) -> bool {
        self.kinds.get().has_json
    }

    #[inline]
    fn absorb(&self, token: u64) {
        let product = u128::from(self.low.get() ^ token) * u128::from(MULTIPLIER);
        self.low.set(self.high.get() ^ (product >> 64) as u64);
        self.high.set(product as u64);
    }
}

impl Observer for ShapeDigest {
    #[inline]
    fn leaf(&self, leaf: Leaf) {
        self.absorb(leaf as u64);
    }

    #[inline]
    fn option(&self, is_some: bool) {
        self.absorb(if is_some { SOME } else { NONE });
    }

    #[inline]
    fn variant(&self, variant: Variant) {
        let name = VARIANT ^ names::name(variant.name.unwrap_or_default());
        self.absorb(name.wrapping_add(variant.carries as u64));
    }

    fn kind(&self, kind: ContentKind) {
        let mut kinds = self.kinds.get();
        if self.shape() == Shape::BLANK {
            kinds.outermost = kind;
        }
        kinds.has_json |= kind == ContentKind::Json;
        self.kinds.set(kinds);
        self.absorb(KIND + u64::from(kind.to_byte()));
    }

    #[inline]
    fn open(&self, _opened: Opened) {
        self.absorb(OPEN);
    }

    #[inline]
    fn close(&self, closed: Closed) {
        self.absorb(match closed {
            Closed::List(len) => LIST.wrapping_add(len as u64),
            Closed::Map(len) => MAP.wrapping_add(len as u64),
            Closed::Tuple(len) => TUPLE.wrapping_add(len as u64),
            Closed::Struct(names) => names,
        });
    }
}
