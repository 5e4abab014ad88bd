//! The code that all engines on servers share: connections, deadlines, the server's clock, and what
//! to do when an answer is lost.
//!
//! It knows no kind of server. [`backend`] is the interface of one kind, [`server`] makes each call
//! through it, and [`engine`] keeps the contract with these calls.
//!
//! # Why no client library
//!
//! The crate implements RESP in 190 lines, MySQL's protocol in 700, MongoDB's in 900 with BSON and
//! SCRAM, and PostgreSQL's through `postgres-protocol`. The sources of `redis`, `postgres`, `mysql`
//! and `mongodb` were examined first:
//!
//! - One deadline for a call. `redis` bounds each read, so a server that sends a byte a second
//!   blocks a caller without end. `postgres` has no time-out for an answer.
//! - Knowledge of what was sent. A request whose end never left cannot have been carried out. Only
//!   our own stream distinguishes it from a request whose answer was lost.
//! - No runtime. `postgres` drives tokio in the caller's thread and panics inside another runtime.
//!   `mongodb` does so with a pool of threads. `redis`' client for clusters finds no new primary.
//! - Weight. `redis` adds 37 crates, `postgres` 36, `mysql` 61, `mongodb` 95; ours add 0, 15, 1 and
//!   11. A store needs eight kinds of BSON values; the crate `bson` is 25 crates for all of them.

pub(crate) mod backend;
pub(crate) mod clock;
pub(crate) mod deadline;
#[cfg(feature = "mongodb")]
pub(crate) mod dns;
pub(crate) mod engine;
pub(crate) mod failure;
pub(crate) mod hosts;
pub(crate) mod options;
pub(crate) mod pool;
pub(crate) mod server;
pub(crate) mod stored;
pub(crate) mod transport;
