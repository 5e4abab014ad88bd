//! The state that all handles of a store share, whatever their content type: the engine, the clock,
//! the limits, and the steps that most methods begin with.
//!
//! The maintenance threads hold this core and nothing above it, so no reference cycle can form.

mod adopting;
pub(crate) mod adoption;
pub(crate) mod failing;
pub(crate) mod guests;
mod telling;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::caught::caught;
use crate::engine::attachment::Attachment;
use crate::engine::contract::Engine;
use crate::engine::limits::{Limits, PerUser, UserLimit};
use crate::engine::outcome::{Insert, Sweep};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::process::Process;
use crate::random::RandomSource;
use crate::record::Record;
use crate::session::id::SessionId;
use crate::store::core::adoption::{Adoption, Sweeper, Sweeping};
use crate::store::core::failing::{Failing, Task};
use crate::store::core::telling::Seen;
use crate::store::events::dispatch::Events;
use crate::store::events::{EndReason, Event};
use crate::time::clock::{Clock, Timestamp};
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;
use crate::trace::span;

/// The most sessions that one step of a sweep examines. A writer waits for one step at most, so
/// larger steps delay writers. Each step costs one sync, so smaller steps make sweeps slow.
pub(crate) const SWEEP_STEP: usize = 1_000;

/// The pause of a sweep after a step while others write. The engine moves the deletions of a step
/// into its tables later, which slows writes. So a slower sweep delays fewer writes.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);
/// The most steps of a sweep that a create waits for. A later create continues.
const STEPS_FOR_ROOM: u32 = 64;
/// The names of an engine's metadata about the whole store; see docs/internals/format.md.
pub(crate) mod meta {
    pub(crate) const CONTENT_NAME: &str = "content_name";
    pub(crate) const TIMEOUTS: &str = "timeouts";
    /// The timeouts of the program that has the store open. No engine stores them: the client of
    /// an admin socket answers with what the program says.
    pub(crate) const TIMEOUTS_IN_USE: &str = "timeouts_in_use";
    pub(crate) const CREATED_AT: &str = "created_at";

    /// Separates two content names, so no name may contain it.
    pub(crate) const SEPARATOR: char = '\0';

    /// The most bytes of a content name.
    const MAX_NAME_LEN: usize = 255;

    /// The rule for content names that a text breaks.
    pub(crate) fn rule_broken_by(name: &str) -> Option<&'static str> {
        match name {
            "" => Some("must have 1 to 255 bytes"),
            name if name.len() > MAX_NAME_LEN => Some("must have 1 to 255 bytes"),
            name if name.contains(SEPARATOR) => Some("must not contain NUL"),
            _ => None,
        }
    }

    /// The current one of the content names that a store keeps under [`CONTENT_NAME`], if it has
    /// any.
    pub(crate) fn current_name(kept: &[u8]) -> Option<String> {
        let name = kept.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())?;
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

/// The most ids drawn for one session. With a sound generator, two taken ids in a row are
/// practically impossible. The limit keeps a generator that repeats itself from hanging the caller.
pub(crate) const MAX_DRAWS: u32 = 4;

/// Why the outcome of a creation is unknown.
#[derive(Debug, thiserror::Error)]
#[error("{0} times in a row the server did not say whether it stored the session")]
struct Unanswered(u32);

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
    /// Keeps stores with other timeouts off the engine, until this store is closed.
    pub(crate) attachment: Mutex<Option<Attachment>>,
    pub(crate) adoption: Adoption,
    pub(crate) max_content_len: usize,
    pub(crate) max_sessions: u64,
    pub(crate) touch_interval: Duration,
    pub(crate) user_limit: Option<(u64, UserLimit)>,
    pub(crate) closed: AtomicBool,
    pub(crate) counters: Counters,
    /// The path of the store's file, if it was opened by its path.
    pub(crate) file: Option<PathBuf>,
    /// `None` if nobody observes the store.
    pub(crate) events: Option<Box<Events>>,
}

/// The counters that [`Stats`](crate::Stats) adds to the engine's own.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) swept: AtomicU64,
    pub(crate) damaged_records: AtomicU64,
    pub(crate) maintenance_failures: AtomicU64,
    pub(crate) failing: Mutex<Failing>,
    pub(crate) missed_promises: AtomicU64,
    /// The work of the engine that observers have been told of.
    pub(crate) engine_seen: Mutex<Seen>,
}

impl StoreCore {
    /// Fails on a closed store and in a forked process. Every operation begins with this check.
    pub(crate) fn ensure_open(&self) -> Result<()> {
        self.process.ensure_same()?;
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    /// Returns the time and timeouts of an operation; fails on a closed store. Called once an
    /// operation, after the caller's own code, so that a slow closure does not make an old time
    /// decide.
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

    /// The error for a user who may have no more sessions.
    pub(crate) fn user_full(&self) -> Error {
        Error::UserFull { max: self.user_limit.map_or(u64::MAX, |(max, _)| max) }
    }

    /// Stores a new record under a new id, and returns the id with its key. Draws another id if the
    /// first is taken, or if a server did not say whether it stored the session.
    pub(crate) fn insert(
        &self,
        record: &Record,
        moment: Moment,
    ) -> Result<(SessionId, SessionKey)> {
        for draw in 1..=MAX_DRAWS {
            let id = SessionId::draw_from(&*self.random)?;
            // One digest for each id: it takes a measurable part of a create.
            let key = id.key();
            if self.insert_under(key, record, moment, self.limits())? {
                return Ok((id, key));
            }
            // A server that answered no insert may store a session under its key later.
            if draw > 1 && self.is_free(&key) {
                return Err(Error::OutcomeUnknown { source: Arc::new(Unanswered(draw)) });
            }
        }
        Err(repeated_draws())
    }

    /// Whether there is certainly no record under a key, live or expired.
    pub(crate) fn is_free(&self, key: &SessionKey) -> bool {
        matches!(self.engine.load(key, Moment::BEGINNING), Ok(None))
    }

    /// Stores a new record under a key; `false` if the key is taken. Sweeps expired sessions before
    /// it reports a full store.
    pub(crate) fn insert_under(
        &self,
        key: SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<bool> {
        loop {
            let beginning = self.begin(key);
            match self.engine.insert(&key, record.clone(), moment, limits)? {
                Insert::Done(ended) => {
                    self.tell_created(beginning, key, record);
                    self.tell_ended(&ended, EndReason::OverUserLimit);
                    return Ok(true);
                }
                Insert::Occupied | Insert::Lost => return Ok(false),
                Insert::UserFull => return Err(self.user_full()),
                Insert::Full if self.sweep_for_room(moment)? => {}
                Insert::Full => return Err(Error::Full { max: self.max_sessions }),
            }
        }
    }

    /// Sweeps until a step has removed a session; `false` if none did.
    fn sweep_for_room(&self, moment: Moment) -> Result<bool> {
        if self.adoption.was_full(moment.now) {
            return Ok(false);
        }
        let mut left = STEPS_FOR_ROOM;
        let removed = loop {
            // Before an adoption no later create could continue, because the index is rebuilt.
            left -= u32::from(self.adoption.lenient().is_none());
            match self.sweep_step(moment, &|| true) {
                Ok(sweep) if sweep.removed.is_empty() && sweep.more && left > 0 => {}
                step => break step.map(|sweep| !sweep.removed.is_empty()),
            }
        };
        let removed = self.with_index_restored(removed, &|| true)?;
        if !removed {
            self.adoption.note_full(moment.now);
        }
        Ok(removed)
    }

    /// Deletes all expired sessions, in steps of one transaction each. While shorter timeouts than
    /// those on record wait for adoption, only sessions expired under both are deleted.
    pub(crate) fn sweep(&self, sweeper: Sweeper) -> Result<u64> {
        match self.adoption.decide(self.moment()?.now, sweeper) {
            Sweeping::Own => self.sweep_all(),
            Sweeping::AfterAdoption => {
                self.adopt_timeouts(&|| true)?;
                self.sweep_all()
            }
            Sweeping::Lenient(_) => self.with_index_restored(self.sweep_all(), &|| true),
        }
    }

    /// Passes on the result of a sweep. If it went by longer timeouts, it moved index entries to
    /// their deadlines: the index is rebuilt, after a failed step too. If `goes_on` ends that, the
    /// index is right for the timeouts on record, which still count.
    fn with_index_restored<T>(&self, swept: Result<T>, goes_on: &dyn Fn() -> bool) -> Result<T> {
        let restored = match self.adoption.lenient_steps() {
            Some(steps) => self.engine.reindex(&self.timeouts, goes_on).map(|is_whole| {
                if is_whole {
                    self.adoption.restored(steps);
                }
            }),
            None => Ok(()),
        };
        swept.and_then(|swept| restored.map(|()| swept))
    }

    /// Adopts waiting timeouts when the store closes, if it was open for a whole interval. A
    /// failure is not reported: the next opening finds the former timeouts on record. Nobody waits
    /// for a pass over all sessions: if the index may be late, one step of it must be enough.
    pub(crate) fn adopt_timeouts_if_due(&self) {
        let adopted = || match Timestamp::from_system_time(self.clock.now()) {
            Ok(now) if self.adoption.is_due(now) => {
                let is_right = self.adoption.is_restored() && self.engine.server_time()?.is_none();
                let one_step: &dyn Fn() -> bool = &|| false;
                self.note_timeouts((!is_right).then_some(one_step))
            }
            _ => Ok(false),
        };
        if self.adoption.on_record().is_some() {
            let _ = caught(|| adopted().is_ok());
        }
    }

    fn sweep_all(&self) -> Result<u64> {
        let mut removed = 0;
        loop {
            // The time is read for each step, so that a long sweep does not go by its beginning.
            let sweep = self.sweep_step(self.moment()?, &|| true)?;
            removed += sweep.removed.len() as u64;
            if !sweep.more {
                return Ok(removed);
            }
            if sweep.busy {
                std::thread::sleep(PAUSE);
            }
        }
    }

    pub(crate) fn sweep_step(&self, moment: Moment, goes_on: &dyn Fn() -> bool) -> Result<Sweep> {
        let _span = span!(DEBUG, "sweep");
        if !self.follow_an_adoption(goes_on)? {
            return Ok(Sweep { more: true, ..Sweep::default() });
        }
        let is_lenient = self.adoption.begins_step();
        let remove =
            |timeouts| self.engine.remove_expired(Moment { timeouts, ..moment }, SWEEP_STEP);
        let swept = self.indexed_by().and_then(remove);
        if let Ok(sweep) = &swept {
            self.counters.swept.fetch_add(sweep.removed.len() as u64, Ordering::Relaxed);
            self.tell_ended(&sweep.removed, EndReason::Expired);
        }
        if is_lenient && self.adoption.ends_lenient_step() {
            self.reindex()?;
        }
        swept
    }

    /// The timeouts by which sweeps delete, and by which the latest index entries may stand.
    pub(crate) fn indexed_by(&self) -> Result<Timeouts> {
        match self.adoption.lenient() {
            Some(lenient) => Ok(lenient),
            None => Ok(self.longer_of_other_hosts()?.unwrap_or(self.timeouts)),
        }
    }

    /// The longer of each timeout, if another host of a server has put a longer one on record since
    /// this store was opened: during a deploy, its sessions are live on that host.
    fn longer_of_other_hosts(&self) -> Result<Option<Timeouts>> {
        if self.engine.server_time()?.is_none() {
            return Ok(None);
        }
        let on_record = self.engine.load_meta(meta::TIMEOUTS)?;
        // If somebody removed it, a host that opens the store later has to find it.
        let note = || self.engine.init_meta(meta::TIMEOUTS, &self.timeouts.to_bytes());
        let on_record = on_record.map_or_else(note, Ok)?;
        let longer = Timeouts::from_bytes(&on_record).map(|it| self.timeouts.longer_of_each(&it));
        Ok(longer.filter(|longer| *longer != self.timeouts))
    }

    /// Runs one step of a sweep on the background thread.
    pub(crate) fn sweep_step_by_thread(
        &self,
        begins_round: bool,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Sweep> {
        let moment = self.moment()?;
        let sweeping = match begins_round {
            true => self.adoption.decide(moment.now, Sweeper::Thread),
            false => Sweeping::Own,
        };
        if sweeping == Sweeping::AfterAdoption && !self.adopt_timeouts(goes_on)? {
            return Ok(Sweep { more: true, ..Sweep::default() });
        }
        self.sweep_step_of_round(moment, goes_on)
    }

    /// Runs one step of a sweep whose steps are called one by one. The last step rebuilds the index
    /// if the sweep went by longer timeouts.
    pub(crate) fn sweep_step_of_round(
        &self,
        moment: Moment,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Sweep> {
        let sweep = self.sweep_step(moment, goes_on)?;
        match sweep.more {
            true => Ok(sweep),
            false => self.with_index_restored(Ok(sweep), goes_on),
        }
    }

    /// Records the outcome of a background task. A task that a closing store refuses has not
    /// failed.
    pub(crate) fn note(&self, task: Task, outcome: Result<()>) {
        if matches!(outcome, Err(Error::Closed)) && self.closed.load(Ordering::Acquire) {
            return;
        }
        let failure = outcome.err();
        // Noted before it is told: an observer may look at the statistics.
        if failure.is_some() {
            self.counters.maintenance_failures.fetch_add(1, Ordering::Relaxed);
        }
        let before = self.counters.failing.lock().note(task, failure.clone());
        if let Some(error) = &failure {
            self.tell(|| Event::MaintenanceFailed { task: task.into(), error: error.clone() });
        } else if before.is_some() {
            self.tell(|| Event::MaintenanceRecovered { task: task.into() });
        }
        // The drop of an engine's error is the engine's code.
        let _ = caught(|| drop((before, failure)));
    }

    /// Passes a result on, and counts a damaged record.
    #[inline]
    pub(crate) fn counting_damage<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.noting_damage(error))
    }

    /// Counts a record that could not be read.
    #[cold]
    fn noting_damage(&self, error: Error) -> Error {
        if let Error::DamagedRecord { key, .. } = &error {
            self.note_damage(*key);
        }
        error
    }
}
