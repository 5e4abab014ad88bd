//! The operations of an engine that the network fails in, with their possible results.

use std::ops::ControlFlow;
use std::time::Duration;

use sessile::engine::{Engine, Insert, Limits, PerUser, Rekey, Replace, UserLimit};

use super::{key, moment, sample, user};

const RESOLUTION: Duration = Duration::ZERO;

/// The result of an operation, as comparable text.
type Done = sessile::Result<String>;

pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) act: fn(&dyn Engine) -> Done,
    /// The possible results without an error. The first is the one without a fault.
    pub(super) says: &'static [&'static str],
    /// Whether the engine looks up a lost outcome, so that a lost answer is no error.
    pub(super) is_looked_up: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    fn limits() -> Limits {
        let policy = UserLimit::EndLeastRecentlyActive;
        Limits { per_user: Some(PerUser { max: 2, policy }), ..Limits::NONE }
    }
    let looked_up = |name, act, says| Operation { name, act, says, is_looked_up: true };
    let once = |name, act, says| Operation { name, act, says, is_looked_up: false };
    vec![
        looked_up(
            "insert",
            |engine| {
                let done = engine.insert(&key(9), sample(9, "ann"), moment(6_000), Limits::NONE)?;
                Ok(if matches!(done, Insert::Done(_)) {
                    "done".into()
                } else {
                    format!("{done:?}")
                })
            },
            &["done"],
        ),
        looked_up(
            "insert under a limit",
            |engine| {
                let done = engine.insert(&key(9), sample(9, "ann"), moment(6_000), limits())?;
                Ok(if matches!(done, Insert::Done(_)) {
                    "done".into()
                } else {
                    format!("{done:?}")
                })
            },
            &["done"],
        ),
        looked_up(
            "extend",
            |engine| {
                let found = engine.extend(&key(1), moment(7_000), RESOLUTION)?;
                Ok(found.map_or("none".into(), |found| found.last_active().as_millis().to_string()))
            },
            &["7000"],
        ),
        looked_up(
            "replace",
            |engine| {
                let next = sample(77, "bob").renamed(&user("bob"));
                let done = engine.replace(&key(1), 1, next, moment(6_000), Limits::NONE)?;
                Ok(if matches!(done, Replace::Done(_)) {
                    "done".into()
                } else {
                    format!("{done:?}")
                })
            },
            &["done"],
        ),
        looked_up(
            "rekey",
            |engine| {
                let next = sample(88, "ann").renamed(&user("ann"));
                let done = engine.rekey(&key(1), &key(8), 1, next, moment(6_000), Limits::NONE)?;
                Ok(if matches!(done, Rekey::Done(_)) { "done".into() } else { format!("{done:?}") })
            },
            &["done"],
        ),
        looked_up(
            "replace under a limit",
            |engine| {
                let next = sample(77, "bob").renamed(&user("bob"));
                let done = engine.replace(&key(1), 1, next, moment(6_000), limits())?;
                Ok(if matches!(done, Replace::Done(_)) {
                    "done".into()
                } else {
                    format!("{done:?}")
                })
            },
            &["done"],
        ),
        looked_up(
            "rekey under a limit",
            |engine| {
                let next = sample(88, "bob").renamed(&user("bob"));
                let done = engine.rekey(&key(1), &key(8), 1, next, moment(6_000), limits())?;
                Ok(if matches!(done, Rekey::Done(_)) { "done".into() } else { format!("{done:?}") })
            },
            &["done"],
        ),
        once(
            "remove",
            |engine| {
                let gone = engine.remove(&key(1), None, moment(6_000))?;
                Ok(gone.map_or("none".into(), |gone| format!("{}", gone.key)))
            },
            &["01010101010101010101010101010101"],
        ),
        once(
            "remove_user",
            |engine| Ok(engine.remove_user(&user("ann"), moment(6_000))?.len().to_string()),
            &["2"],
        ),
        once(
            "remove_others",
            |engine| {
                let ended = engine.remove_others(&key(1), moment(6_000))?;
                Ok(ended.map_or("none".into(), |ended| ended.len().to_string()))
            },
            &["1"],
        ),
        once(
            "rename_user",
            |engine| Ok(engine.rename_user(&user("ann"), &user("eve"), moment(6_000))?.to_string()),
            &["2"],
        ),
        looked_up(
            "remove_expired",
            // Removals of a step whose answer was lost are not counted.
            |engine| Ok(engine.remove_expired(moment(2_000_000), 10)?.removed.len().to_string()),
            &["3", "0"],
        ),
        once(
            "remove by its owner",
            |engine| {
                let gone = engine.remove(&key(1), Some(&user("ann")), moment(6_000))?;
                Ok(gone.map_or("none".into(), |gone| format!("{}", gone.key)))
            },
            &["01010101010101010101010101010101"],
        ),
        looked_up(
            "reindex",
            |engine| engine.reindex(&moment(0).timeouts, &|| true).map(|whole| whole.to_string()),
            &["true"],
        ),
        once(
            "store_meta",
            |engine| engine.store_meta("size", b"large").map(|()| "done".into()),
            &["done"],
        ),
        once("clear", |engine| engine.clear().map(|()| "done".into()), &["done"]),
        looked_up(
            "init_meta",
            |engine| Ok(String::from_utf8(engine.init_meta("color", b"red")?).unwrap()),
            &["red"],
        ),
        looked_up(
            "load",
            |engine| {
                let found = engine.load(&key(1), moment(6_000))?;
                Ok(found.map_or("none".into(), |found| found.revision().to_string()))
            },
            &["1"],
        ),
        looked_up("stats", |engine| Ok(engine.stats()?.stored.to_string()), &["3"]),
        // A snapshot ends with its connection.
        once(
            "scan",
            |engine| {
                let mut seen = 0;
                engine.scan(None, &mut |_, record| {
                    record?;
                    seen += 1;
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(seen.to_string())
            },
            &["3"],
        ),
        once(
            "check",
            |engine| {
                let checked = engine.check(&moment(0).timeouts, &mut |_| Ok(()))?;
                Ok(checked.expiry_entries.to_string())
            },
            &["3"],
        ),
        looked_up(
            "scan_users",
            |engine| {
                let mut seen = 0;
                engine.scan_users(None, moment(6_000), &mut |_, sessions| {
                    seen += sessions;
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(seen.to_string())
            },
            &["3"],
        ),
        looked_up("count", |engine| Ok(engine.count(moment(6_000))?.to_string()), &["3"]),
        looked_up(
            "scan_user",
            |engine| {
                let mut seen = 0;
                engine.scan_user(&user("ann"), &mut |_, record| {
                    record?;
                    seen += 1;
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(seen.to_string())
            },
            &["2"],
        ),
    ]
}
