//! Typed content in the records of tower-sessions, as its session type writes and reads it.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};

use crate::session::{INACTIVITY, Outcome};

/// The name of the session's one value.
const VALUE: &str = "content";

pub fn in_a_day() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::from_millis(INACTIVITY)
}

pub fn record(id: Id, content: &impl Serialize, expiry_date: OffsetDateTime) -> Outcome<Record> {
    let data = [(VALUE.to_owned(), serde_json::to_value(content)?)].into();
    Ok(Record { id, data, expiry_date })
}

pub fn content<C: DeserializeOwned>(record: &Record) -> Outcome<C> {
    let value = record.data.get(VALUE).ok_or("a session of tower-sessions holds no content")?;
    Ok(C::deserialize(value)?)
}
