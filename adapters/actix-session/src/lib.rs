#![doc = include_str!("../README.md")]
//!
//! # What each call does
//!
//! | actix-session | here |
//! |---|---|
//! | `save` | one durable commit, insert-only, under a key from the operating system's generator |
//! | `load` | a read; [Threads](#threads) says where it runs |
//! | `update` | one durable commit; of a session that has ended: a new, empty one, under a new key |
//! | `update_ttl` | a touch in memory, if the `ttl` is the session's; one durable commit for another one |
//! | `delete` | one durable commit; no request in flight brings the session back under its key. `renew` stores what its request had loaded as a new session: call it only where the user has just proved who they are |
//!
//! After `renew` the middleware deletes the old key, whether it is there or not, and saves a
//! session: the trait lets no store tell that from a login. So a session that was ended while the
//! request had it in hand is back, under the new key.
//!
//! The last of two updates at once wins, as actix-session has it: its `Session` cannot tell a
//! conflict. Where no update may be lost, use `sessile` itself.
//!
//! # Threads
//!
//! Writes go through `actix_web::web::block`.
//!
//! Reads and touches of a store in a file or in memory run in place. From memory each takes about a
//! microsecond. A read waits for the disk if the record is in no cache, and for the file to be
//! opened and verified again after an I/O error. A touch of a session that is just being ended
//! waits for that commit. On a server each is a round trip, so it goes through `web::block` if the
//! store is from [`connect`](SessileStore::connect) to a server, or from
//! [`on_server`](SessileStore::on_server).
//!
//! # Expiry
//!
//! Expired sessions are absent at once. The store sweeps them by itself, once a minute.

mod content;
mod session_store;
mod store;

pub use content::{Content, State};
pub use store::SessileStore;
