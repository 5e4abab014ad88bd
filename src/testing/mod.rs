//! Tools for tests: a manual clock, the conformance suite that any engine can run, an engine that
//! checks its own file when it is dropped, and a disk that crashes and fails on demand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test kit reports what it finds by panicking in the test that uses it"
)]

mod checked;
mod clock;
#[doc(hidden)]
pub mod conformance;
mod counting;
mod disk;
mod fixture;
mod proxy;

pub use crate::engine_conformance;
pub use crate::random::RandomSource;
pub use crate::testing::checked::CheckedRedbEngine;
pub use crate::testing::clock::ManualClock;
pub use crate::testing::counting::CountingEngine;
pub use crate::testing::disk::{DiskFault, HeldSyncs, SimulatedDisk};
pub use crate::testing::fixture::{EngineFixture, MemoryFixture};
pub use crate::testing::proxy::{NetworkFault, Proxy, Way};

use crate::record::content::StoredContent;

/// Content in the form of a record, for tests of migrations and for fuzzing the decoder. It has no
/// shape, so every type decodes it that the bytes suffice for.
///
/// # Examples
///
/// ```
/// let content = sessile::testing::stored_content(1, &[5, b'h', b'e', b'l', b'l', b'o']);
/// assert_eq!(content.decode::<String>()?, "hello");
/// # Ok::<(), sessile::Error>(())
/// ```
#[must_use]
pub const fn stored_content(version: u32, bytes: &[u8]) -> StoredContent<'_> {
    StoredContent::without_shape(version, bytes)
}

/// Content as a store encodes it: the inverse of [`stored_content`].
///
/// # Errors
///
/// As for [`SessionStore::create`](crate::SessionStore::create), at the largest limit.
///
/// # Examples
///
/// ```
/// assert_eq!(sessile::testing::encode_content(&"hello")?, b"\x05hello");
/// # Ok::<(), sessile::Error>(())
/// ```
pub fn encode_content(content: &impl serde::Serialize) -> crate::error::Result<Vec<u8>> {
    crate::record::content::encode_body(content)
}

/// Content as [`encode_content`] encodes it, with the check that every save makes: the content is
/// decoded and encoded again.
///
/// # Errors
///
/// As for [`SessionStore::create`](crate::SessionStore::create), at the largest limit.
pub fn encode_and_read_back<C: serde::Serialize + serde::de::DeserializeOwned>(
    content: &C,
) -> crate::error::Result<Vec<u8>> {
    crate::record::content::encode(content, crate::record::content::MAX_LEN, None)
}
