//! Damaged files, opened and used for everything: a clear error or the right answer, and never
//! much more memory in one piece than the file is long.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[path = "../checks/open_damaged.rs"]
mod checks;
#[path = "../../tests/integration/crash/mod.rs"]
#[allow(dead_code, unused_imports)]
mod crash;
mod largest;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let is_unverified = checks::is_unverified(bytes);
    // Without verification redb may end the process, so that is tried where it is asked for.
    if is_unverified && std::env::var_os("SESSILE_UNVERIFIED").is_none() {
        return Corpus::Reject;
    }
    let largest = largest::piece_asked_for(|| checks::check(bytes));
    // The longest file has some MiB, and the cache one. Without verification redb believes the length
    // that a page claims, up to 4 GiB.
    let limit = if is_unverified { 1 << 33 } else { 1 << 24 };
    assert!(largest <= limit, "{largest} bytes in one piece");
    Corpus::Keep
});
