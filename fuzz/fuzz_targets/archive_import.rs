//! Any bytes as an archive: refused whole, or imported as the report says.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/archive_import.rs"]
mod checks;

fuzz_target!(|bytes: &[u8]| checks::check(bytes));
