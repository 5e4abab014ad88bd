//! redb's pages, read without redb: what a damaged file is rescued from, and how a sound one is
//! known for that.

mod checksum;
mod definition;
mod header;
mod layout;

pub(super) use crate::engine::redb_engine::pages::definition::Definition;
pub(super) use crate::engine::redb_engine::pages::header::{Commit, Geometry, Header};
pub(super) use crate::engine::redb_engine::pages::layout::{
    Leaf, Link, MAX_PAGE, PAGE, Page, Widths, chunk, read_page,
};
