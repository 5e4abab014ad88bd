//! The screens alone and with the worker, without a window or a thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::worker::Worker;
use crate::{content, rescue};

fn trouble(kind: Kind) -> Trouble {
    Trouble { kind, sentence: "a sentence".into(), detail: "a detail".into() }
}

fn failing(kind: Kind) -> Report {
    Report::Done(Err(trouble(kind)))
}

fn home() -> Home {
    Home {
        user: "ann".into(),
        computer: "attic".into(),
        place: Place::File,
        notes: vec![],
        others: vec![],
    }
}

fn at_home() -> Model {
    Model { screen: Screen::Home(home()), ..Model::default() }
}

fn login(place: Place) -> Job {
    let password = Password::new("correct horse".into());
    Job::LogIn { name: "ann".into(), password, place }
}

#[test]
fn a_second_start_waits_for_as_long_as_its_user_wants() {
    let mut model = Model::default();
    let open = |wait| Some(Job::Open { wait });
    assert_eq!(model.handle(Event::Start), open(false));
    assert_eq!(model.take(failing(Kind::Held)), None);
    assert!(matches!(model.screen, Screen::Held { waiting: false, .. }));

    assert_eq!(model.handle(Event::Wait), open(true));
    for _ in 0..3 {
        assert_eq!(model.take(failing(Kind::Held)), open(true), "it waits no longer");
    }
    assert_eq!(model.handle(Event::StopWaiting), None);
    assert_eq!(model.take(failing(Kind::Held)), None);
    assert!(matches!(model.screen, Screen::Held { waiting: false, .. }));

    assert_eq!(model.handle(Event::Wait), open(true));
    assert_eq!(model.take(Report::Done(Ok(Outcome::Login(None)))), None);
    assert_eq!(model.screen, Screen::Login);
}

#[test]
fn nothing_is_rescued_without_consent() {
    let mut model = Model::default();
    let _ = model.handle(Event::Start);
    let _ = model.take(failing(Kind::Damaged));
    assert_eq!(model.handle(Event::Agreed), None);
    assert_eq!(model.handle(Event::Consent(true)), None);
    assert_eq!(model.handle(Event::Consent(false)), None);
    assert_eq!(model.handle(Event::Agreed), None);
    assert_eq!(model.handle(Event::Consent(true)), None);
    let whole = Job::Rescue { include_stale: false };
    assert_eq!(model.handle(Event::Agreed), Some(whole));

    // Older states bring ended logins back, and need separate consent.
    let _ = model.take(failing(Kind::OlderStates));
    assert_eq!(model.handle(Event::Agreed), None);
    let _ = model.handle(Event::Consent(true));
    assert_eq!(model.handle(Event::Agreed), Some(Job::Rescue { include_stale: true }));

    // Nothing is found: beginning with an empty file needs separate consent.
    let _ = model.take(failing(Kind::Damaged));
    assert!(matches!(model.screen, Screen::Damaged { offer: Offer::Empty, consent: false, .. }));
    assert_eq!(model.handle(Event::Agreed), None);
    let _ = model.handle(Event::Consent(true));
    assert_eq!(model.handle(Event::Agreed), Some(Job::BeginEmpty));
}

#[test]
fn what_a_full_disk_refused_is_tried_again_or_left_and_the_text_stays() {
    let mut model = at_home();
    model.draft = "tea".into();
    let add = Job::AddNote("tea".into());
    assert_eq!(model.handle(Event::Do(add.clone())), Some(add.clone()));
    let _ = model.take(failing(Kind::Full));
    assert!(matches!(model.screen, Screen::Full { .. }));
    assert_eq!(model.handle(Event::Back), None);
    assert_eq!((&model.screen, &*model.draft), (&Screen::Home(home()), "tea"));

    let _ = model.handle(Event::Do(add.clone()));
    let _ = model.take(failing(Kind::Full));
    assert_eq!(model.handle(Event::TryAgain), Some(add));
    let _ = model.take(Report::Done(Ok(Outcome::Home(home(), None))));
    assert_eq!((&model.screen, &*model.draft), (&Screen::Home(home()), ""));
}

#[test]
fn whoever_logs_in_next_finds_no_text_of_the_user_before() {
    let ends: [(Job, Report); 2] = [
        (Job::LogOut, Report::Done(Ok(Outcome::Login(None)))),
        (Job::Refresh, failing(Kind::Gone)),
    ];
    for (job, report) in ends {
        let mut model = at_home();
        model.draft = "for ann alone".into();
        let _ = model.handle(Event::Do(job));
        let _ = model.take(report);
        assert_eq!((&model.screen, &*model.draft), (&Screen::Login, ""));
    }
}

#[test]
fn one_job_at_a_time_and_each_on_its_own_screen() {
    let mut model = at_home();
    assert_eq!(model.handle(Event::Do(login(Place::File))), None);
    assert_eq!(model.handle(Event::Do(Job::AddNote("  ".into()))), None);
    assert_eq!(model.handle(Event::Do(Job::Refresh)), Some(Job::Refresh));
    assert_eq!(model.handle(Event::Do(Job::LogOut)), None, "a second one at once");
    let _ = model.take(failing(Kind::Gone));
    assert_eq!((&model.screen, model.notice.as_deref()), (&Screen::Login, Some("a sentence")));
    assert_eq!(model.handle(Event::Do(Job::LogOut)), None, "nobody is logged in");
}

#[test]
fn the_login_of_a_damaged_session_is_forgotten_only_if_its_user_wants() {
    let mut model = Model::default();
    assert_eq!(model.handle(Event::LogInAgain), None);
    let _ = model.handle(Event::Start);
    assert_eq!(model.take(failing(Kind::Unreadable)), None);
    assert!(matches!(model.screen, Screen::Unreadable(_)));
    assert_eq!(model.handle(Event::LogInAgain), Some(Job::Forget));
}

#[test]
fn every_kind_of_trouble_shows_and_leaves_the_program_usable() {
    for kind in [
        Kind::Held,
        Kind::Damaged,
        Kind::OlderStates,
        Kind::Full,
        Kind::Gone,
        Kind::Unreadable,
        Kind::Refused,
        Kind::Other,
    ] {
        for job in [Job::AddNote("tea".into()), Job::Refresh, Job::EndOthers, Job::LogOut] {
            let mut model = at_home();
            let _ = model.handle(Event::Do(job));
            let _ = model.take(failing(kind));
            assert!(!model.is_busy(), "{kind:?}");
            let told = model.notice.is_some() || model.screen != Screen::Home(home());
            assert!(told, "{kind:?} is told to nobody");
        }
    }
}

/// The window and the worker on one thread.
struct Program {
    model: Model,
    worker: Worker,
    told: Arc<Mutex<Vec<Report>>>,
}

impl Program {
    fn start(folder: &Path) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&told);
        let tell = Arc::new(move |report| to.lock().unwrap().push(report));
        let worker = Worker::new(folder, "attic".into(), tell);
        let mut program = Self { model: Model::default(), worker, told };
        program.handle(Event::Start);
        program
    }

    fn handle(&mut self, event: Event) {
        let mut job = self.model.handle(event);
        while let Some(next) = job {
            let done = self.worker.run(next);
            for report in std::mem::take(&mut *self.told.lock().unwrap()) {
                let _ = self.model.take(report);
            }
            job = self.model.take(Report::Done(done));
        }
    }

    /// Applies the remedy that the window offers.
    fn agree(&mut self) {
        assert!(matches!(self.model.screen, Screen::Damaged { .. }), "{:?}", self.model.screen);
        self.handle(Event::Consent(true));
        self.handle(Event::Agreed);
    }

    fn home(&self) -> &Home {
        match &self.model.screen {
            Screen::Home(home) => home,
            other => panic!("nobody is logged in: {other:?}"),
        }
    }

    /// Ends the program without closing anything. `tests/desktop/run` kills a process.
    fn vanish(self) {
        drop(self);
    }
}

#[test]
fn a_login_that_is_kept_survives_its_window_and_one_that_is_not_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    assert_eq!(program.model.screen, Screen::Login);
    program.handle(Event::Do(login(Place::File)));
    program.handle(Event::Do(Job::AddNote("tea".into())));
    assert_eq!(program.home().notes, ["tea"]);
    program.vanish();

    let mut program = Program::start(folder.path());
    assert_eq!((&*program.home().user, program.home().place), ("ann", Place::File));
    program.handle(Event::Do(Job::LogOut));
    assert_eq!(program.model.screen, Screen::Login);
    program.handle(Event::Do(login(Place::Nowhere)));
    program.worker.close().unwrap();

    let mut program = Program::start(folder.path());
    assert_eq!(program.model.screen, Screen::Login);
    program.handle(Event::Do(login(Place::File)));
    assert_eq!(program.home().others, [], "a login that was not kept has ended with its window");
}

#[test]
fn a_login_that_cannot_be_kept_ends_as_soon_as_one_that_is_not_to_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    // A folder that is not empty takes the place of the file that would hold the id.
    fs::create_dir_all(folder.path().join("login.new/taken")).unwrap();
    program.handle(Event::Do(login(Place::File)));
    assert_eq!(program.home().place, Place::Nowhere);
    assert!(program.model.notice.as_ref().unwrap().contains("until this window closes"));

    program.vanish();
    let store = content::settings().unwrap().open(folder.path().join("sessions.redb")).unwrap();
    let sessions = store.sessions_of("ann").unwrap();
    let [left] = &sessions[..] else { panic!("{sessions:?}") };
    let life = left.expires_at().duration_since(left.last_active()).unwrap();
    assert!(life <= content::NOT_KEPT, "{life:?}");
}

#[test]
fn a_wrong_password_is_told_and_logs_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    let password = Password::new("guess".into());
    let wrong = Job::LogIn { name: "ann".into(), password, place: Place::File };
    program.handle(Event::Do(wrong));
    assert_eq!(program.model.screen, Screen::Login);
    assert!(program.model.notice.is_some());
    assert!(!folder.path().join("login").exists());
}

#[test]
fn other_computers_are_listed_and_ended_and_those_of_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = content::settings().unwrap().open(folder.path().join("sessions.redb")).unwrap();
    let desk = |name: &str| content::Desk { computer: name.into(), notes: vec![] };
    let [laptop, phone, _] =
        ["laptop", "phone", "tablet"].map(|name| store.create_for_user("ann", desk(name)).unwrap());
    let bobs = store.create_for_user("bob", desk("tower")).unwrap();
    store.close().unwrap();

    let mut program = Program::start(folder.path());
    program.handle(Event::Do(login(Place::File)));
    let mut names: Vec<_> =
        program.home().others.iter().map(|other| other.computer.clone()).collect();
    names.sort();
    assert_eq!(names, ["laptop", "phone", "tablet"]);
    program.handle(Event::Do(Job::EndOne(bobs.key())));
    assert_eq!(program.home().others.len(), 3, "bob's is not ann's to end");
    program.handle(Event::Do(Job::EndOne(laptop.key())));
    assert_eq!(program.home().others.len(), 2);
    program.handle(Event::Do(Job::EndOthers));
    assert_eq!(program.home().others, []);
    program.worker.close().unwrap();

    let store = content::settings().unwrap().open(folder.path().join("sessions.redb")).unwrap();
    assert!(store.read(laptop.id()).unwrap().is_none());
    assert!(store.read(phone.id()).unwrap().is_none());
    assert!(store.read(bobs.id()).unwrap().is_some());
}

#[test]
fn a_session_that_was_ended_elsewhere_leads_to_the_login_and_is_kept_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    program.handle(Event::Do(login(Place::File)));
    program.worker.close().unwrap();
    let store = content::settings().unwrap().open(folder.path().join("sessions.redb")).unwrap();
    store.destroy_all_of("ann").unwrap();
    store.close().unwrap();

    let program = Program::start(folder.path());
    assert_eq!(program.model.screen, Screen::Login);
    assert!(program.model.notice.is_some());
    assert!(!folder.path().join("login").exists());
}

/// A folder with a file of which nothing can be rescued, and the file.
fn with_nothing_left() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.redb");
    fs::write(&file, vec![0xA5; 50_000]).unwrap();
    (folder, file)
}

#[test]
fn a_file_of_which_nothing_is_left_is_put_aside_with_consent() {
    let (folder, _) = with_nothing_left();
    let mut program = Program::start(folder.path());
    program.agree();
    program.agree();
    assert_eq!(program.model.screen, Screen::Login);
    let aside = fs::read(folder.path().join("sessions.damaged-1.redb")).unwrap();
    assert_eq!(aside, vec![0xA5; 50_000]);
}

#[test]
fn a_late_window_replaces_no_file_that_another_one_has_begun() {
    for (is_open, offers) in [(true, 1), (true, 2), (false, 1), (false, 2)] {
        let (folder, _) = with_nothing_left();
        let [mut first, mut late] = [(), ()].map(|()| Program::start(folder.path()));
        // The second offer is an empty file.
        (1..offers).for_each(|_| late.agree());
        (0..2).for_each(|_| first.agree());
        first.handle(Event::Do(login(Place::File)));
        first.handle(Event::Do(Job::AddNote("tea".into())));
        if !is_open {
            first.worker.close().unwrap();
        }
        late.agree();
        match is_open {
            true => assert!(matches!(late.model.screen, Screen::Held { .. })),
            false => assert_eq!(late.home().notes, ["tea"]),
        }
        assert!(!folder.path().join("sessions.damaged-2.redb").exists());
    }
}

#[test]
fn a_window_that_replaces_the_file_keeps_others_from_it() {
    let (folder, file) = with_nothing_left();
    let mut program = Program::start(folder.path());
    let replacing = rescue::lock(&file).unwrap();
    program.agree();
    assert!(matches!(program.model.screen, Screen::Held { .. }), "{:?}", program.model.screen);
    drop(replacing);
    program.handle(Event::Wait);
    program.agree();
    assert!(matches!(program.model.screen, Screen::Damaged { offer: Offer::Empty, .. }));
}

#[test]
fn an_empty_file_that_a_full_disk_has_refused_is_begun_at_the_next_try() {
    let (folder, file) = with_nothing_left();
    let mut program = Program::start(folder.path());
    program.agree();
    // Putting it aside needs no room. Creating a file does.
    rescue::put_aside(&file).unwrap();
    program.agree();
    assert_eq!(program.model.screen, Screen::Login);
}

#[test]
fn nothing_that_is_shown_or_printed_has_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    program.handle(Event::Do(login(Place::File)));
    let id = fs::read_to_string(folder.path().join("login")).unwrap();
    assert_eq!(id.len(), sessile::SessionId::ENCODED_LEN);
    let shown = format!("{:?} {:?}", program.model, program.worker);
    assert!(!shown.contains(&id) && !shown.contains("correct horse"), "{shown}");
}
