//! What each request does, and the lines that answer it.
//!
//! Invariant: everything goes by the store's own clock and timeouts, and what ends here is told to
//! the store's observers as everywhere else.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::admin::archive::format::UserText;
use crate::admin::socket::connection::Connection;
use crate::admin::socket::protocol::{Answer, Reply, Request};
use crate::admin::socket::watching::Watching;
use crate::engine::check::Finding;
use crate::engine::outcome::Visit;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::session::user::UserKey;
use crate::store::core::StoreCore;
use crate::store::events::{EndReason, Event};
use crate::time::moment::Moment;

/// How often a client that watches hears that nothing has happened.
const ALIVE: Duration = Duration::from_secs(1);

/// Answers one request; an error means that the client is gone.
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
    let mut because = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        because.push(cause.to_string());
        source = cause.source();
    }
    Reply::Error { what: error.to_string(), because }
}

fn carry_out(core: &StoreCore, request: &Request, out: &mut Connection) -> Result<Answer> {
    let engine = &*core.engine;
    match request {
        Request::Load { key } => {
            let key = key.parse()?;
            match engine.load(&key, Moment::BEGINNING) {
                Ok(Some(record)) => sent(out.send(&Reply::record(&key, &record)))?,
                Ok(None) => {}
                Err(error) => damaged(error, out)?,
            }
            Ok(Answer::default())
        }
        Request::Scan { after } => {
            let after = after.as_ref().map(|after| after.parse()).transpose()?;
            engine.scan(after.as_ref(), &mut |key, record| show(&key, record, out))?;
            Ok(Answer::default())
        }
        Request::ScanUser { user } => {
            let visit: &mut Visit<'_> = &mut |key, record| show(&key, record, out);
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
        Request::Remove { key } => {
            let ended = engine.remove(&key.parse()?, None, core.moment()?)?;
            core.tell_ended(ended.as_slice(), EndReason::Destroyed);
            Ok(Answer::ended(ended.as_slice()))
        }
        Request::RemoveUser { user } => {
            let ended = engine.remove_user(&user_key(user)?, core.moment()?)?;
            core.tell_ended(&ended, EndReason::AllOfUser);
            Ok(Answer::ended(&ended))
        }
        Request::RemoveOthers { keep } => {
            let ended = engine.remove_others(&keep.parse()?, core.moment()?)?;
            core.tell_ended(ended.as_deref().unwrap_or_default(), EndReason::Others);
            Ok(ended.map_or_else(Answer::default, |ended| Answer::ended(&ended)))
        }
        Request::Clear {} => {
            engine.clear()?;
            core.tell(|| Event::Cleared);
            Ok(Answer::default())
        }
        Request::Sweep {} => {
            let sweep = core.sweep_step_of_round(core.moment()?)?;
            Ok(Answer { more: Some(sweep.more), ..Answer::ended(&sweep.removed) })
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

fn count(count: u64) -> Result<Answer> {
    Ok(Answer { count: Some(count), ..Answer::default() })
}

fn user_key(user: &UserText) -> Result<UserKey> {
    user.to_key().map_err(|reason| Error::engine(io::Error::other(reason)))
}

/// A client that cannot be written to ends the pass over the store.
fn sent(sent: io::Result<()>) -> Result<()> {
    sent.map_err(|error| Error::io("answer", "the client of the admin socket", error))
}

fn show(
    key: &SessionKey,
    record: Result<crate::record::Record>,
    out: &mut Connection,
) -> Result<ControlFlow<()>> {
    match record {
        Ok(record) => sent(out.send(&Reply::record(key, &record)))?,
        Err(error) => damaged(error, out)?,
    }
    Ok(ControlFlow::Continue(()))
}

/// A damaged record is shown as that; another error is one.
fn damaged(error: Error, out: &mut Connection) -> Result<()> {
    match error {
        Error::DamagedRecord { key, .. } => {
            sent(out.send(&Reply::Damaged { key: key.to_string() }))
        }
        error => Err(error),
    }
}

fn check(core: &StoreCore, out: &mut Connection) -> Result<Answer> {
    let checked = core.engine.check(&core.timeouts, &mut |finding| {
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
    let stored = core.engine.stats()?.stored;
    let failed = |error: serde_json::Error| Error::engine(error);
    let mut stats = serde_json::to_value(core.stats()?).map_err(failed)?;
    if let Some(fields) = stats.as_object_mut() {
        fields.insert("stored".into(), stored.into());
    }
    Ok(Answer { stats: Some(stats), ..Answer::default() })
}

fn watch(core: &StoreCore, stop: &AtomicBool, out: &mut Connection) -> io::Result<()> {
    out.begin_endless_answer();
    let watching = Watching::begin(core);
    // From here on nothing is missed, and the client may know it.
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
