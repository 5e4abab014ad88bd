//! Any text as a session id and as a session key.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/session_id_parse.rs"]
mod checks;

fuzz_target!(|bytes: &[u8]| checks::check(bytes));
