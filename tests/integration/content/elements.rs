//! Content of many small elements: the limit is in bytes, and an error states the true reason.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sessile::{Error, SessionStore};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cell {
    x: u8,
    y: u8,
}

/// Checks that content is stored and read back, or is too large.
fn is_taken_or_too_large<C>(content: C, store: &SessionStore<C>) -> bool
where
    C: Serialize + serde::de::DeserializeOwned + Clone + PartialEq,
{
    match store.create(content.clone()) {
        Ok(session) => {
            assert!(store.read(session.id()).unwrap().unwrap().content() == &content);
            true
        }
        Err(Error::TooLarge { len, max }) => {
            assert!(len > max);
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn cells(number: usize) -> Vec<Cell> {
    (0..number).map(|number| Cell { x: (number % 250) as u8, y: 1 }).collect()
}

#[test]
fn a_board_of_25_000_cells_is_taken_with_the_settings_as_they_are() {
    let store = SessionStore::<Vec<Cell>>::in_memory().unwrap();
    assert!(is_taken_or_too_large(cells(25_000), &store));
    assert!(is_taken_or_too_large(cells(32_766), &store), "the limit itself: 65,535 bytes");
    assert!(!is_taken_or_too_large(cells(32_767), &store));
}

#[test]
fn a_track_of_a_million_points_is_taken_where_16_mib_are_allowed() {
    let store = SessionStore::<Vec<Cell>>::builder().max_content_len(16 << 20).in_memory().unwrap();
    assert!(is_taken_or_too_large(cells(1_000_000), &store));
}

#[test]
fn the_densest_content_is_taken_up_to_the_limit_of_its_bytes() {
    let dense = SessionStore::<Vec<bool>>::in_memory().unwrap();
    assert!(is_taken_or_too_large(vec![true; 65_533], &dense));
    assert!(!is_taken_or_too_large(vec![true; 65_534], &dense));
    let sets: Vec<BTreeMap<u8, ()>> = vec![(0..250).map(|key| (key, ())).collect(); 260];
    let maps = SessionStore::<Vec<BTreeMap<u8, ()>>>::in_memory().unwrap();
    assert!(is_taken_or_too_large(sets, &maps));
    let empty = SessionStore::<Vec<Vec<u8>>>::in_memory().unwrap();
    assert!(is_taken_or_too_large(vec![vec![]; 65_533], &empty));
    let hashed = SessionStore::<HashMap<u32, ()>>::in_memory().unwrap();
    assert!(is_taken_or_too_large((0..12_000).map(|key| (key, ())).collect(), &hashed));
}

#[test]
fn elements_that_take_no_bytes_have_a_budget_of_their_own_and_the_error_says_so() {
    let store = SessionStore::<(String, Vec<()>)>::in_memory().unwrap();
    assert!(is_taken_or_too_large((String::new(), vec![(); 65_536]), &store));
    assert!(is_taken_or_too_large(("x".repeat(60_000), vec![(); 65_536]), &store));
    let refused = store.create((String::new(), vec![(); 70_000])).unwrap_err().to_string();
    assert!(refused.contains("65536 that take none"), "{refused}");
    assert!(refused.contains("one for each byte"), "{refused}");
}
