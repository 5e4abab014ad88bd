//! Letting go of redb's handle while a panic unwinds.
//!
//! redb may panic on a damaged file that was not verified, and once more when its handle goes after
//! that. A second panic on the way of the first would end the process; here it ends nothing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Does something with what is held, and hands it back. If that panics the panic goes on, and
/// what was held is dropped on its way, whatever comes of that.
pub(in crate::engine::redb) fn holding<H, T>(mut held: H, act: impl FnOnce(&mut H) -> T) -> (H, T) {
    match catch_unwind(AssertUnwindSafe(|| act(&mut held))) {
        Ok(result) => (held, result),
        Err(panic) => {
            let _last = Last(Some(held));
            resume_unwind(panic)
        }
    }
}

/// Dropped while a panic unwinds, as redb then does not write to the file.
struct Last<H>(Option<H>);

impl<H> Drop for Last<H> {
    fn drop(&mut self) {
        let held = self.0.take();
        // The first panic is the one that is told.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(held)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsTwice;

    impl Drop for PanicsTwice {
        fn drop(&mut self) {
            assert!(!std::thread::panicking(), "once more");
        }
    }

    #[test]
    fn a_panic_of_what_is_dropped_by_a_panic_does_not_end_the_process() {
        let result = catch_unwind(|| holding(PanicsTwice, |_| panic!("first")).1);
        let panic = result.expect_err("it panics");
        assert_eq!(panic.downcast_ref(), Some(&"first"));
        assert_eq!(holding(5, |held| *held + 1), (5, 6));
    }
}
