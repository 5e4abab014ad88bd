//! Reads redb's pages without redb: to verify a file when it is opened, and to salvage a damaged
//! one.
//!
//! Must not know any other folder of the engine.

pub(in crate::engine::redb) mod verify;

mod definition;
mod header;
mod layout;

pub(in crate::engine::redb) use crate::engine::redb::pages::definition::Definition;
pub(in crate::engine::redb) use crate::engine::redb::pages::header::{
    Commit, Geometry, Header, database_len, is_closed_whole,
};
pub(in crate::engine::redb) use crate::engine::redb::pages::layout::{
    Leaf, Link, MAX_PAGE, PAGE, Page, Widths, chunk, read_page,
};
