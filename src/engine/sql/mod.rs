//! The engines on SQL servers. A record is a row: its bytes, and beside them the few columns that
//! statements go by.
//!
//! The dialects share how statements tell which records are live, [`terms`], and every call whose
//! statements do the same in each, [`calls`]. What differs is asked of a [`dialect`]: how
//! statements are sent, and the calls that one does in one statement and another in several.

mod calls;
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

use std::time::Duration;

use crate::engine::network::backend::Attempt;
use crate::engine::network::failure::Failure;
use crate::engine::sql::dialect::{Answer, Dialect, Step};
use crate::engine::sql::rows::{Outcome, garbled};
use crate::engine::sql::statements::{DROPPING, Texts};
use crate::engine::sql::value::Value;

/// How many times as long as other calls ending everything may take: it may be a row at a time.
const CLEARING: u32 = 12;

/// A store on one server.
#[derive(Debug)]
struct Sql<D> {
    /// The server in words.
    server: String,
    dialect: D,
    /// The statements, by their numbers.
    texts: Vec<String>,
    name: String,
    /// How long ending everything may take.
    clearing: Duration,
}

impl<D: Dialect> Sql<D> {
    fn new(server: String, dialect: D, name: String, timeout: Duration) -> Self {
        let texts = D::Text::ALL.iter().map(|text| text.replace("{}", &name)).collect();
        Self { server, dialect, texts, name, clearing: timeout * CLEARING }
    }

    fn text(&self, text: D::Text) -> Attempt<&str> {
        self.texts.get(text.number()).map(String::as_str).ok_or_else(garbled)
    }

    /// Statements in one round trip; what each came to.
    fn batch<T: Copy + Into<D::Text>>(
        &self,
        on: &mut D::Connection,
        steps: &[Step<'_, T>],
    ) -> Attempt<Answer<D>> {
        let steps: Vec<_> = steps.iter().map(|(text, values)| ((*text).into(), *values)).collect();
        D::batch(self, on, &steps)
    }

    /// Statements in one round trip, of which no error is expected.
    fn carry_out<T: Copy + Into<D::Text>>(
        &self,
        on: &mut D::Connection,
        steps: &[Step<'_, T>],
    ) -> Attempt<Vec<D::Outcome>> {
        self.batch(on, steps)?.map_err(|refusal| self.refused(&refusal))
    }

    /// One statement, and its rows.
    fn rows(
        &self,
        on: &mut D::Connection,
        text: impl Copy + Into<D::Text>,
        values: &[Value<'_>],
    ) -> Attempt<Vec<D::Row>> {
        let mut outcomes = self.carry_out(on, &[(text, values)])?;
        Ok(outcomes.pop().map(Outcome::into_rows).unwrap_or_default())
    }

    fn refused(&self, refusal: &D::Refusal) -> Failure {
        D::refused(&self.server, refusal)
    }

    fn drop_tables(&self, on: &mut D::Connection) -> Attempt<()> {
        let text = DROPPING.replace("{}", &self.name);
        D::say(on, &text)?.map_err(|refusal| self.refused(&refusal))
    }
}
