//! Tools for tests: a clock that one sets, and the conformance suite for engines.

mod clock;

pub use clock::ManualClock;

use crate::StoredContent;
pub use crate::random::RandomSource;

/// Content as a record holds it, for tests of migrations and for fuzzing the decoding.
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
    StoredContent::new(version, bytes)
}

/// Content as a store encodes it: the inverse of [`stored_content`].
///
/// # Errors
///
/// As for [`SessionStore::create`](crate::SessionStore::create), at the largest limit there is.
///
/// # Examples
///
/// ```
/// assert_eq!(sessile::testing::encode_content(&"hello")?, b"\x05hello");
/// # Ok::<(), sessile::Error>(())
/// ```
pub fn encode_content(content: &impl serde::Serialize) -> crate::Result<Vec<u8>> {
    crate::record::content::encode(content, crate::record::content::MAX_LEN)
}
