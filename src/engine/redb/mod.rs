//! Sessions in one redb file: a map of this folder, and no code.
//!
//! A read asks the touch buffer, the overlay of the last commits, the cache of hot records, then
//! the snapshot (`view/`). A write becomes an operation, goes through the commit queue, and is
//! carried out by the thread that leads (`commit/`): one entry of the log for the whole group
//! (`log/`). redb's tables (`database/`) follow in the background (`background/`,
//! `commit/checkpoint.rs`). `listings.rs` goes through all of it as of one moment. `file/` creates,
//! opens and watches the file, and `storage/` is where it is kept. `pages/` reads it without redb,
//! and `salvage/` rescues what a damaged one still holds.

pub(in crate::engine::redb) mod background;
mod calls;
pub(in crate::engine::redb) mod commit;
pub(in crate::engine::redb) mod database;
pub(in crate::engine::redb) mod digest;
pub(crate) mod engine;
pub(in crate::engine::redb) mod error;
pub(in crate::engine::redb) mod file;
pub(in crate::engine::redb) mod keyed;
mod listings;
pub(in crate::engine::redb) mod log;
pub(in crate::engine::redb) mod memory;
pub(crate) mod options;
pub(in crate::engine::redb) mod pages;
pub(crate) mod recovery;
pub(crate) mod salvage;
pub(crate) mod storage;
#[cfg(test)]
mod tests;
pub(in crate::engine::redb) mod view;
