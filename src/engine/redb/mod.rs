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
//! A `create_with` goes this way; calls that only check, draw, convert or tell are left out:
//!
//! 1. In the caller's thread: `SessionStore::create_with`, `SessionStore::create_or_give_back`,
//!    `SessionStore::create_record`, `Codec::encode`, `content::encode`, `Record::new`,
//!    `StoreCore::insert`, `StoreCore::insert_under`, `RedbEngine::insert`, `RedbEngine::submit`,
//!    `CommitQueue::submit`.
//! 2. In the leading thread, for the whole group: `Writer::commit`, `Writer::decide`.
//! 3. For each operation: `Question::decide`, `Insert::decide`, `Effects::change`.
//! 4. For the whole group again: `Writer::write`, `Entry::of`, `WriteAheadLog::append`,
//!    `SharedFile::append`, `Entry::numbered`, `OsFile::write_synced`, `linux::write_synced`, and
//!    the system's `pwritev2`. Then `View::show_changes`.

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
