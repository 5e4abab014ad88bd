//! What engines on a server have in common: connections, deadlines, the server's clock, and what to
//! make of an answer that did not come.
//!
//! It knows no kind of server. [`backend`] says what a kind has to be able to do, [`server`] does
//! each call by it, and [`engine`] keeps the contract by such calls.

pub(crate) mod backend;
pub(crate) mod clock;
pub(crate) mod deadline;
pub(crate) mod engine;
pub(crate) mod failure;
pub(crate) mod hosts;
pub(crate) mod options;
pub(crate) mod pool;
pub(crate) mod server;
pub(crate) mod stored;
pub(crate) mod transport;
