//! Drops redb's handle while a panic unwinds.
//!
//! redb may panic on a damaged, unverified file, and again when its handle is then dropped. A
//! second panic during the first would end the process, so it is caught here.
//!
//! redb leaves its file open if it is dropped on a thread that unwinds. The thread may unwind from
//! a panic unrelated to redb, so another thread then closes the file.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::caught::caught;

/// Runs `act` on `held` and returns `held`. If `act` panics, drops `held` (a second panic in that
/// drop is swallowed) and resumes the first panic.
pub(in crate::engine::redb) fn holding<H, T>(mut held: H, act: impl FnOnce(&mut H) -> T) -> (H, T) {
    match catch_unwind(AssertUnwindSafe(|| act(&mut held))) {
        Ok(result) => (held, result),
        Err(panic) => {
            let _last = Last(Some(held));
            resume_unwind(panic)
        }
    }
}

/// Runs `act` on a thread that does not unwind: this one, or a helper if this one unwinds.
pub(in crate::engine::redb) fn not_unwinding<T: Send>(mut act: impl FnMut() -> T + Send) -> T {
    if !thread::panicking() {
        return act();
    }
    let elsewhere = thread::scope(|scope| {
        let helper = thread::Builder::new().name("sessile-close".into());
        helper.spawn_scoped(scope, &mut act).ok().map(thread::ScopedJoinHandle::join)
    });
    match elsewhere {
        Some(Ok(done)) => done,
        Some(Err(panic)) => resume_unwind(panic),
        // No other thread can be started; this thread does as much as redb allows.
        None => act(),
    }
}

/// Dropped while a panic unwinds, so that redb does not write to the file.
struct Last<H>(Option<H>);

impl<H> Drop for Last<H> {
    fn drop(&mut self) {
        let held = self.0.take();
        // Only the first panic is reported.
        let _ = caught(|| drop(held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsTwice;

    impl Drop for PanicsTwice {
        fn drop(&mut self) {
            assert!(!thread::panicking(), "once more");
        }
    }

    #[test]
    fn what_must_not_see_a_panic_is_done_where_there_is_none() {
        struct Looks<'a>(&'a mut bool);
        impl Drop for Looks<'_> {
            fn drop(&mut self) {
                assert!(thread::panicking());
                *self.0 = not_unwinding(thread::panicking);
            }
        }
        let mut seen = true;
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _looks = Looks(&mut seen);
            resume_unwind(Box::new("first"));
        }));
        assert!(panic.is_err() && !seen);
        assert!(!not_unwinding(thread::panicking));
    }

    #[test]
    fn a_panic_of_what_is_dropped_by_a_panic_does_not_end_the_process() {
        let result = catch_unwind(|| holding(PanicsTwice, |_| panic!("first")).1);
        let panic = result.expect_err("it panics");
        assert_eq!(panic.downcast_ref(), Some(&"first"));
        assert_eq!(holding(5, |held| *held + 1), (5, 6));
    }
}
