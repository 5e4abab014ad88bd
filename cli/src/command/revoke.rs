//! Ending sessions.

use std::collections::BTreeSet;

use serde_json::json;
use sessile::{Error, Inspector, SessionKey, UserId};

use crate::arguments::Revoke;
use crate::command::{DONE, Done, LOOK, missing};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::{ensure_not_interrupted, flow, is_interrupted};
use crate::target;

pub(super) fn run(revoke: &Revoke, out: &mut Output) -> Done {
    let inspector = target::open(&revoke.target)?;
    let whom = &revoke.whom;
    // A key may be named twice, and is of one session.
    let named: BTreeSet<_> = whom.keys.iter().copied().collect();
    // With keys or `--idle-for`, the sessions that end are chosen here.
    let keys = match (&whom.idle_for, named.is_empty()) {
        (Some(least), _) => Some(idle_for(&inspector, *least)?),
        (None, false) => Some(live(&inspector, &named)?),
        (None, true) => None,
    };
    let expected = match &keys {
        Some(keys) => keys.len() as u64,
        None => count(&inspector, revoke)?,
    };
    if revoke.dry_run {
        inspector.close()?;
        let text = format!("{} would end", output::sessions(expected));
        out.either(&json!({ "would_end": expected }), text)?;
        return Ok(DONE);
    }
    if !revoke.yes && expected > 0 {
        match output::ask(&format!("End {}?", output::sessions(expected)))? {
            Some(true) => {}
            Some(false) => return Err(Failure::new("no session was ended")),
            None => {
                return Err(Failure::new("no session was ended: there is no terminal to ask on")
                    .hint("`--yes` skips the question; `--dry-run` only counts"));
            }
        }
    }
    ensure_not_interrupted()?;
    let ended = match (&keys, &whom.user, &whom.all_but) {
        (Some(keys), ..) => {
            let mut ended = 0;
            for key in keys {
                if is_interrupted() {
                    let some = format!("{} of {expected} ended", output::sessions(ended));
                    return Err(Failure::interrupted().because(some));
                }
                ended += u64::from(inspector.revoke(key)?);
            }
            ended
        }
        (None, Some(user), _) => inspector.revoke_user(user.clone())?,
        (None, None, Some(keep)) => inspector.revoke_others(keep)?.ok_or_else(|| missing(keep))?,
        (None, None, None) => inspector.revoke_all()?,
    };
    inspector.close()?;
    out.either(&json!({ "ended": ended }), format!("{} ended", output::sessions(ended)))?;
    let all_named = named.is_empty() || ended == named.len() as u64;
    if !all_named {
        output::warn("some of the keys belong to no live session");
    }
    Ok(if all_named { DONE } else { LOOK })
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

fn idle_for(inspector: &Inspector, least: std::time::Duration) -> Result<Vec<SessionKey>, Failure> {
    let now = inspector.now()?;
    let mut keys = Vec::new();
    inspector.sessions(None, &mut |session| {
        match session {
            Ok(session) if !session.is_expired() => {
                let since = session.last_active().checked_add(least);
                if since.is_some_and(|since| since <= now) {
                    keys.push(session.key());
                }
            }
            Ok(_) | Err(Error::DamagedRecord { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(flow())
    })?;
    ensure_not_interrupted()?;
    Ok(keys)
}

fn count(inspector: &Inspector, revoke: &Revoke) -> Result<u64, Failure> {
    let whom = &revoke.whom;
    if let Some(keep) = &whom.all_but {
        let session = inspector.session(keep)?.filter(|session| !session.is_expired());
        let user = session.ok_or_else(|| missing(keep))?.user();
        return match user {
            Some(user) => Ok(sessions_of(inspector, &user)?.saturating_sub(1)),
            None => Ok(0),
        };
    }
    match &whom.user {
        Some(user) => sessions_of(inspector, user),
        None => Ok(inspector.overview_with(&mut |_| flow())?.sessions),
    }
}

fn sessions_of(inspector: &Inspector, user: &UserId) -> Result<u64, Failure> {
    let mut count = 0;
    inspector.sessions_of(user.clone(), &mut |session| {
        count += u64::from(session.is_ok_and(|session| !session.is_expired()));
        Ok(flow())
    })?;
    ensure_not_interrupted()?;
    Ok(count)
}
