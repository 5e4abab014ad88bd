//! A record as a document, and back; and the condition for live and expired records in the server's
//! query language.
//!
//! Invariant: [`live`] computes the same as
//! [`OwnTimeouts::deadline`](crate::time::timeouts::OwnTimeouts::deadline); the tests that need a
//! server compare the two. Wherever this side can decide, it decides by the record.
//!
//! | field | what |
//! |---|---|
//! | `_id` | the server's own field: a session changes its key, and `_id` never changes |
//! | `k` | the key |
//! | `r`, `a`, `x`, `c` | revision, last active, index deadline, created at |
//! | `i`, `m` | the session's own timeouts: inactivity and absolute |
//! | `u` | the user key, in hexadecimal digits: text sorts as users do, binary data by length |
//! | `b` | the record's bytes |
//! | `n` | how often the user's other sessions were ended from this one; absent at first |

use crate::engine::mongodb::bson::{Document, Value, View, bson, list};
use crate::engine::mongodb::wire::garbled;
use crate::engine::network::backend::{Attempt, Shown};
use crate::engine::network::stored::columns::{
    Columns, Found, MomentColumns, as_column, clamped, outlined,
};
use crate::engine::network::stored::{lock_of, session_key, user_key};
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::moment::Moment;

/// The longest record: a document of the server has at most 16 MiB, and 2 KiB are for other fields.
pub(super) const LONGEST: usize = 16 * 1024 * 1024 - 2_048;

/// A user as a field value.
pub(super) fn name_of(user: &UserKey) -> String {
    hex(user.as_bytes())
}

/// The name of the lock of a user's logins.
pub(super) fn lock_name(user: &UserKey) -> String {
    format!("user {}", u16::from_be_bytes(lock_of(user)))
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

/// The stored fields of a record, except its activity.
fn fields<'a>(document: Document, key: Option<&'a SessionKey>, columns: &'a Columns) -> Document {
    document
        .with_some("k", key)
        .with("r", columns.revision)
        .with("x", columns.index_deadline)
        .with("c", columns.created_at)
        .with_some("i", columns.inactivity)
        .with_some("m", columns.absolute)
        .with_some("u", columns.user.as_deref().map(hex).as_ref())
        .with("b", columns.bytes.as_slice())
}

/// A new record.
pub(super) fn inserted(key: &SessionKey, columns: &Columns) -> Document {
    fields(bson! { "a": columns.last_active }, Some(key), columns)
}

/// The update that turns the stored record into another one, under its key or a new one.
pub(super) fn replaced(new: Option<&SessionKey>, columns: &Columns) -> Document {
    let absent = [
        ("i", columns.inactivity.is_none()),
        ("m", columns.absolute.is_none()),
        ("u", columns.user.is_none()),
    ];
    let absent = absent.iter().filter(|(_, is_absent)| *is_absent);
    let unset = absent.fold(Document::new(), |unset, (name, _)| unset.with(name, true));
    let update = bson! {
        "$set": fields(Document::new(), new, columns),
        "$max": bson! { "a": columns.last_active },
    };
    match unset.is_empty() {
        true => update,
        false => update.with("$unset", unset),
    }
}

/// A record's own timeout, or the store's.
fn own(field: &'static str, default: i64) -> Document {
    bson! { "$ifNull": list![field, default] }
}

fn compared(operator: &str, left: Value<'_>, right: Value<'_>) -> Document {
    Document::new().with(operator, vec![left, right])
}

/// The two comparisons: both must hold for a live record, one suffices for an expired one.
fn ends(operator: &str, moment: Moment) -> Value<'static> {
    let MomentColumns { now, inactivity, absolute } = MomentColumns::of(moment);
    let earliest = |timeout: Document| Value::from(bson! { "$subtract": list![now, timeout] });
    list![
        compared(operator, "$a".into(), earliest(own("$i", inactivity))),
        compared(operator, "$c".into(), earliest(own("$m", absolute))),
    ]
}

/// Whether a record is live.
pub(super) fn live(moment: Moment) -> Document {
    bson! { "$and": ends("$gt", moment) }
}

/// Whether a record is expired.
pub(super) fn expired(moment: Moment) -> Document {
    bson! { "$or": ends("$lte", moment) }
}

/// Whether a touch moves a record's activity by at least the resolution, or a tenth of its
/// inactivity timeout.
pub(super) fn due(moment: Moment, resolution: u64) -> Document {
    let MomentColumns { now, inactivity, .. } = MomentColumns::of(moment);
    let tenth = bson! { "$divide": list![own("$i", inactivity), 10_i64] };
    let least = bson! { "$min": list![clamped(resolution), bson! { "$trunc": list![tenth] }] };
    let moved = bson! { "$subtract": list![now, "$a"] };
    bson! { "$and": list![
        compared("$lt", "$a".into(), now.into()),
        compared("$gte", moved.into(), least.into()),
    ] }
}

/// The filter for the live record with a key and a revision.
pub(super) fn expected(key: &SessionKey, revision: u64, moment: Moment) -> Document {
    bson! { "k": key, "r": as_column(revision), "$expr": live(moment) }
}

/// A limit on the number of requested documents.
pub(super) fn bounded(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

/// The projection of all fields except the server's own.
pub(super) fn whole() -> Document {
    bson! { "_id": false }
}

/// The projection of the fields for a record's end and its user.
pub(super) fn head() -> Document {
    bson! { "_id": false, "b": false }
}

pub(super) fn key_of(view: View<'_>) -> Attempt<SessionKey> {
    view.bytes("k").and_then(session_key).ok_or_else(garbled)
}

/// The user of a record; `None` if the field holds no valid user.
pub(super) fn user_of(view: View<'_>) -> Option<UserKey> {
    view.text("u").and_then(unhex).and_then(|bytes| user_key(&bytes))
}

pub(super) fn number(view: View<'_>, name: &str) -> Attempt<i64> {
    view.number(name).ok_or_else(garbled)
}

/// A record that holds only the times and timeouts of a head.
pub(super) fn outline_of(view: View<'_>) -> Attempt<Record> {
    let (active, created) = (number(view, "a")?, number(view, "c")?);
    outlined(active, created, view.number("i"), view.number("m")).ok_or_else(garbled)
}

/// Whether a record is live, by the fields of its head.
pub(super) fn is_live(head: View<'_>, moment: Moment) -> bool {
    outline_of(head).is_ok_and(|record| !record.is_expired(moment))
}

/// Whether a record is expired, by the fields of its head; `false` if they are damaged.
pub(super) fn is_expired(head: View<'_>, moment: Moment) -> bool {
    outline_of(head).is_ok_and(|record| record.is_expired(moment))
}

/// The record in a document.
fn record(key: &SessionKey, view: View<'_>) -> Attempt<Result<Record>> {
    let user = view.text("u").and_then(unhex);
    let found = Found {
        revision: number(view, "r")?,
        last_active: number(view, "a")?,
        index_deadline: number(view, "x")?,
        user: user.as_deref(),
        bytes: view.bytes("b").ok_or_else(garbled)?,
    };
    Ok(found.decode(key))
}

pub(super) fn found(key: &SessionKey, view: Option<View<'_>>) -> Attempt<Option<Record>> {
    match view {
        None => Ok(None),
        Some(view) => Ok(Some(record(key, view)??)),
    }
}

pub(super) fn shown(view: View<'_>) -> Attempt<Shown> {
    let key = key_of(view)?;
    Ok((key, record(&key, view)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::user::UserId;

    #[test]
    fn names_sort_as_users_do_and_lead_back_to_them() {
        let user = |id: UserId| id.to_key().unwrap();
        let texts = ["", "a", "a\0", "ab", "b", "é"];
        let mut users: Vec<_> = texts.map(UserId::from).map(user).into();
        users.extend([0, -1, 255, i64::MAX].map(UserId::from).map(user));
        users.sort();
        let names: Vec<_> = users.iter().map(name_of).collect();
        assert!(names.is_sorted(), "{names:?}");
        for (user, name) in users.iter().zip(&names) {
            assert_eq!(unhex(name).unwrap(), user.as_bytes());
        }
        assert!(unhex("abc").is_none() && unhex("xy").is_none());
    }
}
