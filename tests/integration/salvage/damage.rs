//! What each kind of damage costs: the sessions that are rescued, and the names of the lost ones.

use std::collections::BTreeSet;
use std::fs;

use sessile::{Error, Salvage, SessionId, salvage};

use super::{Damaged, PAGE, Store, open};

/// The first byte of a leaf page in redb.
const LEAF: u8 = 1;

#[test]
fn a_sound_file_is_copied_whole() {
    let file = Damaged::new();
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(report.opened && report.has_metadata);
    assert_eq!(report.kept as usize, file.live.len());
    assert_eq!((report.stale, report.lost_count, report.unreadable_pages), (0, 0, 0));
    for id in &file.live {
        assert!(store.read(id).unwrap().is_some());
    }
    assert_eq!(file.count(&store, &file.ended), 0);
}

#[test]
fn page_by_page_a_sound_tree_gives_every_session_and_no_other() {
    let file = Damaged::new();
    file.keep_old_pages();
    // Only our own signature is destroyed: the store cannot be opened, and yet every page verifies.
    file.destroy_marks();
    assert!(matches!(Store::open(file.path()), Err(Error::NotASessionStore { .. })));
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened);
    assert_eq!(report.kept as usize, file.live.len());
    assert_eq!(file.count(&store, &file.live), file.live.len());
    assert_eq!(file.count(&store, &file.ended), 0, "a logout is not undone");
    assert_eq!((report.lost_count, report.damaged_records), (0, 0));
    assert_eq!(report.stale as usize, file.ended.len(), "old pages hold them still");
}

/// The sectors would locate a log, and a closed file that ends with redb's part has none.
#[test]
fn two_damaged_sectors_of_a_closed_file_cost_no_session() {
    let file = Damaged::new();
    file.change(|bytes| bytes[2_048..3_072].fill(7));
    assert!(matches!(Store::open(file.path()), Err(Error::DamagedFile { .. })));
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened && report.has_metadata);
    assert_eq!(report.kept as usize, file.live.len());
    assert_eq!(file.count(&store, &file.live), file.live.len());
    assert_eq!(file.count(&store, &file.ended), 0, "a logout is not undone");
    drop(store);
    // What follows may have been a log.
    file.change(|bytes| bytes.extend([0; PAGE]));
    let (report, _) = file.salvaged(&Salvage::new());
    assert_eq!(report.kept, 0);
    // In a file that is open, its last part may be missing.
    file.change(|bytes| {
        bytes.truncate(bytes.len() - PAGE);
        bytes[9] |= 2;
    });
    let (report, _) = file.salvaged(&Salvage::new());
    assert_eq!(report.kept, 0);
}

#[test]
fn a_damaged_record_in_a_sound_page_is_counted_and_stays_behind() {
    let file = Damaged::new();
    let lost = file.live[0].key();
    {
        let database = redb::Database::open(file.path()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(crate::bad_records::SESSIONS).unwrap();
        table.insert(lost.as_bytes(), &[1; 70][..]).unwrap();
        drop(table);
        transaction.commit().unwrap();
    }
    for opens in [true, false] {
        if !opens {
            file.destroy_marks();
        }
        let (report, store) = file.salvaged(&Salvage::new());
        assert_eq!((report.opened, report.damaged_records), (opens, 1));
        assert_eq!((&report.lost[..], report.lost_count), (&[lost][..], 1));
        assert_eq!(report.kept as usize, file.live.len() - 1);
        assert_eq!(file.count(&store, &file.live[1..]), file.live.len() - 1);
    }
}

#[test]
fn a_damaged_page_costs_the_sessions_in_it_and_names_them() {
    let file = Damaged::new();
    // A session whose key occurs in leaves alone. Leaves below a damaged branch cannot be told from
    // old ones.
    let bytes = fs::read(file.path()).unwrap();
    let mut candidates = file.live.iter().map(|id| file.pages_with(id));
    let pages = candidates.find(|pages| pages.iter().all(|page| bytes[page * PAGE] == LEAF));
    let pages = pages.unwrap();
    file.keep_old_pages();
    for page in pages {
        assert!(page > 0);
        file.change(|bytes| bytes[page * PAGE + 100] ^= 0x40);
    }
    assert!(Store::open(file.path()).is_err());
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened && report.unreadable_pages > 0);
    let kept = file.count(&store, &file.live);
    assert_eq!(report.kept as usize, kept);
    assert!(kept < file.live.len() && kept > file.live.len() / 2, "{kept}");
    assert_eq!(file.count(&store, &file.ended), 0);
    drop(store);

    // With stale records, older versions come back, and so do ended sessions.
    let (with_stale, store) = file.salvaged(&Salvage::new().include_stale(true));
    assert_eq!(with_stale.stale, report.stale);
    assert_eq!(with_stale.kept, report.kept + report.stale);
    assert_eq!(file.count(&store, &file.live), file.live.len());
    assert_eq!(file.count(&store, &file.ended), file.ended.len());
}

#[test]
fn lost_sessions_are_named_by_the_index() {
    let file = Damaged::new();
    // Only the leaf of `sessions` is hit: the leaf in which the record follows the key.
    let key = *file.live[0].key().as_bytes();
    let bytes = fs::read(file.path()).unwrap();
    let content_at = bytes.windows(16).enumerate().filter(|(_, window)| *window == key);
    let pages: BTreeSet<_> = content_at.map(|(at, _)| at / PAGE).collect();
    for page in pages {
        // A leaf of `sessions` holds the ends of its values; leaves of the indexes have none.
        let start = page * PAGE;
        let pairs = usize::from(u16::from_le_bytes([bytes[start + 2], bytes[start + 3]]));
        let first_end =
            u32::from_le_bytes(bytes[start + 4..start + 8].try_into().unwrap()) as usize;
        if bytes[start] == LEAF && first_end > 4 + pairs * 20 && first_end < 4 + pairs * 20 + 400 {
            file.change(|bytes| bytes[start + 4 + pairs * 20 + 40] ^= 1);
        }
    }
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened);
    let gone: Vec<_> = file
        .live
        .iter()
        .filter(|id| store.read(id).unwrap().is_none())
        .map(SessionId::key)
        .collect();
    assert!(!gone.is_empty());
    assert_eq!(report.lost_count as usize, gone.len());
    assert_eq!(report.lost.iter().collect::<BTreeSet<_>>(), gone.iter().collect());
}

#[test]
fn no_damage_makes_a_salvage_panic_or_bring_back_an_ended_session() {
    let file = Damaged::new();
    let whole = fs::read(file.path()).unwrap();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for round in 0..60 {
        let mut bytes = whole.clone();
        match round % 5 {
            0 => (0..=round).for_each(|_| bytes[next(whole.len())] ^= 1 << next(8)),
            1 => bytes[next(whole.len() / PAGE) * PAGE..][..PAGE].fill(0),
            2 => bytes.truncate(next(whole.len())),
            3 => {
                let (from, to) = (next(whole.len() / PAGE), next(whole.len() / PAGE));
                bytes.copy_within(from * PAGE..(from + 1) * PAGE, to * PAGE);
            }
            _ => (0..20).for_each(|_| bytes[next(400)] = next(256) as u8),
        }
        fs::write(file.path(), &bytes).unwrap();
        let _ = fs::remove_file(file.new_path());
        match salvage(file.path(), file.new_path()) {
            Ok(report) => {
                let store = open(&file.new_path());
                assert!(store.check().unwrap().is_sound());
                assert_eq!(store.len().unwrap(), report.kept);
                assert_eq!(file.count(&store, &file.ended), 0, "round {round}");
            }
            Err(Error::NotASessionStore { .. } | Error::UnsupportedFormat { .. }) => {}
            Err(error) => panic!("round {round}: {error:?}"),
        }
    }
}
