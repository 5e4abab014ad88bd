//! What every handle of a store shares, whatever its content type: the engine, the clock, the
//! limits, and the few steps that most methods begin with.
//!
//! The maintenance threads hold this and nothing above it, so that no reference cycle can form.

pub(crate) mod adoption;
pub(crate) mod failing;
pub(crate) mod guests;
mod telling;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::attachment::Attachment;
use crate::engine::contract::Engine;
use crate::engine::limits::{Limits, PerUser, UserLimit};
use crate::engine::outcome::{EngineStats, Insert, Sweep};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::process::Process;
use crate::random::RandomSource;
use crate::record::Record;
use crate::session::id::SessionId;
use crate::store::core::adoption::{Adoption, Sweeper, Sweeping};
use crate::store::core::failing::{Failing, Task};
use crate::store::events::dispatch::Events;
use crate::store::events::{EndReason, Event};
use crate::time::clock::{Clock, Timestamp};
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;
use crate::trace::span;

/// How many sessions one step of a sweep looks at. A writer waits for one step at most, so larger
/// steps would make writers wait. Each step pays for one sync, so smaller ones would make sweeps
/// slow.
pub(crate) const SWEEP_STEP: usize = 1_000;

/// How long a sweep pauses after a step while others write. An engine's tables take over what a
/// step removed, and writes take longer meanwhile. So a slower sweep delays fewer writes.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);
/// The names under which an engine keeps what concerns the whole store; see
/// docs/internals/format.md.
pub(crate) mod meta {
    pub(crate) const CONTENT_NAME: &str = "content_name";
    pub(crate) const TIMEOUTS: &str = "timeouts";
    pub(crate) const CREATED_AT: &str = "created_at";

    /// The current one of the names that a store keeps under [`CONTENT_NAME`], if it has any.
    pub(crate) fn current_name(kept: &[u8]) -> Option<String> {
        let name = kept.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())?;
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

/// The most ids drawn for one session. Two sound draws in a row are practically never both taken. A
/// generator that repeats itself must not hang the caller.
pub(crate) const MAX_DRAWS: u32 = 4;

pub(crate) fn repeated_draws() -> Error {
    let text = format!("{MAX_DRAWS} ids in a row were taken already: it repeats itself");
    Error::Generator { source: Arc::new(std::io::Error::other(text)) }
}

#[derive(Debug)]
pub(crate) struct StoreCore {
    pub(crate) process: Process,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn RandomSource>,
    pub(crate) timeouts: Timeouts,
    /// Holds this store's timeouts against another store's on the same engine, until it is closed.
    pub(crate) attachment: Mutex<Option<Attachment>>,
    pub(crate) adoption: Adoption,
    pub(crate) max_content_len: usize,
    pub(crate) max_sessions: u64,
    pub(crate) touch_interval: Duration,
    pub(crate) user_limit: Option<(u64, UserLimit)>,
    pub(crate) closed: AtomicBool,
    pub(crate) counters: Counters,
    /// Where the store's file is, if it was opened by its path.
    #[cfg_attr(not(all(feature = "admin", unix)), allow(dead_code, reason = "the door needs it"))]
    pub(crate) file: Option<PathBuf>,
    /// `None` where nobody is told anything.
    pub(crate) events: Option<Box<Events>>,
}

/// What [`Stats`](crate::Stats) reports besides the engine's own numbers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) swept: AtomicU64,
    pub(crate) damaged_records: AtomicU64,
    pub(crate) maintenance_failures: AtomicU64,
    pub(crate) failing: Mutex<Failing>,
    pub(crate) missed_promises: AtomicU64,
    /// The engine's numbers when observers were last told of what they say.
    pub(crate) engine_seen: Mutex<EngineStats>,
}

impl StoreCore {
    /// An error on a closed store and in a forked process. Every operation asks this first.
    pub(crate) fn ensure_open(&self) -> Result<()> {
        self.process.ensure_same()?;
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    /// The time of an operation, asked once; an error on a closed store. The caller's own code has
    /// run by then, so a slow closure does not make an old time decide.
    pub(crate) fn moment(&self) -> Result<Moment> {
        self.ensure_open()?;
        let now = Timestamp::from_system_time(self.clock.now())?;
        Ok(Moment { now, timeouts: self.timeouts })
    }

    /// The limits of the store.
    pub(crate) fn limits(&self) -> Limits {
        let per_user = self.user_limit.map(|(max, policy)| PerUser { max, policy });
        Limits { max_sessions: self.max_sessions, per_user }
    }

    /// The error of a user who may have no more sessions.
    pub(crate) fn user_full(&self) -> Error {
        Error::UserFull { max: self.user_limit.map_or(u64::MAX, |(max, _)| max) }
    }

    /// Stores a new record under a new id, which comes with its key. Another id is drawn if the
    /// first is taken, and expired sessions make room before the store says that it is full.
    pub(crate) fn insert(
        &self,
        record: &Record,
        moment: Moment,
    ) -> Result<(SessionId, SessionKey)> {
        for _ in 0..MAX_DRAWS {
            let id = SessionId::draw_from(&*self.random)?;
            // A digest, which takes a part of the time of a create: once.
            let key = id.key();
            loop {
                let beginning = self.begin(key);
                match self.engine.insert(&key, record.clone(), moment, self.limits())? {
                    Insert::Done(ended) => {
                        self.tell_created(beginning, key, record);
                        self.tell_ended(&ended, EndReason::OverUserLimit);
                        return Ok((id, key));
                    }
                    Insert::Occupied => break,
                    Insert::UserFull => return Err(self.user_full()),
                    Insert::Full => {
                        let sweep = self.sweep_step(moment)?;
                        if sweep.removed.is_empty() && !sweep.more {
                            return Err(Error::Full { max: self.max_sessions });
                        }
                    }
                }
            }
        }
        Err(repeated_draws())
    }

    /// Removes everything expired, in steps, each a transaction of its own. As long as shorter
    /// timeouts than those on record wait to be adopted, only what is expired under both.
    pub(crate) fn sweep(&self, sweeper: Sweeper) -> Result<u64> {
        match self.adoption.decide(self.moment()?.now, sweeper) {
            Sweeping::Own => self.sweep_all(),
            Sweeping::AfterAdoption => {
                self.adopt_timeouts()?;
                self.sweep_all()
            }
            Sweeping::Lenient(_) => {
                let swept = self.sweep_all();
                // It moved index entries to the deadlines that it went by.
                let reindexed = self.engine.reindex(&self.timeouts);
                swept.and_then(|swept| reindexed.map(|()| swept))
            }
        }
    }

    /// Adopts shorter timeouts when the store is closed, if it was open for a whole interval. A
    /// failure is not reported: the next opening finds the former ones on record.
    pub(crate) fn adopt_timeouts_if_due(&self) {
        let adopted = || match Timestamp::from_system_time(self.clock.now()) {
            Ok(now) if self.adoption.is_due(now) => self.note_timeouts(),
            _ => Ok(()),
        };
        if self.adoption.on_record().is_some() {
            let _ = catch_unwind(AssertUnwindSafe(adopted));
        }
    }

    /// Puts the store's timeouts on record, if others are. From then on sweeps go by them.
    pub(crate) fn adopt_timeouts(&self) -> Result<()> {
        self.ensure_open()?;
        self.note_timeouts()
    }

    fn note_timeouts(&self) -> Result<()> {
        let Some(steps) = self.adoption.lenient_steps() else { return Ok(()) };
        // A step that made room may have moved entries since the store was opened.
        self.engine.reindex(&self.timeouts)?;
        self.engine.store_meta(meta::TIMEOUTS, &self.timeouts.to_bytes())?;
        match self.adoption.done() {
            // And another one since.
            Some(later) if later != steps => self.engine.reindex(&self.timeouts),
            _ => Ok(()),
        }
    }

    fn sweep_all(&self) -> Result<u64> {
        let mut removed = 0;
        loop {
            // Asked for each step: a long sweep must not go by the time at which it began.
            let sweep = self.sweep_step(self.moment()?)?;
            removed += sweep.removed.len() as u64;
            if !sweep.more {
                return Ok(removed);
            }
            if sweep.busy {
                std::thread::sleep(PAUSE);
            }
        }
    }

    pub(crate) fn sweep_step(&self, moment: Moment) -> Result<Sweep> {
        let _span = span!(DEBUG, "sweep");
        let lenient = self.adoption.lenient();
        let moment = Moment { timeouts: lenient.unwrap_or(moment.timeouts), ..moment };
        let swept = self.engine.remove_expired(moment, SWEEP_STEP);
        if let Ok(sweep) = &swept {
            self.counters.swept.fetch_add(sweep.removed.len() as u64, Ordering::Relaxed);
            self.tell_ended(&sweep.removed, EndReason::Expired);
        }
        if lenient.is_some() && self.adoption.ends_lenient_step() {
            self.engine.reindex(&self.timeouts)?;
        }
        swept
    }

    /// One step of a sweep in the background.
    pub(crate) fn sweep_step_by_thread(&self, begins_round: bool) -> Result<Sweep> {
        let moment = self.moment()?;
        let sweeping = match begins_round {
            true => self.adoption.decide(moment.now, Sweeper::Thread),
            false => Sweeping::Own,
        };
        if sweeping == Sweeping::AfterAdoption {
            self.adopt_timeouts()?;
        }
        self.sweep_step_of_round(moment)
    }

    /// One step of a sweep whose steps are asked for one by one. The last makes the index right, if
    /// they went by longer timeouts.
    pub(crate) fn sweep_step_of_round(&self, moment: Moment) -> Result<Sweep> {
        let sweep = self.sweep_step(moment)?;
        if !sweep.more && self.adoption.lenient().is_some() {
            self.engine.reindex(&self.timeouts)?;
        }
        Ok(sweep)
    }

    /// What became of a background task.
    pub(crate) fn note(&self, task: Task, outcome: Result<()>) {
        let failure = outcome.err();
        let failed = failure.is_some();
        if let Some(error) = &failure {
            self.counters.maintenance_failures.fetch_add(1, Ordering::Relaxed);
            self.tell(|| Event::MaintenanceFailed { task: task.into(), error: error.clone() });
        }
        let before = self.counters.failing.lock().note(task, failure);
        if before.is_some() && !failed {
            self.tell(|| Event::MaintenanceRecovered { task: task.into() });
        }
        drop(before);
    }

    /// Passes a result on, and counts a damaged record where there is one.
    pub(crate) fn counting_damage<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::DamagedRecord { key, .. }) = &result {
            self.note_damage(*key);
        }
        result
    }
}
