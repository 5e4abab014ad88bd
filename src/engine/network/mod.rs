//! The code that all engines on servers share: connections, deadlines, the server's clock, and what
//! to do when an answer is lost.
//!
//! It knows no kind of server. [`backend`] is the interface of one kind, [`server`] makes each call
//! through it, and [`engine`] keeps the contract with these calls.

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
