//! Cases of the contract itself, mostly without a store, and the cost of the store's calls.

pub mod calls;
pub mod engine;
pub mod indexes;
pub mod liveness;

mod records;
