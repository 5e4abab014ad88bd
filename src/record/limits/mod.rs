//! Owns the bounds on what a caller's content type can do while it is encoded or decoded: how deep
//! it nests and how many elements it holds.
//!
//! bincode bounds neither. A recursive type follows a damaged record down until the stack ends,
//! which no caller can catch, and a `Vec<()>` loops for as long as its length prefix says. Here both
//! end in an error.
//!
//! Invariant: both directions charge the same levels and the same elements for the same shape, so
//! whatever encodes within a budget decodes within that budget, and the bytes are those that the
//! format writes on its own. This holds for every type whose `Serialize` and `Deserialize` ask for
//! the same shape, as derived ones do. A hand-written pair that encodes `serialize_bytes`, which
//! charges nothing, and decodes a sequence is charged for each element only when it is decoded.
//!
//! It also holds only where the format presents a struct as the sequence of its fields, as bincode
//! does. JSON presents it as a map, where decoding is charged for the names too.
//!
//! What is charged as one level: a sequence, a tuple, a tuple struct, a map, a struct, a newtype
//! struct, a `Some`, and an enum variant that carries data. What is charged as one element: each
//! element of a sequence or a tuple, each key and each value of a map, and each field of a struct,
//! a tuple struct, or a variant. Strings and bytes are charged nothing, because the bytes of the
//! record already bound them.
//!
//! It must not know the record's layout, the format behind the serializer, or where the budget
//! comes from.

mod deserialize;
mod serialize;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

/// The levels that content may nest, the outermost one included.
///
/// This is far above what session content needs, and low enough that a thread with a stack of
/// 256 KiB gets through an unoptimised build of a recursive type of some 200 bytes. Serde keeps
/// several copies of a value on the stack at each level, so a recursive type that holds much more
/// than that inline needs a larger stack in proportion, with these limits or without them.
pub(crate) const MAX_DEPTH: u8 = 64;

/// Encodes a value within the limits, and as the bytes that the value itself would encode to.
///
/// Every call of `serialize` starts with the whole budget, so one of these can be encoded twice.
pub(crate) struct LimitedContent<'v, T: ?Sized> {
    value: &'v T,
    max_elements: usize,
    elements_used: Cell<usize>,
}

impl<'v, T: ?Sized> LimitedContent<'v, T> {
    /// Allows `value` to hold at most `max_elements` elements at all its levels together.
    #[inline]
    pub(crate) fn new(value: &'v T, max_elements: usize) -> Self {
        Self { value, max_elements, elements_used: Cell::new(0) }
    }

    /// How many elements the last encoding charged.
    pub(crate) fn elements_used(&self) -> usize {
        self.elements_used.get()
    }
}

/// Decodes a `T` within the limits, from the bytes that a `T` itself would decode from.
///
/// It is a seed and not a wrapper type, because `Deserialize` has no way to be handed the budget.
pub(crate) struct LimitedSeed<T> {
    max_elements: usize,
    produces: PhantomData<fn() -> T>,
}

impl<T> LimitedSeed<T> {
    /// Allows the decoded value to hold at most `max_elements` elements at all its levels together.
    #[inline]
    pub(crate) fn new(max_elements: usize) -> Self {
        Self { max_elements, produces: PhantomData }
    }
}

/// The element budget, which all levels of one value share.
struct Elements {
    allowed: usize,
    left: Cell<usize>,
    /// How many of them no size hint has been given for.
    unpromised: Cell<usize>,
}

impl Elements {
    #[inline]
    fn new(allowed: usize) -> Self {
        Self { allowed, left: Cell::new(allowed), unpromised: Cell::new(allowed) }
    }

    fn used(&self) -> usize {
        self.allowed - self.left.get()
    }
}

/// What is left at one place inside a value. The levels go down with the place and so travel by
/// value; the elements are spent for good and so are shared.
#[derive(Clone, Copy)]
struct Limits<'a> {
    elements: &'a Elements,
    levels_left: u8,
}

impl<'a> Limits<'a> {
    #[inline]
    fn new(elements: &'a Elements) -> Self {
        Self { elements, levels_left: MAX_DEPTH }
    }

    /// Charges one level and gives the limits that hold inside it.
    #[inline]
    fn enter(self) -> Result<Self, Exceeded> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self { levels_left, ..self }),
            None => Err(Exceeded::Depth),
        }
    }

    /// Charges one element.
    #[inline]
    fn take_element(self) -> Result<(), Exceeded> {
        match self.elements.left.get().checked_sub(1) {
            Some(left) => {
                self.elements.left.set(left);
                Ok(())
            }
            None => Err(Exceeded::Elements(self.elements.allowed)),
        }
    }

    /// How many items, of so many elements each, a collection may make room for before it has seen
    /// one. All the hints of one value together stay within the budget, as the elements of sound
    /// content do: otherwise each level of nesting could claim, and be given, all of it anew.
    #[inline]
    fn promise(self, claimed: usize, elements_each: usize) -> usize {
        let Elements { left, unpromised, .. } = self.elements;
        let payable = left.get().min(unpromised.get()) / elements_each;
        let items = claimed.min(payable);
        unpromised.set(unpromised.get() - items * elements_each);
        items
    }
}

/// Which limit a value went over. It reaches the caller as the text of the format's own error.
#[derive(Clone, Copy)]
enum Exceeded {
    Depth,
    Elements(usize),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Depth => write!(f, "content is nested deeper than {MAX_DEPTH} levels"),
            Self::Elements(allowed) => write!(f, "content has more than {allowed} elements"),
        }
    }
}

/// Any one of serde's parts, a serializer, a visitor, an access, a seed or a value, together with
/// the limits that hold where it stands.
struct Within<'a, T> {
    inner: T,
    limits: Limits<'a>,
}

impl<'a, T> Within<'a, T> {
    #[inline]
    fn new(inner: T, limits: Limits<'a>) -> Self {
        Self { inner, limits }
    }
}
