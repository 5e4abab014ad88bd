//! Any bytes as a record, and any bytes as content: never a panic, never more memory than the
//! limit, and what decodes encodes to the same bytes again.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/record_decode.rs"]
mod checks;
mod largest;

fuzz_target!(|bytes: &[u8]| {
    let largest = largest::piece_asked_for(|| checks::check(bytes));
    // The decoder may use 16 times the size class, here 64 KiB for all but the longest inputs.
    let limit = if bytes.len() <= 64 * 1024 { 1 << 20 } else { 1 << 24 };
    assert!(largest <= limit, "{largest} bytes in one piece for {} bytes", bytes.len());
});
