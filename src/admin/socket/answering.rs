//! Executes each request and writes the lines of its answer.
//!
//! Invariant: every request uses the store's own clock and timeouts, and the store's observers
//! learn of every session that a request ends and of every damaged record that it reads.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::admin::archive::format::UserText;
use crate::admin::socket::connection::Connection;
use crate::admin::socket::protocol::{Answer, EndedText, Outcome, Reply};
use crate::admin::socket::request::Request;
use crate::admin::socket::watching::Watching;
use crate::engine::check::Finding;
use crate::engine::limits::Limits;
use crate::engine::outcome::{Ended, Replace, Visit};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::store::core::StoreCore;
use crate::store::events::{EndReason, Event};
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The interval of the line that tells a watching client that nothing happened.
const ALIVE: Duration = Duration::from_secs(1);

/// Answers one request. An error means that the client has disconnected.
pub(super) fn answer(
    core: &StoreCore,
    stop: &AtomicBool,
    request: &Request,
    out: &mut Connection,
) -> io::Result<()> {
    if *request == (Request::Watch {}) {
        return watch(core, stop, out);
    }
    let answered = core.ensure_open().and_then(|()| carry_out(core, request, out));
    let reply = match answered {
        Ok(answer) => Reply::Done(answer),
        Err(error) => refusal(&error),
    };
    out.send(&reply)
}

fn refusal(error: &Error) -> Reply {
    let because = error.causes().map(ToString::to_string).collect();
    Reply::Error { what: error.to_string(), because }
}

fn carry_out(core: &StoreCore, request: &Request, out: &mut Connection) -> Result<Answer> {
    let engine = &*core.engine;
    match request {
        Request::Load { key } => {
            let key = key.parse()?;
            one_record(core, &key, engine.load(&key, Moment::BEGINNING), out)
        }
        Request::Scan { after } => {
            let after = after.as_ref().map(|after| after.parse()).transpose()?;
            engine.scan(after.as_ref(), &mut |key, record| show(core, &key, record, out))?;
            Ok(Answer::default())
        }
        Request::ScanUser { user } => {
            let visit: &mut Visit<'_> = &mut |key, record| show(core, &key, record, out);
            engine.scan_user(&user_key(user)?, visit)?;
            Ok(Answer::default())
        }
        Request::ScanUsers { after } => {
            let after = after.as_ref().map(user_key).transpose()?;
            engine.scan_users(after.as_ref(), core.moment()?, &mut |user, sessions| {
                if let Some(user) = user.to_id() {
                    sent(out.send(&Reply::User { user: UserText::of(&user), sessions }))?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(Answer::default())
        }
        Request::Count {} => count(engine.count(core.moment()?)?),
        Request::Insert { key, bytes } => {
            let key = key.parse()?;
            insert(core, &key, &sent_record(core, &key, bytes)?)
        }
        Request::Replace { key, revision, bytes } => {
            let key = key.parse()?;
            let record = sent_record(core, &key, bytes)?;
            if record.revision() < *revision {
                return Ok(Answer::of(Outcome::Conflict));
            }
            let moment = Moment::BEGINNING;
            let limits = limits(core);
            let replaced = engine.replace(&key, *revision, record, moment, limits);
            match core.counting_damage(replaced)? {
                Replace::Done(saved) => {
                    let last_active = Some(saved.last_active.as_millis());
                    Ok(Answer { last_active, ..Answer::of(Outcome::Stored) })
                }
                Replace::Conflict => Ok(Answer::of(Outcome::Conflict)),
                Replace::Missing => Ok(Answer::of(Outcome::Missing)),
                Replace::UserFull => Err(core.user_full()),
            }
        }
        Request::Extend { key, at } => {
            // No activity is later than the program's time.
            let now = Timestamp::from_millis(*at).min(core.moment()?.now);
            let at = Moment { now, timeouts: Timeouts::ENDLESS };
            let key = key.parse()?;
            one_record(core, &key, engine.extend(&key, at, core.touch_interval), out)
        }
        Request::Remove { key } => {
            let ended = engine.remove(&key.parse()?, None, core.moment()?)?;
            let live = core.tell_ended(ended.as_slice(), EndReason::Destroyed);
            show_ended(ended.as_slice(), live, out)
        }
        Request::RemoveUser { user } => {
            let ended = engine.remove_user(&user_key(user)?, core.moment()?)?;
            let live = core.tell_ended(&ended, EndReason::AllOfUser);
            show_ended(&ended, live, out)
        }
        Request::RemoveOthers { keep } => {
            let ended = engine.remove_others(&keep.parse()?, core.moment()?);
            let Some(ended) = core.counting_damage(ended)? else { return Ok(Answer::default()) };
            let live = core.tell_ended(&ended, EndReason::Others);
            show_ended(&ended, live, out)
        }
        Request::Clear {} => {
            engine.clear()?;
            core.tell(|| Event::Cleared);
            Ok(Answer::default())
        }
        Request::Sweep {} => {
            let sweep = core.sweep_step_of_round(core.moment()?, &|| true)?;
            let swept = sweep.removed.len() as u64;
            Ok(Answer { more: Some(sweep.more), ..show_ended(&sweep.removed, swept, out)? })
        }
        Request::Check {} => check(core, out),
        Request::Meta { name } => {
            let value = engine.load_meta(name)?.map(|value| STANDARD.encode(value));
            Ok(Answer { value, ..Answer::default() })
        }
        Request::Time {} => {
            Ok(Answer { now: Some(core.moment()?.now.as_millis()), ..Answer::default() })
        }
        Request::Stats {} => stats(core),
        Request::Flush {} => engine.flush().map(|()| Answer::default()),
        Request::Watch {} => Ok(Answer::default()),
    }
}

/// A record that a client has sent. Its index entry is never later than its deadline by the
/// program's timeouts.
fn sent_record(core: &StoreCore, key: &SessionKey, bytes: &str) -> Result<Record> {
    let bytes = STANDARD.decode(bytes).map_err(Error::engine)?;
    let record = Record::decode(key, &bytes)?;
    let (len, max) = (record.content().len(), core.max_content_len);
    if len > max {
        return Err(Error::TooLarge { len, max });
    }
    let deadline = record.deadline(&core.timeouts).min(record.index_deadline());
    Ok(record.indexed_under(deadline))
}

/// A copy ends no session of a user, and fills no store beyond its limit.
fn limits(core: &StoreCore) -> Limits {
    Limits { per_user: None, ..core.limits() }
}

fn insert(core: &StoreCore, key: &SessionKey, record: &Record) -> Result<Answer> {
    // The events of a session that is there already must not wait for this one's beginning.
    let is_stored =
        core.is_free(key) && core.insert_under(*key, record, core.moment()?, limits(core))?;
    Ok(Answer::of(if is_stored { Outcome::Stored } else { Outcome::Occupied }))
}

fn count(count: u64) -> Result<Answer> {
    Ok(Answer { count: Some(count), ..Answer::default() })
}

fn user_key(user: &UserText) -> Result<UserKey> {
    user.to_key().map_err(|reason| Error::engine(io::Error::other(reason)))
}

/// A failed write to the client ends the scan of the store.
fn sent(sent: io::Result<()>) -> Result<()> {
    sent.map_err(|error| Error::io("answer", "the client of the admin socket", error))
}

/// Sends one line per ended session, since one line of all would be unbounded; then the count.
fn show_ended(ended: &[Ended], count: u64, out: &mut Connection) -> Result<Answer> {
    ended.iter().try_for_each(|ended| sent(out.send(&Reply::Ended(EndedText::of(ended)))))?;
    Ok(Answer { ended: Some(count), ..Answer::default() })
}

fn one_record(
    core: &StoreCore,
    key: &SessionKey,
    found: Result<Option<Record>>,
    out: &mut Connection,
) -> Result<Answer> {
    if let Some(record) = found.transpose() {
        let _ = show(core, key, record, out)?;
    }
    Ok(Answer::default())
}

fn show(
    core: &StoreCore,
    key: &SessionKey,
    record: Result<Record>,
    out: &mut Connection,
) -> Result<ControlFlow<()>> {
    match core.counting_damage(record) {
        Ok(record) => sent(out.send(&Reply::record(key, &record)))?,
        Err(error) => damaged(error, out)?,
    }
    Ok(ControlFlow::Continue(()))
}

/// A damaged record becomes a line of its own; any other error ends the request.
fn damaged(error: Error, out: &mut Connection) -> Result<()> {
    match error {
        Error::DamagedRecord { key, .. } => {
            sent(out.send(&Reply::Damaged { key: key.to_string() }))
        }
        error => Err(error),
    }
}

fn check(core: &StoreCore, out: &mut Connection) -> Result<Answer> {
    let checked = core.engine.check(&core.indexed_by()?, &mut |finding| {
        sent(out.send(&match finding {
            Finding::Record(key, record) => Reply::record(&key, &record),
            Finding::Problem(problem) => {
                Reply::Problem { key: problem.key().to_string(), text: problem.to_string() }
            }
        }))
    })?;
    Ok(Answer {
        expiry_entries: Some(checked.expiry_entries),
        user_entries: Some(checked.user_entries),
        ..Answer::default()
    })
}

fn stats(core: &StoreCore) -> Result<Answer> {
    let engine = core.engine.stats()?;
    let failed = |error: serde_json::Error| Error::engine(error);
    let mut stats = serde_json::to_value(core.stats()?).map_err(failed)?;
    if let Some(fields) = stats.as_object_mut() {
        fields.insert("stored".into(), engine.stored.into());
        fields.insert("live_bytes".into(), engine.live_bytes.into());
        fields.insert("log_bytes".into(), engine.log_bytes.map(|(length, _)| length).into());
        fields.insert("log_used_bytes".into(), engine.log_bytes.map(|(_, used)| used).into());
        fields.insert("format".into(), engine.format.into());
    }
    Ok(Answer { stats: Some(stats), ..Answer::default() })
}

fn watch(core: &StoreCore, stop: &AtomicBool, out: &mut Connection) -> io::Result<()> {
    out.begin_endless_answer();
    let watching = Watching::begin(core);
    // The client learns that it misses no event from now on.
    out.send(&Reply::Alive {})?;
    out.flush()?;
    while !stop.load(Ordering::Acquire) {
        let reply = watching.next(ALIVE).map_or(Reply::Alive {}, Reply::Event);
        out.send(&reply)?;
        match watching.take_missed() {
            0 => {}
            events => out.send(&Reply::Missed { events })?,
        }
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::causes::tests::ItsOwnCause;

    #[test]
    fn a_request_that_fails_with_an_error_that_is_its_own_cause_is_answered() {
        let Reply::Error { what, because } = refusal(&Error::engine(ItsOwnCause)) else {
            panic!("it is no error");
        };
        assert_eq!(what, Error::engine(ItsOwnCause).to_string());
        assert!(because.len() > 1 && because.iter().all(|cause| cause == "again"));
    }
}
