//! Cases of closing and opening, and of many threads on one store.

pub mod reopening;
pub mod sharing;
