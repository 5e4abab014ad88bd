//! Listing the sessions of a store, or its users.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::SystemTime;

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use sessile::admin::StoredSession;
use sessile::{Error, Inspector, SessionKey, UserId};

use crate::arguments::List;
use crate::command::show::{content_as_hex, content_as_json, content_as_text};
use crate::command::{DONE, Done, LOOK};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::{Meter, ensure_not_interrupted};
use crate::{target, when};

/// A session's place in the list: latest activity first, then by key. The heap drops the greatest
/// place, which is the last of the list.
type Place = (Reverse<SystemTime>, SessionKey);

pub(super) fn run(list: &List, out: &mut Output) -> Done {
    let inspector = target::open(&list.target)?;
    if list.users {
        users(&inspector, list.limit, out)?;
        inspector.close()?;
        return Ok(DONE);
    }
    let wanted = wanted(list, inspector.now()?);
    let mut after = after(&inspector, list)?;
    let (mut printed, mut damaged) = (0, None);
    let header = ["KEY", "USER", "CREATED", "LAST ACTIVE", "EXPIRES", "CONTENT"];
    let mut rows = Rows::under(&header);
    loop {
        let found = chosen(&inspector, list, after, &wanted, out.quiet)?;
        damaged.get_or_insert(found.damaged);
        let is_enough = |printed| list.limit.is_some_and(|limit| printed >= limit);
        for (_, key) in &found.places {
            ensure_not_interrupted()?;
            if out.is_closed() || is_enough(printed) {
                break;
            }
            // The program that has the store open may have ended or used the session since.
            let Some(session) = inspector.session(key)?.filter(&wanted) else { continue };
            match out.json {
                true => out.document(&as_json(&session, list.content, out))?,
                false => rows.add(row(&session, list.content, out), out)?,
            }
            printed += 1;
        }
        // Fewer than the limit are printed only if there are no more.
        match found.places.last() {
            Some(last) if found.is_cut && !is_enough(printed) && !out.is_closed() => {
                after = Some(*last);
            }
            _ => break,
        }
    }
    let damaged = damaged.unwrap_or(0);
    inspector.close()?;
    if !out.json {
        rows.end(out)?;
    }
    match damaged {
        0 => Ok(DONE),
        damaged => {
            let records = output::counted(damaged, "damaged record");
            output::warn(format!("{records} left out; see `sessile check`"));
            Ok(LOOK)
        }
    }
}

/// The place that `--after` names.
fn after(inspector: &Inspector, list: &List) -> Result<Option<Place>, Failure> {
    let Some(key) = &list.after else { return Ok(None) };
    match inspector.session(key)? {
        Some(session) => Ok(Some((Reverse(session.last_active()), *key))),
        None => Err(Failure::new(format!("`--after`: there is no session {key}"))),
    }
}

/// Whether the list has a session, by what it is now.
fn wanted(list: &List, now: SystemTime) -> impl Fn(&StoredSession) -> bool {
    move |session| {
        let idle = |least| session.last_active().checked_add(least).is_some_and(|at| at <= now);
        let ends = |most| now.checked_add(most).is_some_and(|at| session.expires_at() <= at);
        (list.expired || !session.is_expired())
            && list.idle_for.is_none_or(idle)
            && list.expires_within.is_none_or(ends)
    }
}

/// The places of sessions to list, in their order.
struct Chosen {
    places: Vec<Place>,
    /// Whether there are more behind these.
    is_cut: bool,
    damaged: u64,
}

/// How many places more than the limit are noted: some of the sessions may end before they are
/// printed, and the latest are the likeliest to.
const SPARE: usize = 1_000;

/// Passes over the sessions. Memory holds little more than the list has, and of each its place.
fn chosen(
    inspector: &Inspector,
    list: &List,
    after: Option<Place>,
    wanted: &impl Fn(&StoredSession) -> bool,
    quiet: bool,
) -> Result<Chosen, Failure> {
    let mut heap = BinaryHeap::new();
    let (mut damaged, mut is_cut) = (0, false);
    let mut meter = Meter::new("list", quiet);
    let most = list.limit.map_or(usize::MAX, |limit| limit.saturating_add(SPARE));
    let mut visit = |session: sessile::Result<StoredSession>| {
        match session {
            Ok(session) if wanted(&session) => {
                let place = (Reverse(session.last_active()), session.key());
                if after.is_none_or(|after| place > after) {
                    heap.push(place);
                }
                if heap.len() > most {
                    heap.pop();
                    is_cut = true;
                }
            }
            Ok(_) => {}
            Err(Error::DamagedRecord { .. }) => damaged += 1,
            Err(error) => return Err(error),
        }
        Ok(meter.count())
    };
    match &list.user {
        Some(user) => inspector.sessions_of(user.clone(), &mut visit)?,
        None => inspector.sessions(None, &mut visit)?,
    }
    ensure_not_interrupted()?;
    Ok(Chosen { places: heap.into_sorted_vec(), is_cut, damaged })
}

fn users(inspector: &Inspector, limit: Option<usize>, out: &mut Output) -> Result<(), Failure> {
    let mut users: Vec<(Reverse<u64>, UserId)> = Vec::new();
    let mut meter = Meter::new("list: users", out.quiet);
    inspector.users(&mut |user, sessions| {
        users.push((Reverse(sessions), user));
        Ok(meter.count())
    })?;
    drop(meter);
    ensure_not_interrupted()?;
    users.sort();
    users.truncate(limit.unwrap_or(usize::MAX));
    let mut rows = Rows::under(&["USER", "SESSIONS"]);
    for (Reverse(sessions), user) in &users {
        if out.is_closed() {
            break;
        }
        if out.json {
            let mut document = json!({ "sessions": sessions });
            output::add_user(Some(user), &mut document);
            out.document(&document)?;
        } else {
            rows.add(vec![output::user(Some(user)), sessions.to_string()], out)?;
        }
    }
    if !out.json {
        rows.end(out)?;
    }
    Ok(())
}

/// A table that is printed a part at a time, so that a long one does not fill the memory. Columns
/// are as wide as the rows of their part need.
struct Rows {
    table: Table,
    /// Whether nothing was printed yet.
    is_first: bool,
}

/// How many rows a part has.
const PART: usize = 1_000;

impl Rows {
    fn under(header: &[&str]) -> Self {
        let mut table = new_table();
        table.set_header(header);
        Self { table, is_first: true }
    }

    fn add(&mut self, row: Vec<String>, out: &mut Output) -> io::Result<()> {
        self.table.add_row(row);
        match self.table.row_count() < PART {
            true => Ok(()),
            false => self.print(out),
        }
    }

    /// Prints the rest; of an empty table, its header.
    fn end(mut self, out: &mut Output) -> io::Result<()> {
        match self.is_first || self.table.row_count() > 0 {
            true => self.print(out),
            false => Ok(()),
        }
    }

    fn print(&mut self, out: &mut Output) -> io::Result<()> {
        self.is_first = false;
        let part = std::mem::replace(&mut self.table, new_table());
        out.line(part.trim_fmt())
    }
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn row(session: &StoredSession, with_content: bool, out: &Output) -> Vec<String> {
    let content = match with_content {
        true => shortened(content_as_text(session)),
        false => output::bytes(session.content().len() as u64),
    };
    vec![
        session.key().to_string(),
        output::user(session.user().as_ref()),
        out.time(session.created_at()),
        out.time(session.last_active()),
        out.time(session.expires_at()),
        content,
    ]
}

/// How many characters of a content a row has. The table's work grows with the square of a cell.
const LONGEST: usize = 4_096;

fn shortened(mut content: String) -> String {
    if let Some((end, _)) = content.char_indices().nth(LONGEST) {
        content.truncate(end);
        content.push_str("… (shortened: `sessile show` prints all)");
    }
    content
}

/// A session as `list --json` and `show --json` print it.
#[derive(Serialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    fields: serde_json::Value,
    #[serde(flatten)]
    content: Option<Content>,
}

#[derive(Serialize)]
struct Content {
    content: Option<Box<RawValue>>,
    content_hex: Option<String>,
}

pub(super) fn as_json(session: &StoredSession, with_content: bool, out: &Output) -> Listed {
    let own = |it: Option<std::time::Duration>| it.map(|it| it.as_millis() as u64);
    let mut fields = json!({
        "key": session.key().to_string(),
        "created_at": out.time_as_json(session.created_at()),
        "last_active": out.time_as_json(session.last_active()),
        "last_active_ms": when::millis(session.last_active()),
        "expires_at": out.time_as_json(session.expires_at()),
        "expired": session.is_expired(),
        "revision": session.revision(),
        "inactivity_ms": own(session.own_inactivity()),
        "absolute_ms": own(session.own_absolute()),
        "csrf_token": session.has_csrf_token(),
        "content_version": session.content_version(),
        "content_bytes": session.content().len(),
    });
    output::add_user(session.user().as_ref(), &mut fields);
    let content = with_content.then(|| Content {
        content: content_as_json(session),
        content_hex: content_as_hex(session),
    });
    Listed { fields, content }
}
