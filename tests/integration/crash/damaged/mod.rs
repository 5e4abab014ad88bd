//! Stores whose every answer is known, with damaged bytes in their files.
//!
//! A file may hold the stored sessions, or fewer where docs/durability.md states that damage looks
//! like a crash. In every case each call answers by that content, or with a clear error.

mod panics;
mod questions;
mod sound;
#[cfg(test)]
mod tests;

pub(crate) use self::questions::{salvage, with_verification, without_verification};
pub(crate) use self::sound::{Sound, sounds};
