//! Rescuing the sessions of damaged files: every kind of damage, and the sessions that must not
//! come back.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sessile::{
    Error, Salvage, SalvageProgress, SalvageReport, SalvageStep, SessionId, SessionStore, salvage,
};

/// The first byte of a leaf page in redb.
const LEAF: u8 = 1;
const PAGE: usize = 4096;

type Store = SessionStore<Vec<u8>>;

struct Damaged {
    folder: tempfile::TempDir,
    /// Live sessions, and sessions that were ended before the store was closed.
    live: Vec<SessionId>,
    ended: Vec<SessionId>,
    /// The file before any of them was ended.
    before: Vec<u8>,
}

fn open(path: &Path) -> Store {
    SessionStore::builder().content_name("test").manual_maintenance().open(path).unwrap()
}

impl Damaged {
    /// A store of some hundred sessions of all sizes, a third of them ended.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("sessions.redb"));
        let mut sessions: Vec<_> = (0..300_usize)
            .map(|number| {
                let len = if number % 50 == 7 { 20_000 } else { number };
                store.create_for_user(number as u64 % 7, vec![number as u8; len]).unwrap()
            })
            .collect();
        for session in sessions.iter_mut().step_by(4) {
            session.content_mut().push(1);
            store.update(session).unwrap();
        }
        // Closing writes all changes into the pages.
        store.close().unwrap();
        let before = fs::read(folder.path().join("sessions.redb")).unwrap();
        let store = open(&folder.path().join("sessions.redb"));
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        for (number, session) in sessions.iter().enumerate() {
            let id = session.id().clone();
            if number % 3 == 0 {
                assert!(store.destroy(&id).unwrap());
                ended.push(id);
            } else {
                live.push(id);
            }
        }
        store.close().unwrap();
        Self { folder, live, ended, before }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.redb")
    }

    fn new_path(&self) -> PathBuf {
        self.folder.path().join("new.redb")
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path()).unwrap();
        change(&mut bytes);
        fs::write(self.path(), bytes).unwrap();
    }

    /// Makes old pages lie in the file, as free pages do until they are reused.
    fn keep_old_pages(&self) {
        self.change(|bytes| bytes.extend(&self.before));
    }

    /// Destroys the signature by which the file is recognised as a store.
    fn destroy_marks(&self) {
        self.change(|bytes| {
            let mark = b"sessile store\x1A\r\n";
            while let Some(at) = bytes.windows(mark.len()).position(|window| window == mark) {
                bytes[at] ^= 1;
            }
        });
    }

    /// Salvages, and checks what must hold for every salvage.
    fn salvaged(&self, how: &Salvage) -> (SalvageReport, Store) {
        let _ = fs::remove_file(self.new_path());
        let before = fs::read(self.path()).unwrap();
        let report = how.run(self.path(), self.new_path()).unwrap();
        assert!(fs::read(self.path()).unwrap() == before, "the damaged file is left as it is");
        assert!(crate::child::is_private(&self.new_path()));
        assert_eq!(self.names(), ["new.redb", "sessions.redb"]);
        let store = open(&self.new_path());
        let checked = store.check().unwrap();
        assert!(checked.is_sound(), "{:?}", checked.problems);
        assert_eq!(checked.sessions, report.kept);
        (report, store)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn count(&self, store: &Store, ids: &[SessionId]) -> usize {
        ids.iter().filter(|id| store.read(id).unwrap().is_some()).count()
    }

    /// The pages that contain the key of a session.
    fn pages_with(&self, id: &SessionId) -> Vec<usize> {
        let bytes = fs::read(self.path()).unwrap();
        let key = *id.key().as_bytes();
        let positions = (0..bytes.len() - 16).filter(|at| bytes[*at..at + 16] == key);
        positions.map(|at| at / PAGE).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

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
fn without_its_header_a_file_gives_nothing_unless_what_is_stale_is_asked_for() {
    let file = Damaged::new();
    file.change(|bytes| bytes[..PAGE].fill(0));
    let (report, store) = file.salvaged(&Salvage::new());
    assert_eq!((report.kept, report.opened), (0, false));
    assert!(report.stale as usize >= file.live.len());
    drop(store);
    let (report, store) = file.salvaged(&Salvage::new().include_stale(true));
    assert_eq!(report.kept, report.stale);
    assert_eq!(file.count(&store, &file.live), file.live.len());
    // The latest version of each session.
    for id in &file.live {
        let session = store.read(id).unwrap().unwrap();
        let content = session.content();
        assert!(content.is_empty() || content.len() < 300 || content.len() >= 20_000);
    }
}

#[test]
fn the_latest_version_of_a_session_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("sessions.redb"), folder.path().join("new.redb"));
    let store = open(&path);
    let mut session = store.create(vec![1]).unwrap();
    let first = fs::read(&path).unwrap();
    *session.content_mut() = vec![2];
    store.update(&mut session).unwrap();
    store.close().unwrap();
    let last = fs::read(&path).unwrap();
    // Both versions lie in the file, in either order, and no header leads to one of them.
    for parts in [[&first, &last], [&last, &first]] {
        let mut bytes = parts.map(Vec::as_slice).concat();
        bytes[..PAGE].fill(0);
        fs::write(&path, bytes).unwrap();
        let _ = fs::remove_file(&new);
        let report = Salvage::new().include_stale(true).run(&path, &new).unwrap();
        assert_eq!((report.kept, report.stale), (1, 1));
        let store = Store::open(&new).unwrap();
        assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), [2]);
    }
}

#[test]
fn an_old_page_in_the_place_of_a_newer_one_brings_no_session_back() {
    let file = Damaged::new();
    let store = open(&file.path());
    let ended = store.create(vec![1]).unwrap().id().clone();
    store.close().unwrap();
    let before = fs::read(file.path()).unwrap();
    let old = file.pages_with(&ended);
    let store = open(&file.path());
    store.destroy(&ended).unwrap();
    store.close().unwrap();
    let is_leaf_of_sessions = |page: &usize| {
        let start = page * PAGE;
        let pairs = usize::from(u16::from_le_bytes([before[start + 2], before[start + 3]]));
        let first_end = u32::from_le_bytes(before[start + 4..start + 8].try_into().unwrap());
        before[start] == 1
            && (first_end as usize).checked_sub(4 + pairs * 20).is_some_and(|len| len < 400)
    };
    let old: Vec<_> = old.into_iter().filter(is_leaf_of_sessions).collect();
    assert!(!old.is_empty());
    // As if the disk had lost the later writes of every page.
    file.change(|bytes| {
        for page in 1..bytes.len() / PAGE {
            if bytes[page * PAGE] == 1 {
                bytes[page * PAGE..][..PAGE].copy_from_slice(&before[old[0] * PAGE..][..PAGE]);
            }
        }
    });
    let new = file.new_path();
    let report = salvage(file.path(), &new).unwrap();
    assert!(report.stale > 0 && report.unreadable_pages > 0, "{report:?}");
    assert!(open(&new).read(&ended).unwrap().is_none());
}

#[test]
fn what_a_crash_left_is_recovered_first() {
    let file = Damaged::new();
    let store = open(&file.path());
    let session = store.create(vec![5]).unwrap();
    // The bytes on the disk now are those that a killed process leaves.
    let crashed = file.folder.path().join("crashed.redb");
    fs::copy(file.path(), &crashed).unwrap();
    let new = file.new_path();
    assert!(matches!(salvage(file.path(), &new), Err(Error::AlreadyOpen { .. })));
    store.close().unwrap();
    let report = salvage(&crashed, &new).unwrap();
    assert!(report.opened);
    assert!(open(&new).read(session.id()).unwrap().is_some());
}

#[test]
fn a_salvage_replaces_nothing_and_leaves_nothing_behind() {
    let file = Damaged::new();
    let new = file.new_path();
    fs::write(&new, b"precious").unwrap();
    assert!(matches!(salvage(file.path(), &new), Err(Error::Io { .. })));
    assert_eq!(fs::read(&new).unwrap(), b"precious");
    fs::remove_file(&new).unwrap();

    for bytes in [vec![], b"To whom it may concern".to_vec(), vec![0; 100_000]] {
        fs::write(file.path(), bytes).unwrap();
        let error = salvage(file.path(), &new).unwrap_err();
        assert!(matches!(error, Error::NotASessionStore { .. }), "{error:?}");
        assert_eq!(file.names(), ["sessions.redb"]);
    }
    #[cfg(unix)]
    {
        let pipe = file.folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(salvage(&pipe, &new), Err(Error::NotARegularFile { .. })));
        fs::remove_file(pipe).unwrap();
    }
    let error = salvage(file.folder.path().join("missing.redb"), &new).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert_eq!(file.names(), ["sessions.redb"]);
}

/// Both code paths of a salvage: for a file that opens, and for one that does not.
fn ways() -> [Damaged; 2] {
    let (sound, marked) = (Damaged::new(), Damaged::new());
    marked.destroy_marks();
    [sound, marked]
}

#[test]
fn a_salvage_tells_how_far_it_is_and_each_step_comes_to_its_end() {
    for (file, last) in ways().into_iter().zip([SalvageStep::Sessions, SalvageStep::Pages]) {
        let mut told: Vec<SalvageProgress> = Vec::new();
        let salvage = Salvage::new();
        let report = salvage.run_with(file.path(), file.new_path(), |progress| {
            told.push(progress);
            ControlFlow::Continue(())
        });
        assert_eq!(report.unwrap().kept, file.live.len() as u64);
        let copied = told.iter().rfind(|told| told.step == SalvageStep::Copying).unwrap();
        assert_eq!(copied.done, fs::metadata(file.path()).unwrap().len());
        assert_eq!(copied.total, Some(copied.done));
        let end = told.last().unwrap();
        assert_eq!((end.step, end.total), (last, Some(end.done)));
        for pair in told.windows(2).filter(|pair| pair[0].step == pair[1].step) {
            assert!(pair[0].done < pair[1].done, "{pair:?}");
        }
    }
}

#[test]
fn a_salvage_that_is_called_off_at_any_time_leaves_nothing_behind() {
    for file in ways() {
        for at in (0..).step_by(37) {
            let mut calls = 0;
            let result = Salvage::new().run_with(file.path(), file.new_path(), |_| {
                calls += 1;
                if calls > at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match result {
                Ok(report) => {
                    assert!(calls <= at && report.kept > 0);
                    break;
                }
                Err(Error::CalledOff { action: "salvage" }) => {
                    assert_eq!(calls, at + 1, "it goes on after it was called off");
                }
                Err(error) => panic!("{error:?}"),
            }
            assert_eq!(file.names(), ["sessions.redb"]);
        }
    }
}

#[test]
fn a_panic_of_who_is_told_goes_on_and_leaves_nothing_behind() {
    for file in ways() {
        for step in [SalvageStep::Copying, SalvageStep::Sessions] {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                Salvage::new().run_with(file.path(), file.new_path(), |told| {
                    assert!(told.step != step, "the caller's own");
                    ControlFlow::Continue(())
                })
            }));
            let message = panicked.unwrap_err();
            assert_eq!(*message.downcast_ref::<&str>().unwrap(), "the caller's own");
            assert_eq!(file.names(), ["sessions.redb"]);
        }
        assert!(salvage(file.path(), file.new_path()).unwrap().kept > 0);
    }
}

#[test]
fn a_salvage_leaves_every_other_file_alone_the_damaged_one_above_all() {
    let file = Damaged::new();
    let place = |name: &str| file.folder.path().join(name);
    // The damaged or the rescued file may have a name derived from the new file's name.
    for (damaged, new) in [("t.new", "t"), ("u.copy", "u"), ("v.redb", "v.redb.new")] {
        fs::copy(file.path(), place(damaged)).unwrap();
        if damaged != "u.copy" {
            fs::write(place(&format!("{new}.copy")), b"somebody's").unwrap();
        }
        let before = fs::read(place(damaged)).unwrap();
        let kept = salvage(place(damaged), place(new)).unwrap().kept;
        assert_eq!(kept, file.live.len() as u64, "{damaged}");
        assert!(fs::read(place(damaged)).unwrap() == before, "{damaged}");
        assert_eq!(
            fs::read(place(&format!("{new}.copy"))).unwrap(),
            match new {
                "u" => before,
                _ => b"somebody's".to_vec(),
            }
        );
    }
    // The rescued store waits under this name, and the program is started before it is moved.
    let rescued = fs::read(place("v.redb.new")).unwrap();
    fs::remove_file(place("v.redb")).unwrap();
    drop(open(&place("v.redb")));
    assert!(fs::read(place("v.redb.new")).unwrap() == rescued);
    assert_eq!(file.count(&open(&place("v.redb.new")), &file.live), file.live.len());
}

#[test]
fn what_comes_to_the_new_place_while_a_salvage_runs_is_not_replaced() {
    let file = Damaged::new();
    let new = file.new_path();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Once the draft is there; the salvage checked the name before it created the draft.
            while file.names().len() == 1 && !over.load(std::sync::atomic::Ordering::Relaxed) {}
            let _ = fs::OpenOptions::new().write(true).create_new(true).open(&new);
        });
        let result = salvage(file.path(), &new);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        // Whichever was first.
        match result {
            Ok(report) => assert_eq!(report.kept, file.live.len() as u64),
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "{error:?}");
                assert_eq!(fs::metadata(&new).unwrap().len(), 0);
            }
        }
    });
    assert_eq!(file.names(), ["new.redb", "sessions.redb"]);
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

#[test]
fn what_stands_in_the_log_of_a_file_that_cannot_be_opened_counts() {
    let file = Damaged::new();
    let store = open(&file.path());
    let created = store.create(vec![5]).unwrap().id().clone();
    assert!(store.destroy(&file.live[0]).unwrap());
    // As a killed process leaves it, with one damaged page.
    let mut bytes = fs::read(file.path()).unwrap();
    store.close().unwrap();
    for page in file.pages_with(&file.live[5]) {
        bytes[page * PAGE + 100] ^= 0x40;
    }
    fs::write(file.path(), bytes).unwrap();
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened);
    assert!(store.read(&created).unwrap().is_some());
    assert!(store.read(&file.live[0]).unwrap().is_none(), "a logout is not undone");
    assert!(!report.lost.contains(&file.live[0].key()), "a session that was ended is not lost");
}

/// The index still names it.
#[test]
fn what_was_ended_in_the_log_alone_is_not_lost() {
    let file = Damaged::new();
    let store = open(&file.path());
    assert!(store.destroy(&file.live[0]).unwrap());
    // As a killed process leaves it.
    let bytes = fs::read(file.path()).unwrap();
    store.close().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file.destroy_marks();
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened);
    assert!(store.read(&file.live[0]).unwrap().is_none(), "a logout is not undone");
    assert_eq!((report.kept as usize, report.lost_count), (file.live.len() - 1, 0));
}
