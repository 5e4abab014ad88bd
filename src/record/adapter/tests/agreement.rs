//! The messages for a type whose two directions disagree.

use super::super::trace::{Comparison, Event, Path, Trace};
use super::*;

fn written<T: Serialize>(value: &T) -> Vec<Event> {
    let watch = Watch::new(Budget::of_elements(PLENTY), Trace::after(0));
    let _ = bincode::serde::encode_to_vec(Watched::new(value, &watch), CONFIG);
    watch.observer.into_events()
}

fn asked<T: DeserializeOwned>(bytes: &[u8]) -> Vec<Event> {
    let watch = Watch::new(Budget::of_elements(PLENTY), Trace::after(0));
    let seed = WatchedSeed::<T, _>::new(&watch);
    let _ = bincode::serde::seed_decode_from_slice(seed, bytes, CONFIG);
    watch.observer.into_events()
}

/// The agreement of a `T` with a value whose bytes it is decoded from.
fn agreement<T: DeserializeOwned>(value: &impl Serialize) -> Result<(), String> {
    Comparison::default().go_on(&written(value), &asked::<T>(&plain(value)))
}

fn parted<T: DeserializeOwned>(value: &impl Serialize) -> String {
    agreement::<T>(value).unwrap_err()
}

#[test]
fn a_name_that_nothing_is_written_under_is_told() {
    #[derive(Serialize, Deserialize)]
    struct Aliased {
        #[serde(alias = "aa", alias = "zz")]
        name: u8,
        other: u8,
    }
    let text = parted::<Aliased>(&Aliased { name: 1, other: 2 });
    assert!(
        text.contains("`aa`") && text.contains("`Aliased`") && text.contains("alias"),
        "{text}"
    );
    #[derive(Serialize)]
    struct Swapped {
        other: u8,
        name: u8,
    }
    let text = parted::<Aliased>(&Swapped { other: 1, name: 2 });
    assert!(text.contains("`name` of `Swapped`") && text.contains("another place"), "{text}");
}

#[test]
fn a_field_that_is_on_one_side_alone_is_named() {
    #[derive(Serialize)]
    struct Three {
        a: u8,
        b: u8,
        c: u8,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Two {
        a: u8,
        b: u8,
    }
    #[derive(Serialize)]
    struct One {
        a: u8,
    }
    let text = parted::<Two>(&Three { a: 1, b: 2, c: 3 });
    assert!(text.contains("writes the field `c` of `Three`"), "{text}");
    let text = parted::<Two>(&(One { a: 1 }, 7u8));
    assert!(text.contains("a tuple") && text.contains("`Two`"), "{text}");
    let text = parted::<(Two, u8)>(&(One { a: 1 }, 7u8));
    assert!(text.contains("reads the field `b` of `One`"), "{text}");
}

#[test]
fn a_variant_that_is_read_as_another_one_is_named() {
    #[derive(Serialize)]
    enum Written {
        #[allow(dead_code)]
        Skipped,
        Guest,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum Read {
        Guest,
        Admin,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum Short {
        Guest,
    }
    let text = parted::<Read>(&Written::Guest);
    assert!(text.contains("`Guest` of `Written`") && text.contains("as `Admin`"), "{text}");
    let text = parted::<Short>(&Written::Guest);
    assert!(text.contains("does not list the variant `Guest` of `Written`"), "{text}");
}

#[test]
fn kinds_that_differ_are_told_with_their_place() {
    #[derive(Serialize)]
    struct Cart {
        items: Vec<(u8, u32)>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Other {
        items: Vec<(u8, u64)>,
    }
    let text = parted::<Other>(&Cart { items: vec![(1, 2), (3, 4)] });
    assert!(text.contains("`Cart.items[0].1`"), "{text}");
    assert!(text.contains("writes a u32") && text.contains("asks for a u64"), "{text}");
}

#[test]
fn a_path_leads_to_where_the_events_end() {
    let mut path = Path::default();
    for event in written(&BTreeMap::from([(1u8, vec![Some(7u8), None])])) {
        path.follow(event);
    }
    assert_eq!(path.to_string(), "the content itself");
    let events = written(&vec![1u8, 2, 3]);
    // Up to the third number.
    let mut path = Path::default();
    events[..events.len() - 1].iter().for_each(|event| path.follow(*event));
    assert_eq!(path.to_string(), "the content[2]");
}

#[test]
fn what_is_compared_in_parts_agrees_as_a_whole_does() {
    #[derive(Serialize, Deserialize)]
    struct Item {
        a: u8,
        b: (u8, u8),
    }
    let items: Vec<_> = (0..5).map(|a| Item { a, b: (a, 0) }).collect();
    let (events, requests) = (written(&items), asked::<Vec<Item>>(&plain(&items)));
    for part in 1..events.len() {
        let mut comparison = Comparison::default();
        for (written, asked) in events.chunks(part).zip(requests.chunks(part)) {
            assert_eq!(comparison.go_on(written, asked), Ok(()), "parts of {part}");
        }
        assert_eq!(comparison.into_path().to_string(), "the content itself");
    }
}
