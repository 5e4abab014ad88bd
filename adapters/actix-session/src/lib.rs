#![doc = include_str!("../README.md")]
//!
//! # What each call does
//!
//! | actix-session | here |
//! |---|---|
//! | `save` | one durable commit, insert-only, under a key from the operating system's generator |
//! | `load` | a read in place, about a microsecond while the record's page is in memory |
//! | `update` | one durable commit; of a session that has ended: a new, empty one, under a new key |
//! | `update_ttl` | a touch in memory, if the `ttl` is the session's; one durable commit for another one |
//! | `delete` | one durable commit; no request in flight brings the session back |
//!
//! The last of two updates at once wins, as actix-session has it: its `Session` cannot tell a
//! conflict. Where no update may be lost, use `sessile` itself.
//!
//! Expired sessions are absent at once. The store sweeps them by itself, once a minute.

mod content;
mod session_store;
mod store;

pub use content::{Content, State};
pub use store::SessileStore;
