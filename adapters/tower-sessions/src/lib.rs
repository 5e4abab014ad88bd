#![doc = include_str!("../README.md")]
//!
//! # What each call does
//!
//! | tower-sessions | here |
//! |---|---|
//! | `create` | one durable commit, insert-only, under an id from the operating system's generator; the record's own id is replaced |
//! | `save` | one durable commit; of a session that has ended: nothing, and `Ok` |
//! | `load` | a read; [Threads](#threads) says where it runs |
//! | `delete` | one durable commit; no request in flight brings the session back under its id. `cycle_id` stores what its request had loaded as a new session: call it only where the user has just proved who they are |
//! | `delete_expired` | a sweep by index; the store also sweeps by itself, once a minute |
//!
//! `cycle_id` deletes the old id, whether it is there or not, and creates a session: the trait lets
//! no store tell that from a login. So a session that was ended while the request had it in hand is
//! back, under the new id.
//!
//! The last of two saves at once wins, as tower-sessions
//! has it: its `Session` cannot tell a conflict. Where no update may be lost, use `sessile` itself.
//!
//! # Threads
//!
//! Writes run on a thread of tokio's blocking pool, so a runtime has to be there. A write that has
//! begun goes on if the request is dropped.
//!
//! A read of a store in a file or in memory runs in place. From memory it takes about a
//! microsecond. It waits for the disk if the record is in no cache, and for the file to be opened
//! and verified again after an I/O error. A read on a server is a round trip, so it runs on a
//! blocking thread if the store is from [`connect`](SessileStore::connect) to a server, or from
//! [`on_server`](SessileStore::on_server).
//!
//! # Expiry
//!
//! A session ends at its record's `expiry_date`, to the nanosecond, by this machine's clock; and
//! what ends it never is the store's own [`Timeouts`](sessile::Timeouts). A store with another
//! clock, as on a server, counts the session's life from each save. No clock is compared with
//! another. A `save` moves the end in either direction. An end in the past ends the session.
//!
//! # Features
//!
//! | feature | default | implements the traits of |
//! |---|---|---|
//! | `v0-15` | yes | tower-sessions 0.15 |
//! | `v0-14` | no | tower-sessions 0.14, for axum-login 0.18 |
//!
//! Both may be on: one store then has both.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod content;
mod store;
mod traits;

pub use content::{Content, Data};
pub use store::SessileStore;
