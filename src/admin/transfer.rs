//! Sessions from one engine to another, and back in step after the first has changed.
//!
//! Invariant: a session in the target is never replaced by an earlier revision of itself. Every
//! step is repeated without harm, so a transfer that was broken off is taken up by repeating it.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::admin::copying::{Keys, OnProgress, Progress, Steps, for_each_record};
use crate::admin::inspector::{Inspector, on_record};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{Insert, Replace};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::store::core::meta::{CONTENT_NAME, CREATED_AT, TIMEOUTS, current_name};
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// How often a session may change in the target while it is brought in step.
const TRIES: usize = 16;

/// What became of a transfer.
///
/// # Examples
///
/// See [`transfer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferReport {
    /// Sessions that the target did not have.
    pub copied: u64,
    /// Sessions that it had in an earlier revision, or active less lately, and has as they are now.
    pub updated: u64,
    /// Sessions that had ended in the source by the second pass, and were ended in the target.
    pub ended: u64,
    /// Sessions that are the same in both, by the comparison at the end.
    pub equal: u64,
    /// Sessions that are not, or only in one of the two, or damaged in the target. Where the source
    /// is in use they may have changed since the second pass.
    pub differing: Keys,
    /// Records of the source that are damaged, and so not in the target.
    pub damaged: Keys,
}

/// Brings every live session of one store into another, in two passes, and compares both at the
/// end. The second pass takes what has changed in the source during the first.
///
/// What ended in the source meanwhile ends in the target if the target was empty at the beginning,
/// or with `exact`: then the target holds nothing but what the source holds. A transfer that was
/// broken off has left something in the target, so repeat it with `exact` if nothing else is there.
///
/// A damaged record is neither copied nor replaced nor ended, on either side.
///
/// # Errors
///
/// [`Error::ContentMismatch`] if the target holds content of another name; [`Error::CalledOff`], or
/// when one of the two fails. What was copied stays; repeating it takes it up.
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow::Continue;
/// use sessile::{Inspector, MemoryEngine, SessionStore, admin};
///
/// let (from, to) = (std::sync::Arc::new(MemoryEngine::new()), MemoryEngine::new());
/// let store = SessionStore::<u32>::builder().engine(from.clone()).build()?;
/// store.create_for_user("ann", 1)?;
///
/// let (from, to) = (Inspector::on(from)?, Inspector::on(to)?);
/// let report = admin::transfer(&from, &to, false, &mut |_| Continue(()))?;
/// assert_eq!((report.copied, report.equal), (1, 1));
/// # Ok::<(), sessile::Error>(())
/// ```
pub fn transfer(
    from: &Inspector,
    to: &Inspector,
    exact: bool,
    progress: &mut OnProgress<'_>,
) -> Result<TransferReport> {
    let (source, target) = (from.engine(), to.engine());
    take_on_metadata(source, target)?;
    let kept_for = on_record(target)?.unwrap_or(Timeouts::ENDLESS);
    let exact = exact || target.stats()?.stored == 0;
    let timeouts = from.moment()?.timeouts;
    let mut report = TransferReport::default();
    let total = source.stats()?.stored.saturating_mul(3);
    let progress_so_far = Progress { done: 0, total: Some(total) };
    let mut steps = Steps { action: "copy", progress: progress_so_far, told: progress };
    for _pass in 0..2 {
        report.damaged = Keys::default();
        let TransferReport { copied, updated, damaged, .. } = &mut report;
        for_each_record(source, &mut steps, damaged, &mut |key, record| {
            let moment = Moment { timeouts, ..from.moment()? };
            if record.is_expired(moment) {
                return Ok(());
            }
            // The target's timeouts may be shorter, and its index must not be late by them.
            let deadline = record.deadline(&kept_for).min(record.index_deadline());
            match bring_in_step(target, &key, record.indexed_under(deadline), moment)? {
                Some(Step::Copied) => *copied += 1,
                Some(Step::Updated) => *updated += 1,
                None => {}
            }
            Ok(())
        })?;
        steps.progress.total = Some(total.max(steps.progress.done));
    }
    if exact {
        report.ended = end_what_ended(from, to)?;
    }
    target.flush()?;
    compare(from, to, &mut steps, &mut report)?;
    Ok(report)
}

/// What [`put_if_missing`] found.
pub(super) enum Stored {
    /// It was missing.
    Now,
    /// It is there, the same or active later.
    Already,
    /// Another is there.
    Differing(Record),
    /// One is there that cannot be read.
    Damaged,
}

/// What an engine holds under a key.
enum Found {
    Nothing,
    Sound(Record),
    /// It is there, whatever it was.
    Damaged,
}

impl Found {
    fn under(key: &SessionKey, engine: &dyn Engine, moment: Moment) -> Result<Self> {
        match engine.load(key, moment) {
            Ok(found) => Ok(found.map_or(Self::Nothing, Self::Sound)),
            Err(Error::DamagedRecord { .. }) => Ok(Self::Damaged),
            Err(error) => Err(error),
        }
    }

    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// Stores a record under a key where there is none.
pub(super) fn put_if_missing(
    engine: &dyn Engine,
    key: &SessionKey,
    record: Record,
    moment: Moment,
) -> Result<Stored> {
    for _ in 0..TRIES {
        match engine.insert(key, record.clone(), moment, Limits::NONE)? {
            Insert::Done(_) => return Ok(Stored::Now),
            Insert::Occupied => {}
            // Nothing limits it.
            Insert::Full => return Err(Error::Full { max: Limits::NONE.max_sessions }),
            Insert::UserFull => return Err(Error::UserFull { max: u64::MAX }),
        }
        // It may go between the two.
        match Found::under(key, engine, Moment::BEGINNING)? {
            Found::Nothing => {}
            Found::Damaged => return Ok(Stored::Damaged),
            Found::Sound(found) => {
                return Ok(match is_same(&found, &record) {
                    true if found.last_active() >= record.last_active() => Stored::Already,
                    _ => Stored::Differing(found),
                });
            }
        }
    }
    Err(Error::Conflict { key: *key })
}

enum Step {
    Copied,
    Updated,
}

/// Makes the target's session what the source's is, unless it is a later revision of it.
fn bring_in_step(
    target: &dyn Engine,
    key: &SessionKey,
    record: Record,
    moment: Moment,
) -> Result<Option<Step>> {
    for _ in 0..TRIES {
        let found = match put_if_missing(target, key, record.clone(), moment)? {
            Stored::Now => return Ok(Some(Step::Copied)),
            // What is damaged is named by the comparison.
            Stored::Already | Stored::Damaged => return Ok(None),
            Stored::Differing(found) => found,
        };
        if is_same(&found, &record) {
            // Only its last activity is earlier.
            let at = Moment { now: record.last_active(), timeouts: Timeouts::ENDLESS };
            target.extend(key, at, Duration::ZERO)?;
            return Ok(Some(Step::Updated));
        }
        if found.revision() >= record.revision() {
            return Ok(None);
        }
        let (expected, new) = (found.revision(), record.clone());
        match target.replace(key, expected, new, Moment::BEGINNING, Limits::NONE)? {
            Replace::Done(_) => return Ok(Some(Step::Updated)),
            // It has changed since.
            Replace::Conflict | Replace::Missing | Replace::UserFull => {}
        }
    }
    Err(Error::Conflict { key: *key })
}

/// Ends in the target what the source does not have any more.
fn end_what_ended(from: &Inspector, to: &Inspector) -> Result<u64> {
    let mut ended = 0;
    to.engine().scan(None, &mut |key, record| {
        // A damaged one is the target's own matter; one that is damaged in the source is there.
        if record.is_ok() && Found::under(&key, from.engine(), from.moment()?)?.is_nothing() {
            let removed = to.engine().remove(&key, None, Moment::BEGINNING)?;
            ended += u64::from(removed.is_some());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ended)
}

fn compare(
    from: &Inspector,
    to: &Inspector,
    steps: &mut Steps<'_, '_>,
    report: &mut TransferReport,
) -> Result<()> {
    let TransferReport { equal, differing, .. } = report;
    let moment = from.moment()?;
    for_each_record(from.engine(), steps, &mut Keys::default(), &mut |key, record| {
        if record.is_expired(moment) {
            return Ok(());
        }
        match Found::under(&key, to.engine(), Moment::BEGINNING)? {
            Found::Sound(found) if is_same(&found, &record) => *equal += 1,
            _ => differing.add(key),
        }
        Ok(())
    })?;
    to.engine().scan(None, &mut |key, record| {
        let source = from.engine();
        if record.is_ok() && Found::under(&key, source, Moment::BEGINNING)?.is_nothing() {
            differing.add(key);
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Whether two records are one session in one revision, whenever it was active last.
pub(super) fn is_same(one: &Record, other: &Record) -> bool {
    let plain = |record: &Record| {
        let last = one.last_active().max(other.last_active());
        record.clone().touched(last).indexed_under(Timestamp::default())
    };
    plain(one) == plain(other)
}

fn take_on_metadata(source: &dyn Engine, target: &dyn Engine) -> Result<()> {
    let names = source.load_meta(CONTENT_NAME)?.unwrap_or_default();
    if let Some(name) = current_name(&names) {
        let found = target.init_meta(CONTENT_NAME, &names)?;
        if let Some(found) = current_name(&found).filter(|found| *found != name) {
            let detail = format!(
                "the source holds content named `{name}` and the target content named `{found}`"
            );
            return Err(Error::ContentMismatch { detail, source: None });
        }
    }
    for name in [CREATED_AT, TIMEOUTS] {
        if let Some(value) = source.load_meta(name)? {
            target.init_meta(name, &value)?;
        }
    }
    Ok(())
}
