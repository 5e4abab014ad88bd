//! Owns what one value may use while it is encoded or decoded, and why it was refused.
//!
//! Invariant: bytes alone bound a list whose elements take bytes. No two elements begin at the same
//! byte, so there are at most as many as bytes. The budget allows that many, and [`FREE_ELEMENTS`]
//! that take none.

use std::cell::Cell;
use std::fmt;

/// The levels that content may nest, the outermost one included.
///
/// Session content needs far fewer. A stack of 256 KiB suffices for an unoptimised build of a
/// recursive type of some 200 bytes. Serde keeps several copies of a value on the stack at each
/// level. A recursive type that holds much more inline needs a larger stack in proportion, with or
/// without this bound.
pub(in crate::record) const MAX_DEPTH: u8 = 64;

/// How many elements that take no bytes, such as those of a `Vec<()>`, one value may hold.
pub(in crate::record) const FREE_ELEMENTS: usize = 64 * 1024;

/// What one value may use. Shared by all its levels.
pub(in crate::record) struct Budget {
    allowed: usize,
    elements_left: Cell<usize>,
    /// The elements that no size hint was given for yet.
    unpromised: Cell<usize>,
    refusal: Cell<Option<Refusal>>,
}

impl Budget {
    /// The budget of a value of so many bytes.
    #[inline]
    pub(in crate::record) fn new(bytes: usize) -> Self {
        let allowed = elements_allowed(bytes);
        Self {
            allowed,
            elements_left: Cell::new(allowed),
            unpromised: Cell::new(bytes),
            refusal: Cell::new(None),
        }
    }

    /// A budget of so many elements, and hints for as many.
    #[cfg(test)]
    pub(super) fn of_elements(allowed: usize) -> Self {
        Self {
            allowed,
            elements_left: Cell::new(allowed),
            unpromised: Cell::new(allowed),
            refusal: Cell::new(None),
        }
    }

    /// How many elements were charged.
    pub(in crate::record) fn elements_used(&self) -> usize {
        self.allowed - self.elements_left.get()
    }

    /// Why the value was refused, if it was the adapter that did so.
    pub(in crate::record) fn take_refusal(&self) -> Option<Refusal> {
        self.refusal.take()
    }

    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    #[inline]
    pub(super) fn take_element(&self) -> bool {
        match self.elements_left.get().checked_sub(1) {
            Some(left) => {
                self.elements_left.set(left);
                true
            }
            None => false,
        }
    }

    /// The elements that a list may make room for before it has seen one. All promises of one value
    /// together stay within its bytes. Otherwise each level could claim all of them, and get them.
    ///
    /// An example: content of 100 bytes holds a list of lists, and each claims 80 elements. The
    /// outer list is promised 80. The first inner one is promised the 20 that are left, and every
    /// later one none: it grows as its elements come. So at most 100 elements have room before they
    /// are seen, and not 80 times 80.
    #[inline]
    pub(super) fn promise(&self, claimed: usize) -> usize {
        let elements = claimed.min(self.unpromised.get());
        self.unpromised.set(self.unpromised.get() - elements);
        elements
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.refusal.set(Some(refusal));
    }
}

/// How many elements content of so many bytes may have.
pub(in crate::record) fn elements_allowed(bytes: usize) -> usize {
    bytes.saturating_add(FREE_ELEMENTS)
}

/// Why the adapter ended the work on a value.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::record) enum Refusal {
    TooDeep,
    TooManyElements {
        allowed: usize,
    },
    /// `Serialize` left a field out, which it said with `skip_field`.
    FieldLeftOut {
        structure: &'static str,
        field: &'static str,
    },
    /// `Serialize` gave a map no length, as `flatten` does.
    MapOfUnknownLength,
    ListOfUnknownLength,
    /// A list or a map has not as many elements as `Serialize` announced.
    Miscounted {
        announced: usize,
        given: usize,
    },
    /// `Deserialize` lists no variant at this number.
    UnlistedVariant {
        of: &'static str,
        number: u32,
    },
    /// `Deserialize` made a request that only a self-describing format can answer.
    NotSelfDescribing {
        request: &'static str,
        /// What the type said that it expects.
        expected: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(formatter, "it is nested deeper than {MAX_DEPTH} levels"),
            Self::TooManyElements { allowed } => write!(
                formatter,
                "its lists have more than {allowed} elements, which is one for each byte and \
                 {FREE_ELEMENTS} that take none"
            ),
            Self::FieldLeftOut { structure, field } => write!(
                formatter,
                "`Serialize` leaves out the field `{field}` of `{structure}` \
                 (`skip_serializing_if`), and nothing would say so when it is read"
            ),
            Self::MapOfUnknownLength => formatter.write_str(
                "`Serialize` writes a map without its length (`flatten`, or a `collect_map`), and \
                 it could not be read back",
            ),
            Self::ListOfUnknownLength => formatter.write_str(
                "`Serialize` writes a list without its length, and it could not be read back",
            ),
            Self::Miscounted { announced, given } => {
                write!(formatter, "`Serialize` announces {announced} elements and writes {given}")
            }
            Self::UnlistedVariant { of, number } => {
                write!(formatter, "`Deserialize` lists no variant number {number} of `{of}`")
            }
            Self::NotSelfDescribing { request, expected } => write!(
                formatter,
                "`Deserialize` asks what comes next (`{request}`, for {expected}), which typed \
                 content does not tell: `untagged`, `tag`, `flatten` and `serde_json::Value` do so"
            ),
        }
    }
}

/// The text of the format's error where the adapter refused; the [`Refusal`] tells the caller more.
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the content was refused")
    }
}
