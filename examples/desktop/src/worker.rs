//! The calls that may block, on a separate thread, so that the window never blocks.
//!
//! Invariant: the session id stays on this thread; the window gets only what the user may see. A
//! login that is not kept ends with the window.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use sessile::{Error, SessionId, SessionKey, SessionOptions, SessionStore};

use crate::accounts::{self, Password};
use crate::content::{self, Desk, NOT_KEPT};
use crate::kept::{Keeper, Place};
use crate::rescue;
use crate::state::{Home, Job, Other, Outcome, Report};
use crate::words::{Kind, Trouble};

const FILE: &str = "sessions.redb";
/// How long one attempt waits for another window to close. The window starts the next attempt until
/// its user stops it.
const ONE_WAIT: Duration = Duration::from_millis(500);
/// How long a start waits for a program that is just closing, before the user is told.
const JUST_CLOSING: Duration = Duration::from_millis(300);

const EXPOSED: &str =
    "Log in again: other users may have read the id of your login, so it has ended.";

/// The callback by which the worker reports to the window.
pub type Tell = Arc<dyn Fn(Report) + Send + Sync>;

/// The worker: the open store and the login.
pub struct Worker {
    file: PathBuf,
    computer: String,
    keeper: Keeper,
    store: Option<SessionStore<Desk>>,
    login: Option<(SessionId, Place)>,
    tell: Tell,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Worker").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker for the store in this folder, which is not opened yet.
    #[must_use]
    pub fn new(folder: &Path, computer: String, tell: Tell) -> Self {
        let (file, keeper) = (folder.join(FILE), Keeper::of(folder));
        Self { file, computer, keeper, store: None, login: None, tell }
    }

    /// Does one job.
    ///
    /// # Errors
    ///
    /// The failure, in words for the user.
    pub fn run(&mut self, job: Job) -> Result<Outcome, Trouble> {
        match job {
            Job::Open { wait } => self.open(wait),
            Job::Rescue { include_stale } => self.unless_it_opens(|it| it.rescue(include_stale)),
            Job::BeginEmpty => self.unless_it_opens(|it| {
                rescue::put_aside(&it.file)?;
                it.open(false)
            }),
            Job::LogIn { name, password, place } => self.log_in(&name, &password, place),
            Job::AddNote(note) => self.add_note(&note),
            Job::Refresh => self.home(None),
            Job::EndOne(key) => self.end_one(&key),
            Job::EndOthers => self.end_others(),
            Job::LogOut => self.log_out(),
            Job::Forget => self.forget(),
        }
    }

    /// Ends a login that is not kept, and closes the store.
    ///
    /// # Errors
    ///
    /// If the last writes fail. The file recovers when it is opened next.
    pub fn close(&mut self) -> Result<(), Trouble> {
        let Some(store) = self.store.take() else { return Ok(()) };
        if let Some((id, Place::Nowhere)) = self.login.take() {
            store.destroy(&id)?;
        }
        Ok(store.close()?)
    }

    fn open(&mut self, wait: bool) -> Result<Outcome, Trouble> {
        // A store from before, for instance after a failed sync, is closed and opened again.
        if let Some(store) = self.store.take() {
            drop(store.close());
        }
        let tell = Arc::clone(&self.tell);
        let settings = content::settings()?
            .open_timeout(if wait { ONE_WAIT } else { JUST_CLOSING })
            .on_recovery(move |recovery| tell(Report::Recovering(recovery.progress())));
        self.store = Some(settings.open(&self.file)?);
        if self.login.is_none() {
            if let Some(id) = self.keeper.exposed() {
                self.store()?.destroy(&id)?;
                return Ok(Outcome::Login(Some(EXPOSED.into())));
            }
            self.login = match self.keeper.find() {
                Ok(found) => found.map(|(place, id)| (id, place)),
                Err(error) => return Ok(Outcome::Login(Some(format!("Log in again: {error}.")))),
            };
        }
        match self.login {
            Some(_) => self.home(None),
            None => Ok(Outcome::Login(None)),
        }
    }

    /// Replaces a damaged file, unless another window has done so since the user was asked.
    fn unless_it_opens(
        &mut self,
        replace: impl FnOnce(&mut Self) -> Result<Outcome, Trouble>,
    ) -> Result<Outcome, Trouble> {
        let _lock = rescue::lock(&self.file)?;
        match self.open(false) {
            Err(trouble) if trouble.kind == Kind::Damaged => {
                // The file may have opened, and a read may have found the damage.
                self.store = None;
                replace(self)
            }
            opened => opened,
        }
    }

    fn rescue(&self, include_stale: bool) -> Result<Outcome, Trouble> {
        let tell = Arc::clone(&self.tell);
        let tell = move |step| tell(Report::Step(step));
        rescue::rescue(&self.file, include_stale, &tell).map(Outcome::Rescued)
    }

    fn log_in(
        &mut self,
        name: &str,
        password: &Password,
        place: Place,
    ) -> Result<Outcome, Trouble> {
        if !accounts::is_right(name, password) {
            return Ok(Outcome::Login(Some("The name or the password is wrong.".into())));
        }
        let mut options = SessionOptions::new().user(name);
        if place == Place::Nowhere {
            // The window ends this login when it closes; the timeouts end it if it is killed.
            options = options.inactivity(NOT_KEPT).absolute(NOT_KEPT);
        }
        let notes = Vec::new();
        let desk = Desk { computer: self.computer.clone(), notes };
        let mut session = self.store()?.create_with(desk, &options)?;
        let id = session.id().clone();
        // A login that cannot be kept is still a login, as short as any that is not kept.
        let kept = self.keeper.keep(place, &id);
        let is_kept = if kept.is_ok() { place } else { Place::Nowhere };
        if kept.is_err() {
            session.set_timeouts(NOT_KEPT, NOT_KEPT)?;
            if let Err(error) = self.store()?.update(&mut session) {
                // Nobody has the id of a long login that could be neither kept nor shortened.
                let _ = self.store()?.destroy(&id);
                return Err(error.into());
            }
        }
        self.login = Some((id, is_kept));
        self.home(
            kept.err().map(|error| format!("You are logged in until this window closes: {error}.")),
        )
    }

    fn add_note(&mut self, note: &str) -> Result<Outcome, Trouble> {
        let (store, id) = self.session()?;
        let saved = store.modify(id, |session| session.content_mut().notes.push(note.into()))?;
        match saved {
            Some(_) => self.home(None),
            None => Err(self.gone()),
        }
    }

    /// Ends a session only if it is this user's; the store checks both in one step.
    fn end_one(&mut self, key: &SessionKey) -> Result<Outcome, Trouble> {
        let (store, id) = self.session()?;
        let Some(session) = store.read(id)? else { return Err(self.gone()) };
        let Some(user) = session.user() else { return Err(self.gone()) };
        let notice = match store.destroy_of(user.clone(), key)? {
            true => "That computer is logged out.",
            false => "That computer was logged out already.",
        };
        self.home(Some(notice.into()))
    }

    fn end_others(&mut self) -> Result<Outcome, Trouble> {
        let (store, id) = self.session()?;
        let Some(session) = store.read(id)? else { return Err(self.gone()) };
        let ended = store.destroy_others(&session)?;
        let computers = crate::words::counted(ended, "other login");
        self.home(Some(format!("{computers} ended.")))
    }

    /// Ends the session before it forgets the id, since an id without a session gives no login.
    fn log_out(&mut self) -> Result<Outcome, Trouble> {
        let (store, id) = self.session()?;
        store.destroy(id)?;
        self.login = None;
        let notice = match self.keeper.forget() {
            Ok(()) => "You are logged out.".into(),
            Err(error) => format!("You are logged out. The kept id cannot be removed: {error}."),
        };
        Ok(Outcome::Login(Some(notice)))
    }

    /// Forgets the kept id of a damaged session, as its user wants. The store keeps the session.
    fn forget(&mut self) -> Result<Outcome, Trouble> {
        self.keeper.forget()?;
        self.login = None;
        Ok(Outcome::Login(None))
    }

    /// The screen of a logged-in user. Showing it extends the session's lifetime.
    fn home(&mut self, notice: Option<String>) -> Result<Outcome, Trouble> {
        let (store, id) = self.session()?;
        let session = match store.read_and_extend(id) {
            Ok(Some(session)) => session,
            Ok(None) => return Err(self.gone()),
            Err(error) => return Err(error.into()),
        };
        let Some(user) = session.user() else { return Err(self.gone()) };
        let all = store.sessions_of_with(user.clone())?;
        let others = all.into_iter().filter(|other| other.info().key() != session.key());
        let home = Home {
            user: user.to_string(),
            computer: session.content().computer.clone(),
            place: self.login.as_ref().map_or(Place::Nowhere, |(_, place)| *place),
            notes: session.content().notes.clone(),
            others: others
                .map(|other| Other {
                    key: other.info().key(),
                    last_active: other.info().last_active(),
                    // One that cannot be read can be ended.
                    computer: other
                        .into_content()
                        .map_or("an unknown computer".into(), |desk| desk.computer),
                })
                .collect(),
        };
        Ok(Outcome::Home(home, notice))
    }

    fn store(&self) -> Result<&SessionStore<Desk>, Trouble> {
        Ok(self.store.as_ref().ok_or(Error::Closed)?)
    }

    fn session(&self) -> Result<(&SessionStore<Desk>, &SessionId), Trouble> {
        let (id, _) = self.login.as_ref().ok_or_else(no_login)?;
        Ok((self.store()?, id))
    }

    /// Forgets the kept id of a session that has ended.
    fn gone(&mut self) -> Trouble {
        self.login = None;
        match self.keeper.forget() {
            Ok(()) => no_login(),
            Err(error) => Trouble { detail: error.to_string(), ..no_login() },
        }
    }
}

fn no_login() -> Trouble {
    Trouble {
        kind: Kind::Gone,
        sentence: "Your login has ended. Log in again.".into(),
        detail: String::new(),
    }
}

/// The window's link to the worker's thread.
#[derive(Debug)]
pub struct Link {
    jobs: Option<Sender<Job>>,
    reports: Receiver<Report>,
}

impl Link {
    /// Starts the thread. `wake` is called when there is a report.
    ///
    /// # Errors
    ///
    /// If the system starts no thread.
    pub fn start(
        folder: &Path,
        computer: String,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, to_do) = mpsc::channel::<Job>();
        let (told, reports) = mpsc::channel();
        let tell: Tell = Arc::new(move |report| {
            // A window that has closed takes no reports.
            drop(told.send(report));
            wake();
        });
        let mut worker = Worker::new(folder, computer, Arc::clone(&tell));
        thread::Builder::new().name("store".into()).spawn(move || {
            for job in to_do {
                tell(Report::Done(worker.run(job)));
            }
            if let Err(trouble) = worker.close() {
                eprintln!("closing: {}", trouble.detail);
            }
        })?;
        Ok(Self { jobs: Some(jobs), reports })
    }

    /// Sends a job, which runs after the earlier ones.
    pub fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(job));
        }
    }

    /// The next report, if there is one.
    pub fn report(&mut self) -> Option<Report> {
        match self.reports.try_recv() {
            Ok(report) => Some(report),
            Err(TryRecvError::Empty) => None,
            // While the window is open, only a panic ends the thread. It is reported once.
            Err(TryRecvError::Disconnected) => self.jobs.take().map(|_| {
                Report::Done(Err(Trouble {
                    kind: Kind::Other,
                    sentence: "The program has made a mistake. Close it and start it again.".into(),
                    detail: "the thread that has the store ended".into(),
                }))
            }),
        }
    }

    /// Waits until the store is closed, for a limited time. A rescue may end with the program, and
    /// a keyring may be waiting for its user.
    pub fn close(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        self.jobs = None;
        let until = Instant::now() + PATIENCE;
        // The channel of reports closes when the thread ends.
        while self.reports.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableTable as _, TableDefinition};

    use super::*;

    /// Changes the checksum of the first record, in an otherwise sound file. redb alone does that.
    fn damage_a_record(file: &Path) {
        const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
        let database = Database::open(file).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(SESSIONS).unwrap();
        let first = table.first().unwrap();
        let (key, mut record) =
            first.map(|(key, record)| (*key.value(), record.value().to_vec())).unwrap();
        *record.last_mut().unwrap() ^= 1;
        table.insert(&key, &*record).unwrap();
        drop(table);
        transaction.commit().unwrap();
    }

    #[test]
    fn a_damaged_session_is_told_and_its_id_is_kept_until_its_user_logs_in_again() {
        let folder = tempfile::tempdir().unwrap();
        let start = || Worker::new(folder.path(), "attic".into(), Arc::new(drop));
        let (open, kept) = (Job::Open { wait: false }, folder.path().join("login"));
        let mut worker = start();
        worker.run(open.clone()).unwrap();
        let password = Password::new("correct horse".into());
        worker.run(Job::LogIn { name: "ann".into(), password, place: Place::File }).unwrap();
        worker.close().unwrap();
        damage_a_record(&folder.path().join(FILE));

        let mut worker = start();
        for job in [open, Job::AddNote("tea".into()), Job::Refresh] {
            assert_eq!(worker.run(job).unwrap_err().kind, Kind::Unreadable);
            assert!(kept.exists());
        }
        assert_eq!(worker.run(Job::Forget), Ok(Outcome::Login(None)));
        assert!(!kept.exists());
    }
}
