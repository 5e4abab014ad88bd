//! Types of the standard library and of popular crates: each value is read back, or refused with
//! the reason.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::{CString, OsString};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, Saturating, Wrapping};
use std::ops::{Bound, Range, RangeFrom, RangeInclusive};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sessile::Json;

use super::{comes_back, is_refused};

/// Checks that a value is read back by itself, in a list, in an option, in a struct, and as JSON.
fn comes_back_everywhere<T>(value: T)
where
    T: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Holding<T> {
        before: u8,
        value: T,
        after: String,
    }
    comes_back(value.clone());
    comes_back(vec![value.clone(), value.clone()]);
    comes_back(Some(value.clone()));
    comes_back((value.clone(), 7u8));
    comes_back(BTreeMap::from([(1u8, value.clone())]));
    comes_back(Holding { before: 1, value: value.clone(), after: "x".into() });
    comes_back(Json(value));
}

macro_rules! come_back {
    ($($value:expr),* $(,)?) => {$(comes_back_everywhere($value);)*};
}

#[test]
fn types_of_the_standard_library_come_back() {
    let address: IpAddr = Ipv4Addr::LOCALHOST.into();
    come_back![
        true,
        'x',
        -1i8,
        -300i16,
        i32::MIN,
        i64::MIN,
        i128::MIN,
        7u8,
        300u16,
        u32::MAX,
        u64::MAX,
        u128::MAX,
        1usize,
        -1isize,
        0.1f32,
        f64::MAX,
        String::from("x"),
        Box::<str>::from("x"),
        Cow::<'static, str>::Owned("x".into()),
        [1u8, 2, 3],
        [0u8; 0],
        [[1u16; 2]; 32],
        (1u8, "x".to_owned(), [2u32]),
        Vec::<u8>::new(),
        vec![vec![1u8]],
        VecDeque::from([1u8, 2]),
        LinkedList::from([1u8]),
        BTreeSet::from(["a".to_owned()]),
        BTreeMap::from([(1u8, 'x')]),
        HashMap::from([("k".to_owned(), 1u64), ("l".to_owned(), 2)]),
        HashSet::from([1u8, 2, 3]),
        Ok::<u8, String>(1),
        Err::<u8, String>("no".into()),
        Some(Some(1u8)),
        None::<u8>,
        Range { start: 1u8, end: 2 },
        RangeInclusive::new(1u8, 2),
        RangeFrom { start: 1u8 },
        Bound::Included(1u8),
        Bound::<u8>::Unbounded,
        Duration::new(1, 999_999_999),
        SystemTime::UNIX_EPOCH + Duration::new(1, 1),
        NonZeroU32::MAX,
        Wrapping(7u8),
        Saturating(7u8),
        PathBuf::from("/a/b"),
        OsString::from("x"),
        CString::from(c"x"),
        address,
        SocketAddr::from((Ipv6Addr::LOCALHOST, 80)),
        Cell::new(1u8),
        RefCell::new("x".to_owned()),
        std::cmp::Reverse(1u8),
        Box::new(1u8),
        Box::<[u8]>::from([1, 2]),
    ];
    comes_back((PhantomData::<String>, (), 1u8));
    comes_back(BinaryHeap::from([3u8, 1, 2, 9, 4]).into_sorted_vec());
}

/// JSON has one `null`, while typed content distinguishes a unit from an option.
#[test]
fn units_and_options_come_back_as_what_they_were() {
    comes_back(Some(None::<u8>));
    comes_back(Some(Some(None::<()>)));
    comes_back(Some(()));
    comes_back(vec![(), ()]);
    comes_back(f64::NAN.to_bits());
    is_refused(Json(Some(())), &["`Some` that holds nothing"]);
}

#[derive(Clone, Debug, PartialEq)]
struct Bits(f64);

impl Serialize for Bits {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(f64::from_bits(self.0.to_bits()))
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        f64::deserialize(from).map(Self)
    }
}

#[test]
fn floats_that_equal_nothing_come_back_to_the_bit() {
    let store = sessile::SessionStore::<Bits>::in_memory().unwrap();
    for bits in [f64::NAN.to_bits(), 0xfff8_0000_dead_beef, f64::INFINITY.to_bits(), 1 << 63] {
        let id = store.create(Bits(f64::from_bits(bits))).unwrap().id().clone();
        assert_eq!(store.read(&id).unwrap().unwrap().content().0.to_bits(), bits);
    }
}

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Rights: u32 {
        const READ = 1;
        const WRITE = 2;
    }
}

#[test]
fn types_of_times_numbers_and_networks_come_back() {
    use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc, Weekday};
    let moment = DateTime::<Utc>::from_timestamp(1_767_225_600, 123_456_789).unwrap();
    let east = FixedOffset::east_opt(3_600).unwrap();
    let naive: NaiveDateTime = moment.naive_utc();
    let date: NaiveDate = naive.date();
    let time: NaiveTime = naive.time();
    come_back![moment, moment.with_timezone(&east), naive, date, time, Weekday::Mon];
    let moment = time::OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
    come_back![moment.date(), moment.time(), moment.offset(), time::Duration::new(1, 2)];
    // Without its feature `serde-human-readable` it writes a tuple into JSON as well.
    come_back![moment, time::PrimitiveDateTime::new(moment.date(), moment.time())];
    let timestamp: jiff::Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
    come_back![timestamp, jiff::SignedDuration::new(1, 2)];
    come_back![ordered_float::OrderedFloat(0.1f64), ordered_float::NotNan::new(0.1f32).unwrap()];
    come_back![Rights::READ | Rights::WRITE, semver::Version::new(1, 2, 3)];
    come_back![semver::VersionReq::parse(">=1.2, <2").unwrap()];
    come_back![uuid::Uuid::from_u128(7), uuid::Uuid::nil()];
    for network in ["192.0.2.0/24", "2001:db8::/32"] {
        come_back![network.parse::<ipnet::IpNet>().unwrap()];
    }
}

#[test]
fn types_of_collections_and_bytes_come_back() {
    come_back![
        indexmap::IndexMap::<String, u8>::from([("b".into(), 1), ("a".into(), 2)]),
        indexmap::IndexSet::<u8>::from([3, 1, 2]),
        hashbrown::HashMap::<u8, u8>::from_iter((0..50).map(|n| (n, n))),
        hashbrown::HashSet::<u8>::from_iter(0..50),
        bimap::BiHashMap::<u8, u8>::from_iter((0..50).map(|n| (n, n))),
        bimap::BiBTreeMap::<u8, u8>::from_iter((0..50).map(|n| (n, n))),
        Box::new(HashMap::<u8, u8>::from_iter((0..50).map(|n| (n, n)))),
        Cow::<HashSet<u8>>::Owned((0..50).collect()),
        smallvec::SmallVec::<[u8; 2]>::from_slice(&[1, 2, 3]),
        arrayvec::ArrayVec::<u8, 4>::from_iter([1, 2]),
        arrayvec::ArrayString::<8>::from("abc").unwrap(),
        bytes::Bytes::from_static(&[1, 2]),
        serde_bytes::ByteBuf::from(vec![0, 255]),
        serde_bytes::ByteArray::<4>::new([1, 2, 3, 4]),
        either::Either::<u8, String>::Left(1),
        either::Either::<u8, String>::Right("x".into()),
    ];
}

#[test]
fn a_map_of_many_locks_comes_back_in_whatever_order() {
    let map = || dashmap::DashMap::<u8, u8>::from_iter((0..50).map(|n| (n, n)));
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Same<T>(T);
    impl PartialEq for Same<dashmap::DashMap<u8, u8>> {
        fn eq(&self, other: &Self) -> bool {
            self.0.len() == other.0.len()
                && self.0.iter().all(|one| other.0.contains_key(one.key()))
        }
    }
    impl PartialEq for Same<Box<dashmap::DashMap<u8, u8>>> {
        fn eq(&self, other: &Self) -> bool {
            Same((*self.0).clone()) == Same((*other.0).clone())
        }
    }
    comes_back_everywhere(Same(map()));
    comes_back_everywhere(Same(Box::new(map())));
}

#[test]
fn a_decimal_that_asks_what_comes_next_needs_json_or_another_form() {
    let price: rust_decimal::Decimal = "12.50".parse().unwrap();
    is_refused(price, &["deserialize_any", "Decimal", "Json<T>"]);
    comes_back(Json(price));
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Priced(#[serde(with = "as_text")] rust_decimal::Decimal);
    comes_back(Priced(price));
}

/// The workaround of the guide for a type without a typed form of its own.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[test]
fn a_span_of_time_that_is_not_equal_to_itself_as_text_is_no_concern_of_the_store() {
    let span = jiff::Span::new().days(1).hours(2);
    let store = sessile::SessionStore::<jiff::Span>::in_memory().unwrap();
    let id = store.create(span).unwrap().id().clone();
    let read = store.read(&id).unwrap().unwrap().into_content();
    assert_eq!(read.fieldwise(), span.fieldwise());
}
