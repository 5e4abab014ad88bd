//! Ending sessions.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use sessile::{Error, Inspector, SessionKey, UserId};

use crate::arguments::{Revoke, Whom};
use crate::command::{DONE, Done, LOOK, missing, warn_of_unmatched};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::{Meter, ensure_not_interrupted};
use crate::target;

/// What the progress calls the passes before a session ends.
const COUNTING: &str = "revoke: sessions counted";

pub(super) fn run(revoke: &Revoke, out: &mut Output) -> Done {
    let inspector = target::open(&revoke.target)?;
    let whom = &revoke.whom;
    // A key may be named twice, and is of one session.
    let named: BTreeSet<_> = whom.keys.iter().copied().collect();
    // With keys or `--idle-for`, the sessions that end are chosen here.
    let until = match whom.idle_for {
        Some(least) => Some(inspector.now()?.checked_sub(least).unwrap_or(UNIX_EPOCH)),
        None => None,
    };
    let keys = match (until, named.is_empty()) {
        (Some(until), _) => Some(idle_since(&inspector, until, out.quiet)?),
        (None, false) => Some(live(&inspector, &named)?),
        (None, true) => None,
    };
    let expected = match &keys {
        Some(keys) => keys.len() as u64,
        None => count(&inspector, whom, out.quiet)?,
    };
    if revoke.dry_run {
        inspector.close()?;
        let text = format!("{} would end", output::sessions(expected));
        out.either(&json!({ "would_end": expected }), text)?;
        return Ok(looked_at(whom, &named, expected));
    }
    let sessions = output::sessions(expected);
    let question = match &keys {
        Some(keys) => (!keys.is_empty()).then(|| format!("End {sessions}?")),
        // The store chooses what ends: damaged records too, and what begins after the count.
        None => Some(format!("End {sessions}, and those that begin meanwhile?")),
    };
    if let (false, Some(question)) = (revoke.yes, question) {
        match output::ask(&question)? {
            Some(true) => {}
            Some(false) => return Err(Failure::new("no session was ended")),
            None => {
                return Err(Failure::new("no session was ended: there is no terminal to ask on")
                    .hint("`--yes` skips the question; `--dry-run` only counts"));
            }
        }
    }
    ensure_not_interrupted()?;
    let mut active_again = 0;
    let ended = match (&keys, &whom.user, &whom.all_but) {
        (Some(keys), ..) => {
            let mut meter = Meter::new("revoke", out.quiet);
            let mut ended = 0;
            for (key, seen) in keys.iter().zip(0..) {
                let some = format!("{} of {expected} ended", output::sessions(ended));
                if meter.at(seen, Some(expected)).is_break() {
                    return Err(Failure::interrupted().because(some));
                }
                match end_unless_active(&inspector, key, until).map_err(|error| {
                    // Nobody has waited for the answer, or none came.
                    let in_doubt =
                        matches!(error, Error::OutcomeUnknown { .. } | Error::CalledOff { .. });
                    let more = if in_doubt { ", and perhaps one more" } else { "" };
                    Failure::from(error).because(some + more)
                })? {
                    Some(is_ended) => ended += u64::from(is_ended),
                    None => active_again += 1,
                }
            }
            ended
        }
        (None, Some(user), _) => inspector.revoke_user(user.clone())?,
        (None, None, Some(keep)) => inspector.revoke_others(keep)?.ok_or_else(|| missing(keep))?,
        (None, None, None) => inspector.revoke_all()?,
    };
    inspector.close()?;
    let mut text = format!("{} ended", output::sessions(ended));
    if active_again > 0 {
        text.push_str(&format!("; {} active again and left", output::sessions(active_again)));
    }
    out.either(&json!({ "ended": ended, "active_again": active_again }), text)?;
    Ok(looked_at(whom, &named, ended))
}

/// The exit code of a verb that ended, or would end, this many sessions, with its warnings.
fn looked_at(whom: &Whom, named: &BTreeSet<SessionKey>, ended: u64) -> u8 {
    if let (Some(user), 0) = (&whom.user, ended) {
        warn_of_unmatched("--user", user, "live session");
    }
    if named.is_empty() || ended == named.len() as u64 {
        return DONE;
    }
    output::warn("some of the keys belong to no live session");
    LOOK
}

fn live(inspector: &Inspector, keys: &BTreeSet<SessionKey>) -> Result<Vec<SessionKey>, Failure> {
    let mut live = Vec::new();
    for key in keys {
        ensure_not_interrupted()?;
        match inspector.session(key) {
            Ok(Some(session)) if !session.is_expired() => live.push(*key),
            Ok(_) => {}
            // Nobody can use a damaged record, and `revoke` is how it is removed.
            Err(Error::DamagedRecord { .. }) => live.push(*key),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(live)
}

/// Whether it has ended the session; `None` if that was used after this time. The question may have
/// waited for long, and so many commits take their time.
fn end_unless_active(
    inspector: &Inspector,
    key: &SessionKey,
    until: Option<SystemTime>,
) -> sessile::Result<Option<bool>> {
    match until {
        Some(until) if is_active_since(inspector, key, until)? => Ok(None),
        _ => Ok(Some(inspector.revoke(key)?)),
    }
}

/// Whether the session was used after this time. One that has ended or cannot be read was not.
fn is_active_since(
    inspector: &Inspector,
    key: &SessionKey,
    until: SystemTime,
) -> sessile::Result<bool> {
    match inspector.session(key) {
        Ok(session) => Ok(session.is_some_and(|session| session.last_active() > until)),
        Err(Error::DamagedRecord { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The live sessions that were not used after this time.
fn idle_since(
    inspector: &Inspector,
    until: SystemTime,
    quiet: bool,
) -> Result<Vec<SessionKey>, Failure> {
    let mut keys = Vec::new();
    let mut meter = Meter::new(COUNTING, quiet);
    inspector.sessions(None, &mut |session| {
        match session {
            Ok(session) if !session.is_expired() && session.last_active() <= until => {
                keys.push(session.key());
            }
            Ok(_) | Err(Error::DamagedRecord { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(meter.count())
    })?;
    ensure_not_interrupted()?;
    Ok(keys)
}

fn count(inspector: &Inspector, whom: &Whom, quiet: bool) -> Result<u64, Failure> {
    let mut meter = Meter::new(COUNTING, quiet);
    if let Some(keep) = &whom.all_but {
        let session = inspector.session(keep)?.filter(|session| !session.is_expired());
        let user = session.ok_or_else(|| missing(keep))?.user();
        return match user {
            Some(user) => Ok(sessions_of(inspector, &user, &mut meter)?.saturating_sub(1)),
            None => Ok(0),
        };
    }
    match &whom.user {
        Some(user) => sessions_of(inspector, user, &mut meter),
        None => Ok(inspector.overview_with(&mut |it| meter.step(it))?.sessions),
    }
}

fn sessions_of(inspector: &Inspector, user: &UserId, meter: &mut Meter) -> Result<u64, Failure> {
    let mut count = 0;
    inspector.sessions_of(user.clone(), &mut |session| {
        count += u64::from(session.is_ok_and(|session| !session.is_expired()));
        Ok(meter.count())
    })?;
    ensure_not_interrupted()?;
    Ok(count)
}
