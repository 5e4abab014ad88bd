//! Owns the limits of one value while it is encoded or decoded, and the reasons for a refusal.
//!
//! Invariant: the number of bytes bounds a list whose elements take bytes. No two elements begin at
//! the same byte, so there are at most as many elements as bytes. The budget allows that many, and
//! [`FREE_ELEMENTS`] that take none. serde reserves up to a mebibyte for each size hint, so all
//! hints of a value share its number of bytes.

use std::cell::Cell;
use std::fmt;

/// The most levels of nesting in content, including the outermost.
///
/// Session content needs far fewer. A stack of 256 KiB suffices for an unoptimised build of a
/// recursive type of some 200 bytes. Serde keeps several copies of a value on the stack at each
/// level. A recursive type that holds much more inline needs a larger stack in proportion, with or
/// without this bound.
pub(in crate::record) const MAX_DEPTH: u8 = 64;

/// The most elements of a value that take no bytes, such as those of a `Vec<()>`.
pub(in crate::record) const FREE_ELEMENTS: usize = 64 * 1024;

/// The limits of one value, shared by all its levels.
pub(in crate::record) struct Budget {
    allowed: usize,
    elements_left: Cell<usize>,
    /// The elements that no size hint has promised yet.
    unpromised: Cell<usize>,
    refusal: Cell<Option<Refusal>>,
}

impl Budget {
    /// The budget of a value with this number of bytes.
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

    /// A budget of this number of elements, and of as many promises.
    #[cfg(test)]
    pub(super) fn of_elements(allowed: usize) -> Self {
        Self {
            allowed,
            elements_left: Cell::new(allowed),
            unpromised: Cell::new(allowed),
            refusal: Cell::new(None),
        }
    }

    /// The number of charged elements.
    pub(in crate::record) fn elements_used(&self) -> usize {
        self.allowed - self.elements_left.get()
    }

    /// The reason for the refusal, if the adapter refused the value.
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

    /// Whether a list may reserve room for the claimed elements before it has any. All promises of
    /// one value together stay within its bytes. Otherwise each level could reserve room for all of
    /// them.
    ///
    /// An example: content of 100 bytes holds a list of lists, and each claims 80 elements. The
    /// outer list is promised 80. The inner ones are promised none, and grow with their elements.
    /// So at most 100 elements have room before they are decoded, and not 80 times 80.
    #[inline]
    pub(super) fn promise(&self, claimed: usize) -> bool {
        let left = self.unpromised.get().checked_sub(claimed);
        left.inspect(|left| self.unpromised.set(*left)).is_some()
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.refusal.set(Some(refusal));
    }
}

/// The number of elements that content of this many bytes may have.
pub(in crate::record) fn elements_allowed(bytes: usize) -> usize {
    bytes.saturating_add(FREE_ELEMENTS)
}

/// Why the adapter refused a value.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::record) enum Refusal {
    TooDeep,
    TooManyElements {
        allowed: usize,
    },
    /// `Serialize` left a field out with `skip_field`.
    FieldLeftOut {
        structure: &'static str,
        field: &'static str,
    },
    /// `Serialize` gave a map no length, as `flatten` does.
    MapOfUnknownLength,
    ListOfUnknownLength,
    /// A list or a map has another number of elements than `Serialize` announced.
    Miscounted {
        announced: usize,
        given: usize,
    },
    /// `Deserialize` lists no variant with this number.
    UnlistedVariant {
        of: &'static str,
        number: u32,
    },
    /// `Deserialize` made a request that only a self-describing format can answer.
    NotSelfDescribing {
        request: &'static str,
        /// What the type expects, in its own words.
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

/// The format's error after a refusal by the adapter; the [`Refusal`] tells the caller more.
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the content was refused")
    }
}
