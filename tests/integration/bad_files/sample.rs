//! A small store whose every answer is known, and the calls on a damaged copy.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use sessile::testing::{ManualClock, RandomSource};
use sessile::{Session, SessionId, SessionOptions, SessionStore, Source, Timeouts};

use super::findings::Findings;
use crate::child::Numbers;

const MINUTE: Duration = Duration::from_secs(60);
const USERS: [&str; 2] = ["ann", "bob"];

/// Ids that are the same in each run.
#[derive(Debug)]
struct Seeded(Mutex<Numbers>);

impl RandomSource for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Source> {
        let mut numbers = self.0.lock().unwrap();
        bytes.fill_with(|| numbers.next() as u8);
        Ok(())
    }
}

fn open(
    path: &Path,
    clock: &ManualClock,
    seed: u64,
    verify: bool,
) -> sessile::Result<SessionStore<String>> {
    SessionStore::builder()
        .clock(clock.clone())
        .random_source(Seeded(Mutex::new(Numbers(seed))))
        .timeouts(Timeouts::new(10 * MINUTE, 100 * MINUTE).unwrap())
        .content_name("sample")
        .manual_maintenance()
        .verify_on_open(verify)
        .open(path)
}

/// A session as the sound file shows it.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    user: Option<String>,
    content: String,
    times: [std::time::SystemTime; 3],
    token: Option<String>,
}

impl Known {
    fn of(session: &Session<String>) -> Self {
        Self {
            user: session.user().map(|user| format!("{user:?}")),
            content: session.content().clone(),
            times: [session.created_at(), session.last_active(), session.expires_at()],
            token: session.csrf_token().map(|token| token.encode()),
        }
    }
}

/// The store, an older state of the same file, and all its right answers.
pub(crate) struct Sample {
    pub(crate) current: Vec<u8>,
    pub(crate) older: Vec<u8>,
    live: Vec<(SessionId, Known)>,
    gone: Vec<SessionId>,
    of_users: [usize; 2],
    /// The number of sessions past their deadline, and of those that expire in the next six
    /// minutes.
    swept: [u64; 2],
}

impl Sample {
    pub(crate) fn new(folder: &Path) -> Self {
        let (path, clock) = (folder.join("sample.redb"), ManualClock::new());
        let store = open(&path, &clock, 1, true).unwrap();
        let mut sessions: Vec<_> = (0..30_usize).map(|number| create(&store, number)).collect();
        let early = sessions.split_off(20);
        store.close().unwrap();
        let older = std::fs::read(&path).unwrap();

        let store = open(&path, &clock, 2, true).unwrap();
        clock.advance(MINUTE);
        let mut gone: Vec<_> = early.iter().map(|session| session.id().clone()).collect();
        for session in &early {
            assert!(store.destroy(session.id()).unwrap());
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            match number % 4 {
                0 => drop(store.extend_lifetime(session.id()).unwrap()),
                1 => {
                    *session.content_mut() = format!("{} again", session.content());
                    store.update(session).unwrap();
                }
                2 => {
                    gone.push(session.id().clone());
                    store.regenerate_id(session).unwrap();
                }
                _ => {}
            }
        }
        sessions.extend((30..40).map(|number| create(&store, number)));
        store.flush().unwrap();
        let known = |session: &Session<String>| {
            let read = store.read(session.id()).unwrap()?;
            Some((session.id().clone(), Known::of(&read)))
        };
        let live: Vec<_> = sessions.iter().filter_map(known).collect();
        let of_users = USERS.map(|user| store.sessions_of(user).unwrap().len());
        store.close().unwrap();
        let current = std::fs::read(&path).unwrap();
        let mut sample = Self { current, older, live, gone, of_users, swept: [0; 2] };

        let (store, clock) = sample.reopen(&path, true);
        let store = store.unwrap();
        sample.swept[0] = store.clean_up_expired().unwrap();
        clock.advance(6 * MINUTE);
        sample.swept[1] = store.clean_up_expired().unwrap();
        drop(store);
        std::fs::remove_file(&path).unwrap();
        assert!(sample.swept.iter().all(|swept| *swept > 0) && sample.live.len() > 20);
        sample
    }

    /// A minute after its first half was created.
    fn reopen(
        &self,
        path: &Path,
        verify: bool,
    ) -> (sessile::Result<SessionStore<String>>, ManualClock) {
        let clock = ManualClock::new();
        clock.advance(MINUTE);
        (open(path, &clock, 3, verify), clock)
    }

    /// Makes every call on a file: open, read, list, count, sweep, write, and all once more.
    pub(crate) fn question(&self, path: &Path, verify: bool) -> Findings {
        let mut findings = Findings::default();
        let (store, clock) = self.reopen(path, verify);
        let store = match store {
            Ok(store) => store,
            Err(error) => {
                findings.error("open", &error);
                return findings;
            }
        };
        self.read_all(&store, &mut findings);
        let live = self.live.len() as u64;
        findings.note("len", store.len(), &live);
        findings.note("for_each", self.visit(&store), &live);
        for (user, count) in USERS.iter().zip(&self.of_users) {
            let listed = store.sessions_of(*user);
            // A listing omits a damaged record, which is counted.
            let damaged = store.stats().map_or(0, |stats| stats.damaged_records);
            match listed {
                Ok(listed) if listed.len() < *count && damaged > 0 => findings.errors += 1,
                listed => findings.note("sessions_of", listed.map(|list| list.len()), count),
            }
        }
        findings.note("sweep", store.clean_up_expired(), &self.swept[0]);
        self.read_all(&store, &mut findings);
        let written = self.write(&store, &mut findings);
        clock.advance(6 * MINUTE);
        findings.note("sweep", store.clean_up_expired(), &self.swept[1]);
        if let Err(error) = store.close() {
            findings.error("close", &error);
        }
        match (open(path, &clock, 4, verify), written) {
            (Ok(store), Some(id)) => {
                let content = store.read(&id).map(|session| session.map(Session::into_content));
                findings.note("what was acknowledged", content, &Some("new and changed".into()));
            }
            (Ok(_), None) => {}
            (Err(error), _) => findings.error("open again", &error),
        }
        findings
    }

    fn read_all(&self, store: &SessionStore<String>, findings: &mut Findings) {
        for (id, known) in &self.live {
            let read = store.read(id).map(|session| session.as_ref().map(Known::of));
            findings.note("read", read, &Some(known.clone()));
        }
        for id in &self.gone {
            let read = store.read(id).map(|session| session.as_ref().map(Known::of));
            findings.note("read of what is gone", read, &None);
        }
    }

    /// The number of visited sessions, each with its own content.
    fn visit(&self, store: &SessionStore<String>) -> sessile::Result<u64> {
        let mut strange = 0;
        let visited = store.for_each(|info, content| {
            let found = self.live.iter().find(|(id, _)| id.key() == info.key());
            strange += u64::from(found.is_none_or(|(_, known)| known.content != content));
        })?;
        Ok(visited + 1_000 * strange)
    }

    /// The id of a session that was created and changed, if both calls were acknowledged.
    fn write(&self, store: &SessionStore<String>, findings: &mut Findings) -> Option<SessionId> {
        let options = SessionOptions::new().user("ann").inactivity(90 * MINUTE);
        let created = store.create_with("new".into(), &options);
        let id = match created {
            Ok(session) => session.id().clone(),
            Err(error) => {
                findings.error("create", &error);
                return None;
            }
        };
        match store.modify(&id, |session| session.content_mut().push_str(" and changed")) {
            Ok(Some(_)) => Some(id),
            Ok(None) => {
                findings.wrong("modify: what was just created is not there".into());
                None
            }
            Err(error) => {
                findings.error("modify", &error);
                None
            }
        }
    }
}

fn create(store: &SessionStore<String>, number: usize) -> Session<String> {
    let mut options = SessionOptions::new();
    if number % 3 < 2 {
        options = options.user(USERS[number % 3]);
    }
    if number.is_multiple_of(5) {
        options = options.csrf_token();
    }
    options = match number {
        7 | 11 | 37 => options.inactivity(Duration::from_millis(1)),
        _ if number % 10 == 9 => options.inactivity(5 * MINUTE),
        _ => options,
    };
    store.create_with(format!("content {number} ").repeat(5 + number), &options).unwrap()
}
