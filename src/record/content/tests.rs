//! The encoding is pinned and bounded in both directions, and all content is verified.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serializer};

use super::*;

/// The bytes of bincode, without the head.
fn body<C: Serialize>(content: &C) -> Vec<u8> {
    write(content, 1_000).unwrap().body().to_vec()
}

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
    assert_eq!(body(&rich()), expected);
    assert_eq!(decode::<Rich>(&expected, None).unwrap(), rich());
}

/// bincode is no longer maintained; this crate can replace it without a new format.
#[test]
fn bincode_next_reads_and_writes_the_same_bytes() {
    let ours = body(&rich());
    let config = bincode_next::config::standard();
    assert_eq!(bincode_next::serde::encode_to_vec(rich(), config).unwrap(), ours);
    let (read, len): (Rich, usize) = bincode_next::serde::decode_from_slice(&ours, config).unwrap();
    assert_eq!((read, len), (rich(), ours.len()));
}

#[test]
fn content_at_the_limit_is_taken_and_one_byte_more_is_refused() {
    // The length of the text takes one byte.
    assert_eq!(encode(&"x".repeat(99), 100, None).unwrap().len(), HEAD_LEN + 100);
    let error = encode(&"x".repeat(100), 100, None).unwrap_err();
    assert!(matches!(error, Error::TooLarge { len: 101, max: 100 }));
    assert_eq!(encode(&(), 0, None).unwrap().len(), HEAD_LEN);
    assert!(decode::<()>(&[], None).is_ok());
}

#[test]
fn of_content_over_the_limit_no_more_than_the_limit_is_kept_in_memory() {
    let mut writer = BoundedWriter::keeping(100);
    (0..1_000).for_each(|_| writer.write(&[7; 60]).unwrap());
    assert_eq!((writer.bytes.len(), writer.len), (HEAD_LEN + 60, 60_000));
}

#[test]
fn stored_content_gives_its_bytes_and_prints_only_how_many() {
    let bytes = encode(&"secret".to_owned(), 100, None).unwrap();
    let stored = StoredContent::new(3, &bytes);
    assert_eq!((stored.version(), stored.bytes()), (3, &bytes[HEAD_LEN..]));
    let text = format!("{stored:?}");
    assert_eq!(text, "StoredContent { version: 3, kind: Some(Typed), len: 7 }");
}

#[test]
fn bytes_left_over_are_an_error() {
    assert!(decode::<u8>(&[1, 0], None).is_err());
    assert!(decode::<()>(&[0], None).is_err());
}

/// Derived from docs/internals/format.md: the kind, the shape, and the bytes of bincode.
#[test]
fn the_head_is_the_documented_one() {
    let shape = "4fa87360b2747f053a7159a93002ab59";
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(encode(&(), 0, None).unwrap()), format!("00{shape}"));
    let attributes = hex(encode(&crate::session::attributes::Attributes::new(), 1, None).unwrap());
    assert!(attributes.starts_with("01") && attributes.ends_with("00"), "{attributes}");
    let json = hex(encode(&crate::session::json::Json(7), 2, None).unwrap());
    assert!(json.starts_with("02") && json.ends_with("0137"), "{json}");
}

#[test]
fn content_without_a_head_or_of_an_unknown_kind_is_read_as_nothing() {
    for stored in [&[][..], &[0; HEAD_LEN - 1], &[3; HEAD_LEN]] {
        let stored = StoredContent::new(0, stored);
        assert_eq!(stored.kind(), None);
        assert!(matches!(stored.decode::<()>(), Err(Error::ContentMismatch { .. })));
        assert_eq!(stored.to_json().unwrap(), None);
    }
}

#[test]
fn a_flipped_bit_of_the_shape_is_another_shape() {
    let stored = encode(&rich(), 1_000, None).unwrap();
    assert_eq!(StoredContent::new(0, &stored).decode::<Rich>().unwrap(), rich());
    for bit in 8..HEAD_LEN * 8 {
        let mut flipped = stored.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = StoredContent::new(0, &flipped).decode::<Rich>().unwrap_err();
        assert!(matches!(error, Error::ContentMismatch { .. }), "bit {bit}");
    }
}

#[test]
fn a_length_that_is_only_claimed_is_refused() {
    for claimed in [8_u64, 1 << 20, 1 << 40, 1 << 63, u64::MAX] {
        let mut bytes = body(&claimed);
        bytes.push(b'x');
        assert!(matches!(decode::<String>(&bytes, None).unwrap_err().cause, Cause::TooShort));
    }
}

#[test]
fn elements_of_no_bytes_are_allowed_up_to_their_budget() {
    assert!(encode(&vec![(); 65_536], 100, None).is_ok());
    // The length prefix takes bytes too, and each of them allows one more element.
    assert!(encode(&vec![(); 65_539], 100, None).is_ok());
    for max_len in [100, MAX_LEN] {
        let refused = encode(&vec![(); 65_542], max_len, None).unwrap_err();
        assert!(matches!(&refused, Error::Encode { .. }));
        assert!(refused.to_string().contains("more than 65541 elements"), "{refused}");
    }
}

#[test]
fn a_serializer_that_fails_is_an_encoding_error_in_its_words() {
    #[derive(Debug)]
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("on principle"))
        }
    }
    impl<'de> Deserialize<'de> for Refuses {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(serde::de::Error::custom("it holds 4111 1111"))
        }
    }
    let error = encode(&(1, Refuses), 100, None).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("Refuses") && text.ends_with("on principle; nothing was written"),
        "{text}"
    );
    assert!(text.contains("at the content.1"), "{text}");
    let error = decode::<Refuses>(&[], None).unwrap_err();
    assert_eq!(error.to_string(), "it holds 4111 1111", "for the source of an error alone");
}

/// Counts how often `Serialize` is called for it, and how often `Deserialize`, which refuses it.
#[derive(Default)]
struct Counted;

thread_local! {
    static PASSES: Cell<usize> = const { Cell::new(0) };
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PASSES.set(PASSES.get() + 1);
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PASSES.set(PASSES.get() + 1);
        u8::deserialize(deserializer)?;
        Err(serde::de::Error::custom("never"))
    }
}

/// A client may choose content that is refused.
#[test]
fn content_that_is_refused_takes_few_passes_however_long_it_is() {
    let passes = |content: &dyn Fn() -> crate::error::Error| {
        PASSES.set(0);
        let refused = content().to_string();
        (PASSES.get(), refused)
    };
    // As long as two and as eight parts of a trace.
    for units in [500_000, 2_000_000_usize] {
        let content = (Counted, vec![(); units]);
        let (count, refused) = passes(&|| encode(&content, 65_536, None).unwrap_err());
        assert!(refused.contains("[131071]") || refused.contains("elements"), "{refused}");
        assert!(count <= 2, "{count} passes over {units} elements");

        let content = (vec![0_u8; units], Counted);
        let (count, refused) = passes(&|| encode(&content, units + 100, None).unwrap_err());
        assert!(refused.contains("`Deserialize` does not take"), "{refused}");
        assert!(count <= 2 + 2 * 4, "{count} passes over {units} elements");
    }
}

/// Whoever raises the limit to it can store the content.
#[test]
fn the_length_of_content_that_is_too_large_is_all_of_its_length() {
    for bytes in [70_000, 1 << 18, 1 << 22] {
        let content = vec![7_u8; bytes];
        let Err(Error::TooLarge { len, max: 65_536 }) = encode(&content, 65_536, None) else {
            panic!("it is larger");
        };
        assert_eq!(len, bytes + 5);
        assert!(matches!(encode(&content, len - 1, None), Err(Error::TooLarge { .. })));
        assert!(encode(&content, len, None).is_ok());
    }
}
