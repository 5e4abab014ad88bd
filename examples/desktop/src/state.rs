//! The screens of the program, and which event leads from one to the next.
//!
//! Invariant: nothing here waits, draws or touches a file. The window hands in what its user does
//! and what the worker reports, and passes on the job that comes out.

use std::time::SystemTime;

use sessile::SessionKey;

use crate::accounts::Password;
use crate::kept::Place;
use crate::rescue::{Step, Summary};
use crate::words::{Kind, Trouble};

/// What the worker is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Open the file, and log in with what was kept. With `wait`, for a moment longer.
    Open {
        /// Whether the user is waiting for another window to close.
        wait: bool,
    },
    /// Rescue what is whole of a damaged file.
    Rescue {
        /// Also logins that may have ended since.
        include_stale: bool,
    },
    /// Put a damaged file aside and begin with an empty one.
    BeginEmpty,
    /// Log in.
    LogIn {
        /// As typed.
        name: String,
        /// As typed.
        password: Password,
        /// Where the login is kept.
        place: Place,
    },
    /// Save one more note.
    AddNote(String),
    /// Look again who else is logged in.
    Refresh,
    /// End one of the user's other sessions.
    EndOne(SessionKey),
    /// End all of them.
    EndOthers,
    /// Log out.
    LogOut,
}

/// What a job has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody is logged in, perhaps with a word about why.
    Login(Option<String>),
    /// Somebody is, perhaps with a word about what was done.
    Home(Home, Option<String>),
    /// A damaged file was rescued.
    Rescued(Summary),
}

/// What the worker tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The file was not closed, and so much of its recovery is done.
    Recovering(f64),
    /// A rescue has come so far.
    Step(Step),
    /// The job has ended.
    Done(Result<Outcome, Trouble>),
}

/// What a logged-in user sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Who it is.
    pub user: String,
    /// This computer.
    pub computer: String,
    /// Where the login is kept.
    pub place: Place,
    /// The notes.
    pub notes: Vec<String>,
    /// The user's other sessions, the most recently active first.
    pub others: Vec<Other>,
}

/// Another session of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its public name.
    pub key: SessionKey,
    /// Where it was begun.
    pub computer: String,
    /// When it was last active.
    pub last_active: SystemTime,
}

/// What can be done about a damaged file; each is offered when the one before did not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Take what the checksums prove to be part of the last state.
    Whole,
    /// Take what is older, too; logins that were ended come back.
    OlderStates,
    /// Put the file aside, and begin with nothing.
    Empty,
}

/// What the window shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Screen {
    /// The file is being opened.
    Starting {
        /// How much of a recovery is done, if one is needed.
        recovered: Option<f64>,
    },
    /// Another window has the file.
    Held {
        /// Whether this one waits for it.
        waiting: bool,
        /// What to tell.
        trouble: Trouble,
    },
    /// The file is damaged.
    Damaged {
        /// What to tell.
        trouble: Trouble,
        /// Whether the user has agreed.
        consent: bool,
        /// What can be done.
        offer: Offer,
    },
    /// A rescue is under way.
    Rescuing(Step),
    /// A rescue has ended well.
    Rescued(Summary),
    /// Nobody is logged in.
    Login,
    /// Somebody is.
    Home(Home),
    /// The disk is full.
    Full {
        /// What to tell.
        trouble: Trouble,
        /// What could not be done, and is tried again.
        job: Job,
        /// Where the user was.
        back: Box<Screen>,
    },
    /// Something else is wrong.
    Failed(Trouble),
}

/// What the user does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The program has started.
    Start,
    /// Try again what did not work.
    TryAgain,
    /// Go back to where it did not work, and leave it.
    Back,
    /// Wait until the other window closes.
    Wait,
    /// Wait no longer.
    StopWaiting,
    /// Agree to a rescue, or take that back.
    Consent(bool),
    /// Go on to what was agreed to.
    Agreed,
    /// Go on after a rescue.
    GoOn,
    /// Have something done that needs no more than being done.
    Do(Job),
}

/// What is shown, and what is under way.
#[derive(Debug)]
pub struct Model {
    /// What the window shows.
    pub screen: Screen,
    /// A word about what was done last.
    pub notice: Option<String>,
    /// The note that is being written; it stays until it is saved.
    pub draft: String,
    under_way: Option<Job>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            screen: Screen::Starting { recovered: None },
            notice: None,
            draft: String::new(),
            under_way: None,
        }
    }
}

impl Model {
    /// Whether the worker has something to do. The window takes no second job meanwhile.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// What the user does; the answer is for the worker.
    #[must_use]
    pub fn handle(&mut self, event: Event) -> Option<Job> {
        if let (Event::StopWaiting, Screen::Held { waiting, .. }) = (&event, &mut self.screen) {
            *waiting = false;
            return None;
        }
        if self.is_busy() {
            return None;
        }
        self.notice = None;
        match (event, &mut self.screen) {
            (Event::Start, _) => self.start(Job::Open { wait: false }),
            (Event::Wait, Screen::Held { waiting, .. }) => {
                *waiting = true;
                self.start(Job::Open { wait: true })
            }
            (Event::Consent(agreed), Screen::Damaged { consent, .. }) => {
                *consent = agreed;
                None
            }
            (Event::Agreed, Screen::Damaged { consent: true, offer, .. }) => {
                let job = match offer {
                    Offer::Whole => Job::Rescue { include_stale: false },
                    Offer::OlderStates => Job::Rescue { include_stale: true },
                    Offer::Empty => Job::BeginEmpty,
                };
                self.start(job)
            }
            (Event::GoOn, Screen::Rescued(_)) | (Event::TryAgain, Screen::Failed(_)) => {
                self.screen = Screen::Starting { recovered: None };
                self.start(Job::Open { wait: false })
            }
            (Event::TryAgain, Screen::Full { job, back, .. }) => {
                let (job, back) = (job.clone(), (**back).clone());
                self.screen = back;
                self.start(job)
            }
            (Event::Back, Screen::Full { back, .. }) => {
                self.screen = (**back).clone();
                None
            }
            (Event::Do(job @ Job::LogIn { .. }), Screen::Login) => self.start(job),
            (Event::Do(Job::AddNote(note)), Screen::Home(_)) if note.trim().is_empty() => None,
            (
                Event::Do(
                    job @ (Job::AddNote(_)
                    | Job::Refresh
                    | Job::EndOne(_)
                    | Job::EndOthers
                    | Job::LogOut),
                ),
                Screen::Home(_),
            ) => self.start(job),
            // A click on what was just taken away.
            _ => None,
        }
    }

    /// What the worker tells; the answer is for the worker again.
    #[must_use]
    pub fn take(&mut self, report: Report) -> Option<Job> {
        match (report, &mut self.screen) {
            (Report::Recovering(progress), Screen::Starting { recovered }) => {
                *recovered = Some(progress);
                None
            }
            (Report::Recovering(_), _) => None,
            (Report::Step(step), screen) => {
                *screen = Screen::Rescuing(step);
                None
            }
            (Report::Done(Ok(outcome)), _) => {
                self.succeed(outcome);
                None
            }
            (Report::Done(Err(trouble)), _) => self.fail(trouble),
        }
    }

    fn start(&mut self, job: Job) -> Option<Job> {
        self.under_way = Some(job.clone());
        Some(job)
    }

    fn succeed(&mut self, outcome: Outcome) {
        let done = self.under_way.take();
        match outcome {
            Outcome::Login(notice) => {
                (self.screen, self.notice) = (Screen::Login, notice);
                self.draft.clear();
            }
            Outcome::Home(home, notice) => {
                (self.screen, self.notice) = (Screen::Home(home), notice);
                if matches!(done, Some(Job::AddNote(_))) {
                    self.draft.clear();
                }
            }
            Outcome::Rescued(summary) => self.screen = Screen::Rescued(summary),
        }
    }

    fn fail(&mut self, trouble: Trouble) -> Option<Job> {
        let job = self.under_way.take();
        match (trouble.kind, job) {
            (Kind::Held, job) => {
                let is_waiting = matches!(self.screen, Screen::Held { waiting: true, .. });
                let waits = is_waiting && matches!(job, Some(Job::Open { wait: true }));
                self.screen = Screen::Held { waiting: waits, trouble };
                if waits { self.start(Job::Open { wait: true }) } else { None }
            }
            (kind @ (Kind::Damaged | Kind::OlderStates), job) => {
                let offer = match (kind, job) {
                    (Kind::OlderStates, _) => Offer::OlderStates,
                    (_, Some(Job::Rescue { .. })) => Offer::Empty,
                    _ => Offer::Whole,
                };
                self.screen = Screen::Damaged { trouble, consent: false, offer };
                None
            }
            (Kind::Full, Some(job)) => {
                // A rescue had shown its steps.
                let back = match (&job, &self.screen) {
                    (Job::Open { .. } | Job::Rescue { .. } | Job::BeginEmpty, _) => {
                        Screen::Starting { recovered: None }
                    }
                    (_, screen) => screen.clone(),
                };
                self.screen = Screen::Full { trouble, job, back: Box::new(back) };
                None
            }
            (Kind::Gone, _) => {
                (self.screen, self.notice) = (Screen::Login, Some(trouble.sentence));
                None
            }
            (Kind::Refused, _) => {
                self.notice = Some(trouble.sentence);
                None
            }
            (Kind::Other | Kind::Full, _) => {
                self.screen = Screen::Failed(trouble);
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
