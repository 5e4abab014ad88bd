//! Statistics of a store, from a pass over all its records.

use std::time::SystemTime;

use crate::engine::outcome::EngineStats;
use crate::record::Record;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// Statistics of a store, as [`Inspector::overview`](super::Inspector::overview) returns them.
///
/// # Examples
///
/// See [`Inspector`](super::Inspector).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overview {
    /// Live sessions.
    pub sessions: u64,
    /// Sessions that are expired but not swept yet.
    pub expired: u64,
    /// Live sessions with a user.
    pub with_user: u64,
    /// Users with a live session.
    pub users: u64,
    /// Damaged records; no other number counts them.
    pub damaged: u64,
    /// When the oldest live session was created.
    pub oldest: Option<SystemTime>,
    /// When the newest live session was created.
    pub newest: Option<SystemTime>,
    /// The time until expiry of the live sessions, in milliseconds, if nothing extends them.
    pub time_left: Histogram,
    /// The length of the live sessions' content, in bytes.
    pub content_len: Histogram,
    /// The size of the file in bytes; `None` if the engine has no file.
    pub file_bytes: Option<u64>,
    /// How many bytes of the file its live pages took when it was opened; the others are free, or
    /// the log's. `None` if they were not counted.
    pub live_bytes: Option<u64>,
    /// The length of the file's write-ahead log in bytes; `None` if the file has none.
    pub log_bytes: Option<u64>,
    /// How many of these bytes hold changes that the tables lack.
    pub log_used_bytes: Option<u64>,
    /// The version of the file's format; `None` if the engine has no file.
    pub format: Option<u64>,
    /// Touches that are in memory only.
    pub pending_touches: u64,
    /// The name of the content, if the program named one.
    pub content_name: Option<String>,
    /// When the store was created.
    pub created_at: Option<SystemTime>,
    /// The timeouts on record; `None` if no program has opened the store yet.
    pub timeouts: Option<Timeouts>,
}

/// Counts values in buckets by their upper bounds.
///
/// # Examples
///
/// ```
/// use sessile::admin::Histogram;
///
/// let mut histogram = Histogram::new(&[10, 100]);
/// for value in [1, 10, 11, 5_000] {
///     histogram.add(value);
/// }
/// let buckets: Vec<_> = histogram.buckets().collect();
/// assert_eq!(buckets, [(Some(10), 2), (Some(100), 1), (None, 1)]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    bounds: Vec<u64>,
    /// One more than the bounds.
    counts: Vec<u64>,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const TIME_LEFT: &[u64] =
    &[MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY];
const CONTENT_LEN: &[u64] = &[64, 256, 1_024, 4_096, 16_384, 65_536, 1_048_576];

impl Histogram {
    /// Makes a histogram with no counts. The bounds must be in ascending order.
    #[must_use]
    pub fn new(bounds: &[u64]) -> Self {
        Self { bounds: bounds.into(), counts: vec![0; bounds.len() + 1] }
    }

    /// Counts one value.
    pub fn add(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Iterates over the buckets from the lowest: the greatest value of each, `None` for the last,
    /// and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().copied())
    }
}

impl Overview {
    pub(super) fn new(engine: EngineStats) -> Self {
        Self {
            time_left: Histogram::new(TIME_LEFT),
            content_len: Histogram::new(CONTENT_LEN),
            file_bytes: engine.file_bytes,
            live_bytes: engine.live_bytes,
            log_bytes: engine.log_bytes.map(|(length, _)| length),
            log_used_bytes: engine.log_bytes.map(|(_, used)| used),
            format: engine.format,
            pending_touches: engine.pending_touches,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, record: &Record, moment: Moment) {
        if record.is_expired(moment) {
            self.expired += 1;
            return;
        }
        self.sessions += 1;
        self.with_user += u64::from(record.user_id().is_some());
        let created_at = record.created_at().to_system_time();
        self.oldest = Some(self.oldest.map_or(created_at, |oldest| oldest.min(created_at)));
        self.newest = Some(self.newest.map_or(created_at, |newest| newest.max(created_at)));
        let deadline = record.deadline(&moment.timeouts).as_millis();
        self.time_left.add(deadline.saturating_sub(moment.now.as_millis()));
        self.content_len.add(record.content().len() as u64);
    }
}
