//! The source of random bits: the operating system, or a test's own source.
//!
//! Invariant: a failure is reported, never replaced by weaker bits.

use std::fmt;
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::error::{Error, Result, Source};

#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "public with `testing`"))]
/// A source of random bytes. A test's own source can fail or repeat itself.
pub trait RandomSource: fmt::Debug + Send + Sync + 'static {
    /// Fills the whole slice, or fails.
    ///
    /// # Errors
    ///
    /// If the source cannot fill the slice.
    fn fill(&self, bytes: &mut [u8]) -> std::result::Result<(), Source>;
}

/// The operating system's generator (`getrandom` or its equivalent).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> std::result::Result<(), Source> {
        SysRng.try_fill_bytes(bytes).map_err(|error| Arc::new(error) as Source)
    }
}

/// Draws 128 random bits. Guessing one of 2^32 live sessions then takes 2^96 tries.
pub(crate) fn draw(source: &dyn RandomSource) -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    source.fill(&mut bytes).map_err(|source| Error::Generator { source })?;
    Ok(bytes)
}

/// A random number from 0 to 1. It spreads what several hosts would do at once; no secret depends
/// on it.
pub(crate) fn fraction() -> f32 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 40;
    bits as f32 / (1_u32 << 24) as f32
}
