//! The screens of the program, and the events that lead from one to the next.
//!
//! Invariant: this module never blocks, draws or touches a file. The window hands in the user's
//! events and the worker's reports, and passes the resulting job on.

use std::time::SystemTime;

use sessile::SessionKey;

use crate::accounts::Password;
use crate::kept::Place;
use crate::rescue::{Step, Summary};
use crate::words::{Kind, Trouble};

/// A job for the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Open the file and log in with the kept id.
    Open {
        /// Whether to wait for another window to close.
        wait: bool,
    },
    /// Rescue the intact sessions of a damaged file.
    Rescue {
        /// Also rescue logins that may have ended since.
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
    /// List the user's sessions again.
    Refresh,
    /// End one of the user's other sessions.
    EndOne(SessionKey),
    /// End all of the user's other sessions.
    EndOthers,
    /// Log out.
    LogOut,
    /// Forget the login whose session is damaged.
    Forget,
}

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody is logged in; the notice may say why.
    Login(Option<String>),
    /// Somebody is logged in; the notice may say what was done.
    Home(Home, Option<String>),
    /// A damaged file was rescued.
    Rescued(Summary),
}

/// A report of the worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The file is being recovered, up to this share.
    Recovering(f64),
    /// A rescue is at this step.
    Step(Step),
    /// The job has ended.
    Done(Result<Outcome, Trouble>),
}

/// The screen of a logged-in user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The user's name.
    pub user: String,
    /// This computer's name.
    pub computer: String,
    /// Where the login is kept.
    pub place: Place,
    /// The notes.
    pub notes: Vec<String>,
    /// The user's other sessions, latest activity first.
    pub others: Vec<Other>,
}

/// Another session of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The session's key, which is no secret.
    pub key: SessionKey,
    /// The computer of the login.
    pub computer: String,
    /// When it was last active.
    pub last_active: SystemTime,
}

/// The remedies for a damaged file. Each is offered after the one before has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Rescue the sessions that checksums prove to be part of the last state.
    Whole,
    /// Rescue older states, too; logins that were ended come back.
    OlderStates,
    /// Put the file aside, and begin with an empty one.
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
        /// Whether this window waits for the other.
        waiting: bool,
        /// The failure to show.
        trouble: Trouble,
    },
    /// The file is damaged.
    Damaged {
        /// The failure to show.
        trouble: Trouble,
        /// Whether the user has agreed to the remedy.
        consent: bool,
        /// The remedy.
        offer: Offer,
    },
    /// A rescue is under way.
    Rescuing(Step),
    /// A rescue has ended well.
    Rescued(Summary),
    /// Nobody is logged in.
    Login,
    /// Somebody is logged in.
    Home(Home),
    /// The session of the login is damaged.
    Unreadable(Trouble),
    /// The disk is full.
    Full {
        /// The failure to show.
        trouble: Trouble,
        /// The failed job, for another try.
        job: Job,
        /// The screen before the failure.
        back: Box<Screen>,
    },
    /// Something else is wrong.
    Failed(Trouble),
}

/// An action of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The program has started.
    Start,
    /// Try the failed job again.
    TryAgain,
    /// Give the failed job up and go back.
    Back,
    /// Wait until the other window closes.
    Wait,
    /// Stop waiting.
    StopWaiting,
    /// Agree to a remedy, or withdraw the consent.
    Consent(bool),
    /// Apply the remedy that was agreed to.
    Agreed,
    /// Go on after a rescue.
    GoOn,
    /// Give a damaged session up and log in again.
    LogInAgain,
    /// Have the worker do a job.
    Do(Job),
}

/// The screen, and the job under way.
#[derive(Debug)]
pub struct Model {
    /// What the window shows.
    pub screen: Screen,
    /// A notice about the last job.
    pub notice: Option<String>,
    /// The note in the text field, which stays there until it is saved.
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
    /// Whether the worker has a job. The window starts no second job meanwhile.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Handles an action of the user. Returns a job for the worker.
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
            (Event::LogInAgain, Screen::Unreadable(_)) => self.start(Job::Forget),
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
            // A click on a part that has just disappeared.
            _ => None,
        }
    }

    /// Handles a report of the worker. Returns the next job for the worker.
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
            Outcome::Login(notice) => self.show_login(notice),
            Outcome::Home(home, notice) => {
                (self.screen, self.notice) = (Screen::Home(home), notice);
                if matches!(done, Some(Job::AddNote(_))) {
                    self.draft.clear();
                }
            }
            Outcome::Rescued(summary) => self.screen = Screen::Rescued(summary),
        }
    }

    /// The next user to log in may be another, who gets nothing of this one's.
    fn show_login(&mut self, notice: Option<String>) {
        (self.screen, self.notice) = (Screen::Login, notice);
        self.draft.clear();
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
                // These jobs show their progress, so going back from them is a new start.
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
                self.show_login(Some(trouble.sentence));
                None
            }
            (Kind::Unreadable, _) => {
                self.screen = Screen::Unreadable(trouble);
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
