//! A store in numbers: what a pass over all its records tells.

use std::time::SystemTime;

use crate::engine::outcome::EngineStats;
use crate::record::Record;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// A store in numbers, as [`Inspector::overview`](super::Inspector::overview) gives them.
///
/// # Examples
///
/// See [`Inspector`](super::Inspector).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overview {
    /// Live sessions.
    pub sessions: u64,
    /// Sessions that are expired and not swept yet.
    pub expired: u64,
    /// Live sessions of some user.
    pub with_user: u64,
    /// Different users with a live session.
    pub users: u64,
    /// Records that are damaged; they count nowhere else.
    pub damaged: u64,
    /// When the oldest live session was created.
    pub oldest: Option<SystemTime>,
    /// When the newest live session was created.
    pub newest: Option<SystemTime>,
    /// How long the live sessions have, in milliseconds, if nothing touches them.
    pub time_left: Histogram,
    /// The length of the live sessions' content, in bytes.
    pub content_len: Histogram,
    /// The size of the file, in bytes; `None` where there is no file.
    pub file_bytes: Option<u64>,
    /// Touches that are in memory only.
    pub pending_touches: u64,
    /// The name of the content, if the program named one.
    pub content_name: Option<String>,
    /// When the store was created.
    pub created_at: Option<SystemTime>,
    /// The timeouts on record; `None` if no program has opened the store yet.
    pub timeouts: Option<Timeouts>,
}

/// How many of something were at most so large, bucket by bucket.
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
    /// One more than there are bounds.
    counts: Vec<u64>,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const TIME_LEFT: &[u64] =
    &[MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY];
const CONTENT_LEN: &[u64] = &[64, 256, 1_024, 4_096, 16_384, 65_536, 1_048_576];

impl Histogram {
    /// Nothing is counted yet. The bounds are in ascending order.
    #[must_use]
    pub fn new(bounds: &[u64]) -> Self {
        Self { bounds: bounds.into(), counts: vec![0; bounds.len() + 1] }
    }

    /// Counts one.
    pub fn add(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// The buckets from the lowest on: the greatest value that belongs to it, `None` in the last,
    /// and how many do.
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
