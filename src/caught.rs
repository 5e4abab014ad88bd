//! Catches the panics of code that is not this crate's.
//!
//! Invariant: no panic leaves this file. The payload of a panic may have a drop that panics, so no
//! caller gets it.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `act` and returns its result; `None` if it panicked.
pub(crate) fn caught<T>(act: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(act)).map_err(discard).ok()
}

/// Drops the payload of a panic. A payload that panics as it is dropped may do so with another one
/// of its kind, which is leaked.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(another);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::panic::resume_unwind;

    use super::*;

    /// A payload that panics as it is dropped, with another one like it.
    pub(crate) struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            resume_unwind(Box::new(Self));
        }
    }

    #[test]
    fn a_panic_goes_no_further_whatever_its_payload_does_when_it_is_dropped() {
        assert_eq!(caught(|| 5), Some(5));
        assert_eq!(caught(|| resume_unwind(Box::new("on purpose"))), None::<u8>);
        assert_eq!(caught(|| resume_unwind(Box::new(PanicsAgain))), None::<u8>);
    }
}
