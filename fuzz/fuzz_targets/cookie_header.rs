//! Any bytes as `Cookie` headers, as the settings of a cookie, and as a form's token: never a panic,
//! never a wrong id, never a cookie that a browser makes something else of.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/cookie_header.rs"]
mod checks;
#[path = "../../tests/integration/user_agent.rs"]
#[allow(dead_code)]
mod user_agent;

fuzz_target!(|bytes: &[u8]| checks::check(bytes));
