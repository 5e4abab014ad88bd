//! The sides of the race, one file each.

pub mod fjall;
pub mod floor;
pub mod lmdb;
pub mod memory;
pub mod ours;
pub mod plain_redb;
pub mod sqlite;
#[cfg(feature = "tower")]
pub mod tower;
