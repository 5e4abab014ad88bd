//! Cases of callers without an id: sessions of a user, sessions by key, listings of all.

pub mod by_key;
pub mod listing;
pub mod pages;
pub mod users;
