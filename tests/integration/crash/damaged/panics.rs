//! Distinguishes panics of redb, which an unverified damaged file may cause, from our own.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Where this thread panicked while redb may panic, caught or not.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// The result, or `None` if redb panicked.
///
/// # Panics
///
/// If code other than redb panicked.
pub(super) fn redb_may_panic<T>(act: impl FnOnce() -> T) -> Option<T> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            let place = info.location().map_or_else(String::new, |at| at.to_string());
            let seen = SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.push(place)));
            if seen.is_none() {
                others(info);
            }
        }));
    });
    SEEN.set(Some(Vec::new()));
    let result = catch_unwind(AssertUnwindSafe(act));
    let seen = SEEN.take().unwrap_or_default();
    let ours: Vec<_> = seen.iter().filter(|place| !place.contains("/redb-")).collect();
    assert!(ours.is_empty(), "panicked at {ours:?}");
    result.ok()
}
