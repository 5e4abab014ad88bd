//! Stores of which every answer is known, and what becomes of them when bytes of the file change.
//!
//! What a file may hold is what was stored, or less where docs/durability.md says that damage
//! cannot be told from a crash; and whatever it holds, every call gives that or a clear error.

mod panics;
mod questions;
mod sound;
#[cfg(test)]
mod tests;

pub(crate) use self::questions::{salvage, with_verification, without_verification};
pub(crate) use self::sound::{Sound, sounds};
