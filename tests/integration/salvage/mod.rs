//! Rescuing the sessions of damaged files: every kind of damage, and the sessions that must not
//! come back.

mod damage;
mod ended;
mod under_way;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sessile::{Salvage, SalvageReport, SessionId, SessionStore};

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
