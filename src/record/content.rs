//! The caller's content as bincode, with every dimension of it bounded.
//!
//! Invariant: whatever [`encode`] accepts, [`decode`] gives back. Decoding allocates at most
//! about sixteen times the length of its input, recurses to a fixed depth, and ends in time
//! proportional to the input.

use std::sync::Arc;

use bincode::config;
use bincode::config::{Configuration, Limit};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, Source};
use crate::record::limits::{LimitedContent, LimitedSeed};

/// The largest `max_content_len` a builder accepts, in bytes.
pub(crate) const MAX_LEN: usize = 16 * 1024 * 1024;

/// bincode's limit counts the width of each value in memory, and the widest type, a 128-bit
/// integer, takes 16 times its shortest encoding. The limit is a constant of the type, so there
/// are three sizes of it.
const WIDTH: usize = 16;
const SMALL: usize = 64 * 1024;
const MEDIUM: usize = 1024 * 1024;

/// Elements of a collection can take no bytes at all, as in a `Vec<()>`, so their number is
/// limited too: to this many, or to one for each byte.
const MIN_ELEMENTS: usize = 64 * 1024;

fn elements_allowed(len: usize) -> usize {
    len.max(MIN_ELEMENTS)
}

/// Encodes content of at most `max_len` bytes. Memory use stays at `max_len`, whatever the size.
pub(crate) fn encode<C: Serialize>(content: &C, max_len: usize) -> Result<Vec<u8>> {
    let mut writer = BoundedWriter { bytes: Vec::new(), len: 0, max_len };
    let limited = LimitedContent::new(content, elements_allowed(max_len));
    let encoded = bincode::serde::encode_into_writer(&limited, &mut writer, config::standard());
    let BoundedWriter { bytes, len, .. } = writer;
    if len > max_len {
        return Err(Error::TooLarge { len, max: max_len });
    }
    let failed = |source: Source| Error::Encode { source };
    encoded.map_err(|error| failed(Arc::new(error)))?;
    let used = limited.elements_used();
    if used > elements_allowed(len) {
        let text = format!("it has {used} elements, most of which take no bytes");
        return Err(failed(Arc::new(std::io::Error::other(text))));
    }
    Ok(bytes)
}

/// Decodes content, all of it: bytes left over are an error.
pub(crate) fn decode<C: DeserializeOwned>(bytes: &[u8]) -> Result<C, Source> {
    const STANDARD: Configuration = config::standard();
    if bytes.len() <= SMALL {
        decode_with(bytes, STANDARD.with_limit::<{ WIDTH * SMALL }>())
    } else if bytes.len() <= MEDIUM {
        decode_with(bytes, STANDARD.with_limit::<{ WIDTH * MEDIUM }>())
    } else {
        decode_with(bytes, STANDARD.with_limit::<{ WIDTH * MAX_LEN }>())
    }
}

type Limited<const LIMIT: usize> =
    Configuration<config::LittleEndian, config::Varint, Limit<LIMIT>>;

fn decode_with<C: DeserializeOwned, const LIMIT: usize>(
    bytes: &[u8],
    config: Limited<LIMIT>,
) -> Result<C, Source> {
    let seed = LimitedSeed::<C>::new(elements_allowed(bytes.len()));
    let (content, read) = bincode::serde::seed_decode_from_slice(seed, bytes, config)
        .map_err(|error| Arc::new(error) as Source)?;
    if read == bytes.len() {
        Ok(content)
    } else {
        let text = format!("{} bytes are left over after the content", bytes.len() - read);
        Err(Arc::new(std::io::Error::other(text)))
    }
}

/// Keeps the first `max_len` bytes and counts the rest, so that the error can tell the length.
struct BoundedWriter {
    bytes: Vec<u8>,
    len: usize,
    max_len: usize,
}

impl Writer for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.len = self.len.saturating_add(bytes.len());
        if self.len <= self.max_len {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }
}

/// Content as it was written by an earlier version of the program, handed to the migration given
/// to [`Builder::content_version`](crate::Builder::content_version).
///
/// # Examples
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sessile::SessionStore;
///
/// #[derive(Deserialize)]
/// struct CartV1 { items: u32 }
///
/// #[derive(Serialize, Deserialize)]
/// struct Cart { items: u32, currency: String }
///
/// let store = SessionStore::<Cart>::builder()
///     .content_version(2, |old| {
///         let CartV1 { items } = old.decode()?;
///         Ok(Cart { items, currency: "EUR".into() })
///     })
///     .in_memory()?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct StoredContent<'a> {
    version: u32,
    bytes: &'a [u8],
}

impl<'a> StoredContent<'a> {
    pub(crate) const fn new(version: u32, bytes: &'a [u8]) -> Self {
        Self { version, bytes }
    }

    /// The content version it was written with; 0 if the program named none.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The encoded content: bincode 2, `config::standard()`.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Decodes it as the type it was written from.
    ///
    /// # Errors
    ///
    /// [`Error::ContentMismatch`] if the bytes are not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        decode(self.bytes).map_err(|source| Error::ContentMismatch {
            detail: format!("content of version {} is not what was expected", self.version),
            source: Some(source),
        })
    }
}

impl std::fmt::Debug for StoredContent<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoredContent")
            .field("version", &self.version)
            .field("len", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bincode::error::DecodeError;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Rich {
        text: String,
        number: u64,
        signed: i32,
        wide: u128,
        option: Option<bool>,
        list: Vec<u16>,
        map: BTreeMap<String, f64>,
        letter: char,
        choice: Choice,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Choice {
        Unit,
        Tuple(u8, u8),
        Struct { a: String },
    }

    fn rich() -> Rich {
        Rich {
            text: "\u{e4}ther".into(),
            number: 300,
            signed: -2,
            wide: u128::MAX,
            option: Some(true),
            list: vec![1, 250, 251, 65_535],
            map: BTreeMap::from([("pi".into(), 3.25)]),
            letter: '\u{20ac}',
            choice: Choice::Struct { a: "x".into() },
        }
    }

    /// The encoding is part of the file format: these bytes must never change.
    #[test]
    fn the_encoding_is_pinned() {
        let mut expected = vec![6, 0xc3, 0xa4, b't', b'h', b'e', b'r'];
        expected.extend([251, 44, 1]); // 300: a 16-bit number follows
        expected.push(3); // -2, zigzag
        expected.push(254); // a 128-bit number follows
        expected.extend([0xff; 16]);
        expected.extend([1, 1]);
        expected.extend([4, 1, 250, 251, 251, 0, 251, 0xff, 0xff]);
        expected.extend([1, 2, b'p', b'i', 0, 0, 0, 0, 0, 0, 0x0a, 0x40]);
        expected.extend([0xe2, 0x82, 0xac]);
        expected.extend([2, 1, b'x']);
        assert_eq!(encode(&rich(), 1_000).unwrap(), expected);
        assert_eq!(decode::<Rich>(&expected).unwrap(), rich());
    }

    /// bincode is no longer maintained; this is the crate to go to, and it needs no new format.
    #[test]
    fn bincode_next_reads_and_writes_the_same_bytes() {
        let ours = encode(&rich(), 1_000).unwrap();
        let config = bincode_next::config::standard();
        assert_eq!(bincode_next::serde::encode_to_vec(rich(), config).unwrap(), ours);
        let (read, len): (Rich, usize) =
            bincode_next::serde::decode_from_slice(&ours, config).unwrap();
        assert_eq!((read, len), (rich(), ours.len()));
    }

    #[test]
    fn content_at_the_limit_is_taken_and_one_byte_more_is_refused() {
        // One byte tells the length of the text.
        assert_eq!(encode(&"x".repeat(99), 100).unwrap().len(), 100);
        let error = encode(&"x".repeat(100), 100).unwrap_err();
        assert!(matches!(error, Error::TooLarge { len: 101, max: 100 }));
        assert!(encode(&(), 0).unwrap().is_empty());
        assert!(decode::<()>(&[]).is_ok());
    }

    #[test]
    fn of_content_over_the_limit_no_more_than_the_limit_is_kept_in_memory() {
        let mut writer = BoundedWriter { bytes: Vec::new(), len: 0, max_len: 100 };
        (0..1_000).for_each(|_| writer.write(&[7; 60]).unwrap());
        assert_eq!((writer.bytes.len(), writer.len), (60, 60_000));
    }

    #[test]
    fn stored_content_gives_its_bytes_and_prints_only_how_many() {
        let bytes = encode(&"secret", 100).unwrap();
        let stored = StoredContent::new(3, &bytes);
        assert_eq!((stored.version(), stored.bytes()), (3, bytes.as_slice()));
        assert_eq!(format!("{stored:?}"), "StoredContent { version: 3, len: 7 }");
    }

    #[test]
    fn bytes_left_over_are_an_error() {
        assert!(decode::<u8>(&[1, 0]).is_err());
        assert!(decode::<()>(&[0]).is_err());
    }

    #[test]
    fn what_could_not_be_decoded_is_not_encoded() {
        assert!(encode(&vec![(); MIN_ELEMENTS], 100).is_ok());
        assert!(matches!(encode(&vec![(); MIN_ELEMENTS + 1], 100), Err(Error::Encode { .. })));
        assert!(matches!(encode(&vec![(); MIN_ELEMENTS + 1], MAX_LEN), Err(Error::Encode { .. })));
        let at_the_limit = encode(&vec![(); MIN_ELEMENTS], 100).unwrap();
        assert_eq!(decode::<Vec<()>>(&at_the_limit).unwrap().len(), MIN_ELEMENTS);
    }

    #[test]
    fn content_of_a_few_bytes_may_have_65536_elements() {
        assert!(encode(&vec![(); 65_536], 100).is_ok());
        assert!(matches!(encode(&vec![(); 65_537], 100), Err(Error::Encode { .. })));
    }

    /// Sixteen times the largest input of its size class, of which the length itself takes eight.
    #[test]
    fn a_claimed_length_is_refused_unread_beyond_the_limit_of_the_input_that_claims_it() {
        let refused = |len: usize, claimed: usize| {
            let mut input = encode(&claimed, 100).unwrap();
            input.resize(len, b'x');
            let error = decode::<String>(&input).unwrap_err();
            format!("{:?}", error.downcast_ref::<DecodeError>().unwrap())
        };
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        for (len, limit) in [
            (9, MIB),
            (64 * KIB, MIB),
            (64 * KIB + 1, 16 * MIB),
            (MIB, 16 * MIB),
            (MIB + 1, 256 * MIB),
        ] {
            assert!(refused(len, limit - 8).starts_with("UnexpectedEnd"), "{len}");
            assert_eq!(refused(len, limit), "LimitExceeded", "{len}");
        }
    }

    #[test]
    fn every_width_of_number_fits_the_decoder_at_every_size_class() {
        for count in [SMALL - 8, SMALL, MEDIUM - 8, MEDIUM] {
            let narrow = vec![1_u128; count];
            let bytes = encode(&narrow, MAX_LEN).unwrap();
            assert_eq!(decode::<Vec<u128>>(&bytes).unwrap().len(), count);
        }
    }

    #[test]
    fn a_serializer_that_fails_is_an_encoding_error() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("on principle"))
            }
        }
        assert!(matches!(encode(&Refuses, 100), Err(Error::Encode { .. })));
    }
}
