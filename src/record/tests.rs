//! Records as bytes: the pinned format, and bytes that are not a record.

use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> SessionKey {
    SessionKey::from_bytes([byte; 16])
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn example() -> Record {
    let parts = Parts {
        user: Some(&UserId::from("ann").to_key().unwrap()),
        csrf_token: Some(&CsrfToken::from_bytes([0xcc; 16])),
        own_timeouts: OwnTimeouts { inactivity_ms: Some(1_000), absolute_ms: None },
        revision: 3,
        created_at: at(1_000_000),
        last_active: at(1_000_500),
        content_version: 2,
        content: b"content",
    };
    Record::new(&parts, &Timeouts::default()).unwrap()
}

/// Derived by hand from docs/internals/format.md. Only the checksum is computed by `crc32c`; the
/// test vector of RFC 3720, B.4, below shows which CRC that is.
#[test]
fn the_bytes_are_the_documented_ones() {
    let mut expected = vec![1, 3, 4, 0, 2, 0, 0, 0];
    for number in [3_u64, 1_000_000, 1_000_500, 1_001_500, 1_000, 0] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend([7, 0, 0, 0]);
    expected.extend(b"\x03ann");
    expected.extend([0xcc; 16]);
    expected.extend(b"content");
    let covered = [&[7; 16], expected.as_slice()].concat();
    expected.extend(crc32c::crc32c(&covered).to_le_bytes());
    assert_eq!(example().encode(&key(7)), expected);
    assert_eq!(Record::decode(&key(7), &expected).unwrap(), example());
}

#[test]
fn a_record_knows_its_lengths() {
    let record = example();
    assert_eq!(record.stored_len(), record.encode(&key(7)).len());
    assert_eq!(record.tail_len(), b"\x03ann".len() + 16 + b"content".len());
}

#[test]
fn a_record_is_expired_from_its_deadline_on() {
    let (record, defaults) = (example(), Timeouts::default());
    assert_eq!(record.deadline(&defaults), at(1_001_500));
    let is_expired = |millis| record.is_expired(Moment { now: at(millis), timeouts: defaults });
    assert!(!is_expired(1_001_499) && is_expired(1_001_500) && is_expired(1_001_501));
}

#[test]
fn a_renamed_record_is_the_next_revision_and_has_another_user_and_nothing_else_of_another() {
    let user = UserId::from("a longer name").to_key().unwrap();
    let renamed = example().renamed(&user);
    assert_eq!((renamed.user(), renamed.revision()), (Some(user), example().revision() + 1));
    assert_eq!(renamed.content(), example().content());
    assert_eq!(renamed.csrf_token().unwrap().encode(), example().csrf_token().unwrap().encode());
    assert_eq!(renamed.index_deadline(), example().index_deadline());
    assert_eq!(Record::decode(&key(7), &renamed.encode(&key(7))).unwrap(), renamed);
}

#[test]
fn the_checksum_is_the_crc_of_iscsi() {
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn the_parts_come_back() {
    let record = example();
    assert_eq!(record.user_id(), Some(UserId::from("ann")));
    assert_eq!(record.csrf_token().unwrap().as_bytes(), &[0xcc; 16]);
    assert_eq!(record.content(), b"content");
    assert_eq!((record.revision(), record.stored_content().version()), (3, 2));
    assert_eq!((record.created_at(), record.last_active()), (at(1_000_000), at(1_000_500)));
    let own = OwnTimeouts { inactivity_ms: Some(1_000), absolute_ms: None };
    assert_eq!(record.own_timeouts(), own);
    assert_eq!(record.index_deadline(), at(1_001_500));
}

#[test]
fn a_record_decodes_under_no_other_key() {
    let bytes = example().encode(&key(7));
    let error = Record::decode(&key(8), &bytes).unwrap_err();
    assert!(matches!(error, Error::DamagedRecord { reason: "its checksum is wrong", .. }));
}

#[test]
fn every_flipped_bit_every_cut_and_every_addition_is_noticed() {
    let bytes = example().encode(&key(7));
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            assert!(Record::decode(&key(7), &flipped).is_err(), "bit {bit} of byte {index}");
        }
        assert!(Record::decode(&key(7), &bytes[..index]).is_err(), "cut at {index}");
    }
    assert!(Record::decode(&key(7), &[bytes.as_slice(), &[0]].concat()).is_err());
}

/// With a corrected checksum, only the checks of the header and the user remain.
#[test]
fn a_forged_record_is_refused_for_what_it_says() {
    let forge = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = example().encode(&key(7));
        bytes.truncate(bytes.len() - CHECKSUM_LEN);
        change(&mut bytes);
        let checksum = checksum_of(&key(7), &bytes);
        bytes.extend(checksum.to_le_bytes());
        Record::decode(&key(7), &bytes)
    };
    assert!(forge(&|_| {}).is_ok());
    let reason = |result: Result<Record>| match result {
        Err(Error::DamagedRecord { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(forge(&|bytes| bytes[0] = 2)).contains("format version"));
    assert!(reason(forge(&|bytes| bytes[1] |= 0x80)).contains("flags"));
    assert!(reason(forge(&|bytes| bytes[59] = 0xff)).contains("length"));
    assert!(reason(forge(&|bytes| bytes[2] = 5)).contains("length"));
    assert!(reason(forge(&|bytes| bytes.push(0))).contains("length"));
    assert!(reason(forge(&|bytes| bytes[60] = 9)).contains("user"));
}

#[test]
fn time_in_a_record_only_moves_forward() {
    let record = example();
    assert_eq!(record.clone().touched(at(5)), record);
    let touched = record.clone().touched(at(2_000_000));
    assert_eq!(touched.last_active(), at(2_000_000));
    assert_eq!(touched.index_deadline(), record.index_deadline());
    assert!(touched.deadline(&Timeouts::default()) > touched.index_deadline());
}

#[test]
fn debug_shows_neither_content_nor_token() {
    let text = format!("{:?}", example());
    assert!(text.contains("ann") && !text.contains("content\"") && !text.contains("204"), "{text}");
}

proptest! {
    #[test]
    fn any_record_comes_back_and_its_bytes_are_the_only_ones(
        user in proptest::option::of(".{0,60}"),
        token in proptest::option::of(any::<[u8; 16]>()),
        inactivity_ms in proptest::option::of(any::<u64>()),
        absolute_ms in proptest::option::of(any::<u64>()),
        (revision, created, active, content_version) in any::<(u64, u64, u64, u32)>(),
        content in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let user = user.map(|user| UserId::from(user).to_key().unwrap());
        let token = token.map(CsrfToken::from_bytes);
        let parts = Parts {
            user: user.as_ref(),
            csrf_token: token.as_ref(),
            own_timeouts: OwnTimeouts { inactivity_ms, absolute_ms },
            revision,
            created_at: at(created),
            last_active: at(active),
            content_version,
            content: &content,
        };
        let record = Record::new(&parts, &Timeouts::default()).unwrap();
        let bytes = record.encode(&key(1));
        prop_assert_eq!(bytes.len(), header::LEN + record.tail.len() + CHECKSUM_LEN);
        let decoded = Record::decode(&key(1), &bytes).unwrap();
        prop_assert_eq!(decoded.encode(&key(1)), bytes);
        prop_assert_eq!(decoded.user(), user);
        prop_assert_eq!(decoded.content(), content);
        prop_assert_eq!(decoded.csrf_token().map(|t| *t.as_bytes()), token.map(|t| *t.as_bytes()));
        prop_assert_eq!(decoded, record);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&key(1), &bytes);
    }
}
