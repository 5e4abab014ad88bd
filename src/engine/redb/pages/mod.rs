//! redb's pages, read without redb: what a damaged file is rescued from, and how a sound one is
//! known for that.

pub(in crate::engine::redb) mod verify;

mod definition;
mod header;
mod layout;

pub(in crate::engine::redb) use crate::engine::redb::pages::definition::Definition;
pub(in crate::engine::redb) use crate::engine::redb::pages::header::{Commit, Geometry, Header};
pub(in crate::engine::redb) use crate::engine::redb::pages::layout::{
    Leaf, Link, MAX_PAGE, PAGE, Page, Widths, chunk, read_page,
};
