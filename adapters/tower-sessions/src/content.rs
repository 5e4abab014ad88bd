//! The stored content of a session: the data of tower-sessions and the session's expiry date.
//!
//! This module does not use the store.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, PrimitiveDateTime};

/// The values of a session by name, as tower-sessions has them.
pub type Data = HashMap<String, Value>;

/// The content of a session in the store.
///
/// A program that opens the same store without tower-sessions, to list or search it, reads the
/// session's values from this type.
///
/// # Examples
///
/// ```
/// use sessile_tower_sessions::SessileStore;
///
/// # fn main() -> Result<(), sessile::Error> {
/// let store = SessileStore::in_memory()?;
/// store.sessions().for_each(|info, content| {
///     println!("{}: {} values", info.key(), content.data().len());
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    data: Data,
    /// Whole seconds since 1970, and the nanoseconds after them.
    expires: (i64, u32),
}

impl Content {
    pub(crate) fn new(data: Data, expiry_date: OffsetDateTime) -> Self {
        Self { data, expires: (expiry_date.unix_timestamp(), expiry_date.nanosecond()) }
    }

    /// The values of the session.
    #[must_use]
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// The moment that the session expires; `None` if the stored moment is out of range. The last
    /// hours of the calendar in the west are beyond its end in UTC, and count as that end.
    #[must_use]
    pub fn expiry_date(&self) -> Option<OffsetDateTime> {
        let (seconds, nanoseconds) = self.expires;
        let last = PrimitiveDateTime::MAX.assume_utc();
        if seconds > last.unix_timestamp() {
            return Some(last);
        }
        OffsetDateTime::from_unix_timestamp(seconds).ok()?.replace_nanosecond(nanoseconds).ok()
    }

    pub(crate) fn into_data(self) -> Data {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, UtcOffset};

    use super::*;

    #[test]
    fn an_end_comes_back_to_the_nanosecond() {
        let ends = [
            OffsetDateTime::UNIX_EPOCH,
            OffsetDateTime::UNIX_EPOCH + Duration::nanoseconds(1),
            OffsetDateTime::UNIX_EPOCH - Duration::nanoseconds(1),
            OffsetDateTime::now_utc(),
        ];
        for end in ends {
            assert_eq!(Content::new(Data::new(), end).expiry_date(), Some(end));
        }
    }

    #[test]
    fn an_end_that_utc_does_not_have_is_the_last_moment_that_it_has() {
        let last = PrimitiveDateTime::MAX;
        for (hours, minutes) in [(0, -1), (-5, -30), (-23, -59)] {
            let west = UtcOffset::from_hms(hours, minutes, 0);
            let content = west.map(|west| Content::new(Data::new(), last.assume_offset(west)));
            assert_eq!(content.map(|it| it.expiry_date()), Ok(Some(last.assume_utc())));
        }
    }
}
