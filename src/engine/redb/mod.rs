//! Sessions in one redb file: a map of this folder, and no code.
//!
//! A read looks in the touch buffer, the overlay of the last commits, the cache of hot records,
//! then the snapshot (`view/`). A write becomes a question in the commit queue; the leading thread
//! decides it (`commit/`) and writes one log entry for the whole group (`log/`). A checkpoint
//! copies the logged changes to redb's tables (`database/`) in the background (`background/`,
//! `commit/checkpoint.rs`). `listings.rs` lists sessions as of one moment. `file/` creates, opens
//! and watches the file, and `storage/` is the place that holds it. `pages/` reads the file without
//! redb, and `salvage/` recovers the readable records of a damaged file.
//!
//! A `create` calls, in this order: `SessionStore::create_with`, `Codec::encode`, `Record::new`,
//! `StoreCore::insert`, `RedbEngine::insert`, `RedbEngine::submit`, `CommitQueue::submit`,
//! `Writer::commit`, `Writer::decide`, `Question::decide`, `Insert::decide`, `Writer::write`,
//! `Entry::of`, `WriteAheadLog::append`, `SharedFile::append`, `OsFile::write_synced`.

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
