//! Copies sessions from one engine to another, and updates the copy after the source has changed.
//!
//! Invariant: a session in the target is never replaced by an earlier revision of itself, and a
//! transfer ends only what it brought, unless it is to be exact. Every step can be repeated, so
//! repeating an interrupted transfer completes it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::admin::arrival::{Arrival, Found, May, bring, is_same};
use crate::admin::copying::{Keys, OnProgress, Progress, Steps, for_each_record};
use crate::admin::inspector::{Inspector, on_record};
use crate::engine::contract::Engine;
use crate::engine::outcome::Ended;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::store::core::meta::{CONTENT_NAME, CREATED_AT, TIMEOUTS, current_name};
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The result of a transfer.
///
/// # Examples
///
/// See [`transfer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TransferReport {
    /// Sessions that the target did not have.
    pub copied: u64,
    /// Sessions that the target had in an earlier revision, or with earlier activity, and that are
    /// now as in the source.
    pub updated: u64,
    /// Sessions that had ended in the source by the second pass, and were ended in the target.
    pub ended: u64,
    /// Sessions that are the same in both stores at the final comparison.
    pub equal: u64,
    /// Sessions that differ, exist in only one store, or are damaged in the target. While one of
    /// the stores is in use, they may have changed since the second pass.
    pub differing: Keys,
    /// Damaged records of the source, which were not copied.
    pub damaged: Keys,
}

/// Copies every live session of one store into another, in two passes, and then compares both. The
/// second pass copies the changes that the source made during the first.
///
/// A session that this transfer brought ends in the target if it ends in the source meanwhile. A
/// session that ends in the target meanwhile is not brought again, whether this transfer brought it
/// or the target had it before. It may be only if a server's answer to its insert was lost. With
/// `exact` every session ends that the source lacks, also one that a program creates in the target
/// meanwhile. An interrupted transfer leaves sessions in the target, so repeat it with `exact` if
/// the target holds nothing else.
///
/// A later transfer brings back what ended in the target since, as long as the source has it. So
/// stop the source's program before the target's users log out.
///
/// The two must not be one store, under whatever names: what ends in it meanwhile may come back.
///
/// A session that expires in the target meanwhile, and is swept there, counts as ended: it is
/// listed as differing, and a repeated transfer brings it.
///
/// It remembers the key of each session of either store, 16 bytes in a hash table, and begins with
/// a pass over the target.
///
/// A damaged record is neither copied nor replaced nor ended, on either side.
///
/// # Errors
///
/// [`Error::ContentMismatch`] if the target holds content of another name; [`Error::CalledOff`]; or
/// if one of the stores fails. Copied sessions stay, and repeating the transfer completes it.
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
    let timeouts = from.moment()?.timeouts;
    let mut known = Known::default();
    let mut report = TransferReport::default();
    let total = source.stats()?.stored.saturating_mul(3);
    let progress_so_far = Progress { done: 0, total: Some(total) };
    let mut steps = Steps { action: "copy", progress: progress_so_far, told: progress };
    known.note_all_of(to, &mut steps)?;
    for _pass in 0..2 {
        report.damaged = Keys::default();
        let TransferReport { copied, updated, damaged, .. } = &mut report;
        for_each_record(source, &mut steps, damaged, &mut |key, record| {
            let moment = Moment { timeouts, ..from.moment()? };
            if record.is_expired(moment) {
                return Ok(());
            }
            // The target's timeouts may be shorter, and its index entry must not be later than its
            // deadline.
            let deadline = record.deadline(&kept_for).min(record.index_deadline());
            let record = record.indexed_under(deadline);
            let may = May { insert: !known.has(&key), replace: true };
            let arrival = bring(target, &key, &record, moment, may)?;
            match arrival {
                Arrival::Stored => *copied += 1,
                Arrival::Updated => *updated += 1,
                // The comparison lists what differs.
                Arrival::Already | Arrival::Differing | Arrival::Damaged | Arrival::Ended => {}
            }
            known.note(key, matches!(arrival, Arrival::Stored));
            Ok(())
        })?;
        steps.progress.total = Some(total.max(steps.progress.done));
    }
    if exact || report.copied > 0 {
        let may_end = |key: &SessionKey| exact || known.was_brought(key);
        report.ended = end_what_ended(from, to, &may_end, &mut steps)?;
    }
    target.flush()?;
    compare(from, to, &mut steps, &mut report)?;
    Ok(report)
}

/// All keys seen in the target, and whether this transfer brought each. A seen key that is missing
/// has ended.
#[derive(Default)]
struct Known(HashMap<SessionKey, bool>);

impl Known {
    /// Notes every session of the target. One that is expired by now ends no more: nobody can log
    /// it out.
    fn note_all_of(&mut self, target: &Inspector, steps: &mut Steps<'_, '_>) -> Result<()> {
        let moment = target.moment()?;
        let mut passed = 0;
        target.engine().scan(None, &mut |key, record| {
            steps.pass_by(&mut passed)?;
            match record {
                Ok(record) if record.is_expired(moment) => {}
                Ok(_) | Err(Error::DamagedRecord { .. }) => self.note(key, false),
                Err(error) => return Err(error),
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn has(&self, key: &SessionKey) -> bool {
        self.0.contains_key(key)
    }

    /// A key that was brought keeps that mark in later passes.
    fn note(&mut self, key: SessionKey, brought: bool) {
        *self.0.entry(key).or_default() |= brought;
    }

    fn was_brought(&self, key: &SessionKey) -> bool {
        self.0.get(key) == Some(&true)
    }
}

/// Ends sessions in the target that the source no longer has.
fn end_what_ended(
    from: &Inspector,
    to: &Inspector,
    may_end: &dyn Fn(&SessionKey) -> bool,
    steps: &mut Steps<'_, '_>,
) -> Result<u64> {
    // Ended after the scan, which may hold the only connection to the target.
    let mut ending = Vec::new();
    for_each_of_target(to, steps, &mut |key| {
        // A record that is damaged or expired in the source still exists.
        let source = from.engine();
        if may_end(&key) && Found::under(&key, source, Moment::BEGINNING)?.is_nothing() {
            ending.push(key);
        }
        Ok(())
    })?;
    let mut ended = 0;
    for key in ending {
        let removed = to.engine().remove(&key, None, Moment::BEGINNING)?;
        ended += Ended::count_live(removed.as_slice());
        steps.tell()?;
    }
    Ok(ended)
}

/// Visits the key of every sound record of the target, which the progress has counted in the
/// source.
fn for_each_of_target(
    to: &Inspector,
    steps: &mut Steps<'_, '_>,
    visit: &mut dyn FnMut(SessionKey) -> Result<()>,
) -> Result<()> {
    let mut passed = 0;
    to.engine().scan(None, &mut |key, record| {
        steps.pass_by(&mut passed)?;
        if record.is_ok() {
            visit(key)?;
        }
        Ok(ControlFlow::Continue(()))
    })
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
    for_each_of_target(to, steps, &mut |key| {
        if Found::under(&key, from.engine(), Moment::BEGINNING)?.is_nothing() {
            differing.add(key);
        }
        Ok(())
    })
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::admin::archive::ImportOptions;
    use crate::admin::copying::LeaveOut;
    use crate::engine::limits::Limits;
    use crate::engine::memory::MemoryEngine;
    use crate::engine::outcome::Insert;
    use crate::record::Record;
    use crate::store::SessionStore;

    /// An engine that loses the first insert of each session on the way to its server.
    #[derive(Debug, Default)]
    struct Losing {
        inner: MemoryEngine,
        lost: Mutex<BTreeSet<SessionKey>>,
    }

    impl Engine for Losing {
        fn insert(
            &self,
            key: &SessionKey,
            record: Record,
            moment: Moment,
            limits: Limits,
        ) -> Result<Insert> {
            match self.lost.lock().insert(*key) {
                true => Ok(Insert::Lost),
                false => self.inner.insert(key, record, moment, limits),
            }
        }

        crate::forward_engine!(inner, but insert);
    }

    #[test]
    fn a_session_whose_insert_was_lost_is_brought_all_the_same() {
        let engine = Arc::new(MemoryEngine::new());
        let store = SessionStore::<u32>::builder().engine(Arc::clone(&engine));
        let store = store.manual_maintenance().build().unwrap();
        (0..100).for_each(|number| drop(store.create(number).unwrap()));
        let mut go_on = |_| ControlFlow::Continue(());
        let from = Inspector::on(engine).unwrap();
        let to = Inspector::on(Losing::default()).unwrap();
        let report = transfer(&from, &to, false, &mut go_on).unwrap();
        assert_eq!((report.copied, report.equal, report.differing.count()), (100, 100, 0));

        let mut archive = Vec::new();
        from.export(&mut archive, true, &LeaveOut::nothing(), &mut go_on).unwrap();
        let to = Inspector::on(Losing::default()).unwrap();
        let (mut archive, options) = (std::io::Cursor::new(archive), ImportOptions::default());
        let report = to.import(&mut archive, &options, &mut go_on).unwrap();
        assert_eq!((report.imported, report.differing.count()), (100, 0));
    }
}
