//! The number of records, which many hosts change at once.
//!
//! MySQL spreads it over rows that are changed in place. PostgreSQL appends a row for each change,
//! which costs a call less than changing a row, and makes nobody wait. From time to time the sum of
//! all changes takes their place.
//!
//! Invariant: the rows of the counts add up to the number of records in every snapshot, unless
//! somebody changes tables by hand.

use crate::engine::network::backend::{Attempt, Connection as _};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::options::FORMAT_NAME;
use crate::engine::sql::Sql;
use crate::engine::sql::dialect::{Answer, Dialect, Step};
use crate::engine::sql::statements::{Common, SHARDS};
use crate::engine::sql::value::Value;
use crate::key::SessionKey;
use crate::sync::atomic::Ordering;

/// After so many changes of the number of records, a host puts their sum in their place.
const MANY: u64 = 1_024;

/// The row of the counts that counts a key.
pub(super) fn shard_of(key: &SessionKey) -> i64 {
    let [.., last] = key.as_bytes();
    i64::from(last % SHARDS)
}

impl<D: Dialect> Sql<D> {
    /// Comes before each change of the number of records. Every so often it adds the changes up.
    pub(super) fn sum_if_due(&self, on: &mut D::Connection) -> Attempt<()> {
        let changes = self.changes.fetch_add(1, Ordering::Relaxed) + 1;
        match D::SUM.is_empty() || !changes.is_multiple_of(MANY) {
            true => Ok(()),
            false => self.add_up(on),
        }
    }

    /// Puts the sum of all changes in their place, in a transaction of its own. If the server
    /// refuses that, as it does to the slower of two hosts, the changes stay until the next time.
    /// So they do if the server refuses the remedy, to which only the tables' owner has a right.
    pub(super) fn add_up(&self, on: &mut D::Connection) -> Attempt<()> {
        match self.batch_of(on, D::SUM)? {
            Ok(_) => Ok(()),
            Err(refusal) => self.remedy(on, &refusal).map(drop),
        }
    }

    /// Puts the counts right, whatever somebody did to their rows. Other hosts may do so at the
    /// same time, so it waits for them, and it adds only the difference in a snapshot to what they
    /// count meanwhile.
    pub(super) fn count_again(&self, on: &mut D::Connection) -> Attempt<()> {
        on.set_deadline(Deadline::after(self.clearing));
        self.begin(on, &[(Common::LockFormat, &[Value::Text(FORMAT_NAME)])])?;
        let filled = D::say(on, &D::filling().replace("{}", &self.name))?;
        filled.map_err(|refusal| self.refused(&refusal))?;
        let limit = self.clearing.as_millis().to_string();
        let limit = [Value::Text(&limit)];
        let mut steps: Vec<Step<'_, D::Text>> = Vec::new();
        steps.extend(D::STATEMENT_LIMIT.map(|text| (text, &limit[..])));
        steps.extend([(Common::CorrectCounts.into(), &[][..]), (Common::Commit.into(), &[][..])]);
        self.carry_out(on, &steps).map(drop)
    }

    /// Removes what the server refused a change of the counts for; returns whether it is removed.
    pub(super) fn remedy(&self, on: &mut D::Connection, refusal: &D::Refusal) -> Attempt<bool> {
        let steps = D::remedy(refusal);
        Ok(!steps.is_empty() && self.batch_of(on, steps)?.is_ok())
    }

    /// Runs statements without values, which change no record.
    fn batch_of(&self, on: &mut D::Connection, texts: &[D::Text]) -> Attempt<Answer<D>> {
        let steps: Vec<Step<'_, D::Text>> = texts.iter().map(|text| (*text, &[][..])).collect();
        self.batch(on, &steps).map_err(Failure::harmless)
    }
}
