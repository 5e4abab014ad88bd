//! The engines on SQL servers. A record is a row: its bytes, and the few columns that statements
//! compare.
//!
//! The dialects share the conditions for live records, [`terms`], and every call whose statements
//! have the same effect in each dialect, [`calls`]. A [`dialect`] provides the rest: how statements
//! are sent, and the calls that take one statement in one dialect and several in another.

mod calls;
mod counts;
mod dialect;
mod listing;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod rows;
mod saving;
mod statements;
mod terms;
mod value;

use std::fmt;
use std::time::Duration;

use crate::engine::network::backend::Attempt;
use crate::engine::network::failure::Failure;
use crate::engine::network::options::{FORMAT_NAME, Limits};
use crate::engine::network::stored::last_count::LastCount;
use crate::engine::sql::dialect::{Answer, Dialect, Step};
use crate::engine::sql::rows::{Outcome, Row as _, garbled, named_value, rows_of};
use crate::engine::sql::statements::{Common, DROPPING, Texts};
use crate::engine::sql::value::Value;
use crate::sync::atomic::AtomicU64;

/// The time limit for clearing a store, as a multiple of a call's: it may delete row by row.
const CLEARING: u32 = 12;

/// A store on one server.
struct Sql<D> {
    /// The server in words.
    server: String,
    dialect: D,
    /// The statements, by their numbers.
    texts: Vec<String>,
    name: String,
    last_count: LastCount,
    /// How often this host has changed the number of records.
    changes: AtomicU64,
    /// The time limit for clearing the store.
    clearing: Duration,
    /// How long a transaction that writes may be idle, in milliseconds.
    idle_limit: String,
}

/// Without the texts of the statements.
impl<D: fmt::Debug> fmt::Debug for Sql<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Sql");
        fields.field("server", &self.server).field("dialect", &self.dialect);
        fields.field("name", &self.name).finish_non_exhaustive()
    }
}

impl<D: Dialect> Sql<D> {
    fn new(server: String, dialect: D, name: String, limits: Limits) -> Self {
        let texts = D::Text::ALL.iter().map(|text| text.replace("{}", &name)).collect();
        Self {
            server,
            dialect,
            texts,
            name,
            last_count: LastCount::default(),
            changes: AtomicU64::new(0),
            clearing: limits.timeout * CLEARING,
            idle_limit: limits.idle().as_millis().to_string(),
        }
    }

    fn text(&self, text: D::Text) -> Attempt<&str> {
        self.texts.get(text.number()).map(String::as_str).ok_or_else(garbled)
    }

    /// Runs statements in one round trip; returns the outcome of each.
    fn batch<T: Copy + Into<D::Text>>(
        &self,
        on: &mut D::Connection,
        steps: &[Step<'_, T>],
    ) -> Attempt<Answer<D>> {
        let steps: Vec<_> = steps.iter().map(|(text, values)| ((*text).into(), *values)).collect();
        D::batch(self, on, &steps)
    }

    /// Runs statements in one round trip; an error of one is a failure.
    fn carry_out<T: Copy + Into<D::Text>>(
        &self,
        on: &mut D::Connection,
        steps: &[Step<'_, T>],
    ) -> Attempt<Vec<D::Outcome>> {
        self.batch(on, steps)?.map_err(|refusal| self.refused(&refusal))
    }

    /// Runs one statement; returns its rows.
    fn rows(
        &self,
        on: &mut D::Connection,
        text: impl Copy + Into<D::Text>,
        values: &[Value<'_>],
    ) -> Attempt<Vec<D::Row>> {
        let mut outcomes = self.carry_out(on, &[(text, values)])?;
        Ok(outcomes.pop().map(Outcome::into_rows).unwrap_or_default())
    }

    /// The format that the tables name, if they name one; `None` if there are no tables.
    fn format_in_tables(&self, on: &mut D::Connection) -> Attempt<Option<Option<Vec<u8>>>> {
        match self.batch(on, &[(Common::LoadMeta, &[Value::Text(FORMAT_NAME)])])? {
            Ok(outcomes) => Ok(Some(named_value(rows_of(&outcomes, 0)))),
            Err(refusal) if D::is_without_tables(&refusal) => Ok(None),
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    /// Whether the counts have all rows that they must have; `None` if there are no tables.
    fn has_counts(&self, on: &mut D::Connection) -> Attempt<Option<bool>> {
        let steps: [Step<'_>; 2] =
            [(Common::LoadMeta, &[Value::Text(FORMAT_NAME)]), (Common::IsCounted, &[])];
        match self.batch(on, &steps)? {
            Ok(outcomes) => {
                let rows = rows_of(&outcomes, 1).first().and_then(|row| row.number(0));
                Ok(Some(rows.is_some_and(|rows| rows > 0)))
            }
            Err(refusal) if D::is_without_tables(&refusal) => Ok(None),
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    fn refused(&self, refusal: &D::Refusal) -> Failure {
        D::refused(&self.server, refusal)
    }

    fn drop_tables(&self, on: &mut D::Connection) -> Attempt<()> {
        let text = DROPPING.replace("{}", &self.name);
        D::say(on, &text)?.map_err(|refusal| self.refused(&refusal))
    }
}
