#![doc = include_str!("../README.md")]
//!
//! # What each call does
//!
//! | actix-session | here |
//! |---|---|
//! | `save` | one durable commit, insert-only, under a key from the operating system's generator |
//! | `load` | a read; [Threads](#threads) says where it runs |
//! | `update` | one durable commit; if the session has ended, a new, empty session under a new key |
//! | `update_ttl` | a touch in memory if the `ttl` stays the same, else one durable commit |
//! | `delete` | one durable commit; no request in flight brings the session back under its key. `renew` stores the state that its request had loaded as a new session: call it only right after the user has proved their identity |
//!
//! After `renew` the middleware deletes the old key, whether or not it has a session, and saves a
//! new session. No store can tell these two calls from a login. So a session that ended during the
//! request comes back, under the new key. An error for a missing key would make a second logout
//! fail.
//!
//! A session that cannot be read, because its record is damaged or another program wrote it, is an
//! empty session to the middleware. The next `update` ends it and creates a session under a new
//! key; `update_ttl` does not extend its life.
//!
//! Of two concurrent updates the last wins: actix-session's `Session` cannot report a conflict.
//! If no update may be lost, use `sessile` itself.
//!
//! # Threads
//!
//! Writes go through `actix_web::web::block`.
//!
//! Reads and touches of a store in a file or in memory run in place. From memory each takes about a
//! microsecond. A read waits for the disk if the record is in no cache. After an I/O error a read
//! waits until the file is opened and verified again. A touch of a session that is being ended
//! waits for that commit, and so does one that finds 262,144 touches waiting for the disk. On a
//! server each read or touch is a round trip. It goes through `web::block` if the store is from
//! [`connect`](SessileStore::connect) to a server, or from
//! [`on_server`](SessileStore::on_server).
//!
//! # Sessions by user
//!
//! actix-session tells a handler no key of its session. So a list of a user's sessions does not
//! show which one is the request's own. Insert a random value into the state at the login, and
//! compare it with the [`state`](Content::state) of each session that
//! [`sessions_of_with`](sessile::SessionStore::sessions_of_with) lists.
//!
//! # Expiry
//!
//! Expired sessions are absent at once. The store deletes them by itself, once a minute.
//!
//! With `TtlExtensionPolicy::OnStateChanges`, actix-session's default, a request that changes no
//! value extends no session, and is no activity. So `last_active` is the last save, and a limit of
//! sessions per user ends the session that was saved the longest ago, perhaps one in use.

mod content;
mod session_store;
mod store;

pub use content::{Content, State};
pub use store::SessileStore;
