//! Listings as of one moment: pages by key in one read-only transaction.
//!
//! Invariant: no lock is held that a writer waits for, and memory use is bounded by one page,
//! whatever the length of records. Until a listing ends, the server keeps the old versions of
//! changed rows.

use std::ops::ControlFlow;

use crate::engine::check::{Checked, Inspect};
use crate::engine::network::backend::Attempt;
use crate::engine::network::server::{Held, Server};
use crate::engine::network::stored::columns::first_key;
use crate::engine::network::stored::report;
use crate::engine::outcome::Visit;
use crate::engine::sql::Sql;
use crate::engine::sql::dialect::{Dialect, Step};
use crate::engine::sql::rows::{Row as _, more_after, shown};
use crate::engine::sql::statements::{Common, PAGE_BYTES};
use crate::engine::sql::value::Value;
use crate::error::Result;
use crate::key::SessionKey;
use crate::time::timeouts::Timeouts;

/// The first and the largest number of records in a page.
const FIRST_PAGE: i64 = 16;
const LARGEST_PAGE: i64 = 1_024;

impl<D: Dialect> Sql<D> {
    /// Shows every record after a key, in the order of the keys.
    pub(super) fn show(
        &self,
        server: &Server<Self>,
        after: Option<&SessionKey>,
        show: &mut Visit<'_>,
    ) -> Result<()> {
        let mut held = self.begin_snapshot(server)?;
        self.show_held(&mut held, after, &mut Checked::default(), show)?;
        self.end(held)
    }

    fn begin_snapshot<'a>(&self, server: &'a Server<Self>) -> Result<Held<'a, Self>> {
        let steps: Vec<Step<'_, D::Text>> =
            D::SNAPSHOT.iter().map(|text| (*text, &[][..])).collect();
        server.hold(|sql, on| sql.carry_out(on, &steps).map(drop))
    }

    fn end(&self, mut held: Held<'_, Self>) -> Result<()> {
        held.ask(|sql, on| sql.rows(on, Common::Commit, &[]))?;
        held.give_back();
        Ok(())
    }

    /// Shows records page by page, and counts the entries that the indexes have for them.
    fn show_held(
        &self,
        held: &mut Held<'_, Self>,
        after: Option<&SessionKey>,
        counted: &mut Checked,
        show: &mut Visit<'_>,
    ) -> Result<()> {
        let mut from = first_key(after);
        let mut limit = FIRST_PAGE;
        while let Some(first) = from {
            let values = [Value::Key(&first), Value::Number(limit), Value::Number(PAGE_BYTES)];
            let (page, more) = held.ask(|sql, on| {
                let rows = sql.rows(on, Common::Page, &values)?;
                let with_user = rows.iter().filter(|row| row.bytes(4).is_some());
                counted.user_entries += with_user.count() as u64;
                counted.expiry_entries += rows.len() as u64;
                let page = rows.iter().map(shown).collect::<Attempt<Vec<_>>>()?;
                Ok((page, more_after(&rows, limit)?))
            })?;
            // The server reads at most twice as many rows as fit into the last page.
            limit = (page.len() as i64 * 2).clamp(1, LARGEST_PAGE);
            from = None;
            for (key, record) in page {
                from = first_key(Some(&key));
                if show(key, record)?.is_break() {
                    return Ok(());
                }
            }
            if !more {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn compare(
        &self,
        server: &Server<Self>,
        timeouts: &Timeouts,
        inspect: &mut Inspect<'_>,
    ) -> Result<Checked> {
        let mut held = self.begin_snapshot(server)?;
        // One statement that counts all of many records would exceed the server's time limit.
        let mut counted = Checked::default();
        self.show_held(&mut held, None, &mut counted, &mut |key, record| {
            report(key, record, timeouts, inspect)?;
            Ok(ControlFlow::Continue(()))
        })?;
        self.end(held)?;
        Ok(counted)
    }
}
