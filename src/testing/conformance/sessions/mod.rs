//! Cases of one session: it begins, changes, gets a new id, and shows no secret.

pub mod creation;
pub mod faults;
pub mod migrations;
pub mod regeneration;
pub mod secrets;
pub mod updates;
