//! Where random bits come from: the operating system, unless a test says otherwise.
//!
//! Invariant: a failure is reported, never papered over with weaker bits.

use std::fmt;
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::error::{Error, Result, Source};

#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "public with `testing`"))]
/// A source of random bytes, so that tests can make it fail or repeat itself.
pub trait RandomSource: fmt::Debug + Send + Sync + 'static {
    /// Fills the whole slice, or fails.
    ///
    /// # Errors
    ///
    /// Whatever keeps the source from giving bytes.
    fn fill(&self, bytes: &mut [u8]) -> std::result::Result<(), Source>;
}

/// The operating system's generator (`getrandom` and its like).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> std::result::Result<(), Source> {
        SysRng.try_fill_bytes(bytes).map_err(|error| Arc::new(error) as Source)
    }
}

/// 128 random bits: enough that guessing one of 2^32 live sessions takes 2^96 tries.
pub(crate) fn draw(source: &dyn RandomSource) -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    source.fill(&mut bytes).map_err(|source| Error::Generator { source })?;
    Ok(bytes)
}
