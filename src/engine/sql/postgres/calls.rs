//! The calls that differ on PostgreSQL: fewer statements than other dialects need.
//!
//! Invariant: a call makes its changes in one transaction, so they happen wholly or not at all. A
//! call that changes all of a user's rows takes the lock of their logins first: two that lock many
//! rows would be a deadlock if one of the rows got a new key in between.

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, NOT_ALLOWED, source};
use crate::engine::network::stored::columns::{Columns, clamped};
use crate::engine::network::stored::last_count::Asked;
use crate::engine::network::stored::{lock_of, session_key, user_key};
use crate::engine::outcome::{Ended, Insert, Sweep};
use crate::engine::sql::Sql;
use crate::engine::sql::dialect::Dialect;
use crate::engine::sql::postgres::refusal::Refusal;
use crate::engine::sql::postgres::statements::{FILLING, Text};
use crate::engine::sql::postgres::wire::{Answer, Outcome, PostgresConnection, Row, Statement};
use crate::engine::sql::postgres::{Postgres, Step};
use crate::engine::sql::rows::{
    Row as _, ended, garbled, into_rows_of, key_of, not_counted, one_count, rows_of,
};
use crate::engine::sql::saving::inserted;
use crate::engine::sql::statements::Texts as _;
use crate::engine::sql::value::Value;
use crate::error::Error;
use crate::key::SessionKey;
use crate::session::user::UserKey;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

impl Dialect for Postgres {
    type Connection = PostgresConnection;
    type Row = Row;
    type Outcome = Outcome;
    type Refusal = Refusal;
    type Text = Text;

    const SNAPSHOT: &'static [Text] = &[Text::BeginSnapshot];
    const EXTEND: &'static [Text] = &[Text::Extend];

    const INSERT_COUNTED: Option<Text> = Some(Text::InsertCounted);
    const SUM: &'static [Text] =
        &[Text::BeginSum, Text::LockTimeout, Text::InsertSum, Text::DeleteSummed, Text::Commit];
    const IDLE_LIMIT: Option<Text> = Some(Text::IdleLimit);
    const STATEMENT_LIMIT: Option<Text> = Some(Text::StatementTimeout);

    fn connect(&self, deadline: Deadline) -> Attempt<PostgresConnection> {
        self.login.connect(deadline)
    }

    fn is_superseded(&self, deadline: Deadline) -> bool {
        self.login.is_superseded(deadline)
    }

    fn batch(sql: &Sql<Self>, on: &mut PostgresConnection, steps: &[Step<'_>]) -> Attempt<Answer> {
        let steps = steps.iter().map(|(text, values)| {
            Ok((Statement { number: text.number(), text: sql.text(*text)? }, *values))
        });
        on.batch(&steps.collect::<Attempt<Vec<_>>>()?)
    }

    fn say(on: &mut PostgresConnection, text: &str) -> Attempt<std::result::Result<(), Refusal>> {
        Ok(on.simple(text)?.map(drop))
    }

    fn filling() -> String {
        FILLING.to_owned()
    }

    fn is_without_tables(refusal: &Refusal) -> bool {
        const UNDEFINED_TABLE: &str = "42P01";
        refusal.code == UNDEFINED_TABLE
    }

    fn is_taken(refusal: &Refusal) -> bool {
        const UNIQUE_VIOLATION: &str = "23505";
        refusal.code == UNIQUE_VIOLATION
    }

    fn activity(outcome: &Outcome) -> Option<i64> {
        outcome.rows.first()?.number(0)
    }

    fn insert_far(
        sql: &Sql<Self>,
        on: &mut PostgresConnection,
        key: &SessionKey,
        columns: &Columns,
        far: i64,
    ) -> Attempt<Option<Insert>> {
        let mut values = inserted(key, columns);
        values.push(Value::Number(far));
        let asked = Asked::now();
        let rows = sql.rows(on, Text::InsertFar, &values)?;
        let row = rows.first().ok_or_else(garbled)?;
        let added = row.number(0).ok_or_else(garbled)?;
        let stored = row.number(1).ok_or_else(not_counted)?;
        sql.last_count.note(u64::try_from(stored).unwrap_or(0), asked);
        Ok(match added == 1 {
            true => Some(Insert::Done(Vec::new())),
            false => (stored < far).then_some(Insert::Occupied),
        })
    }

    fn remove(
        sql: &Sql<Self>,
        on: &mut PostgresConnection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Vec<Row>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let owner = Value::MaybeBytes(owner.map(UserKey::as_bytes));
        let values = [Value::Key(key), owner, now, inactivity, absolute];
        sql.rows(on, Text::Remove, &values)
    }

    fn remove_user(
        sql: &Sql<Self>,
        on: &mut PostgresConnection,
        user: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Row>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let name = Value::Bytes(user.as_bytes());
        let removing = [name, now, inactivity, absolute];
        let lock = lock_of(user);
        let steps: [Step<'_>; 5] = [
            (Text::Begin, &[]),
            (Text::LockUser, &[Value::Bytes(&lock)]),
            (Text::LockRows, &[name]),
            (Text::RemoveUser, &removing),
            (Text::Commit, &[]),
        ];
        Ok(into_rows_of(sql.carry_out(on, &steps)?, 3))
    }

    fn remove_others(
        sql: &Sql<Self>,
        on: &mut PostgresConnection,
        keep: &SessionKey,
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let removing = [Value::Key(keep), now, inactivity, absolute];
        let steps: [Step<'_>; 4] = [
            (Text::Begin, &[]),
            (Text::LockWithOthers, &[Value::Key(keep)]),
            (Text::RemoveOthers, &removing),
            (Text::Commit, &[]),
        ];
        let rows = into_rows_of(sql.carry_out(on, &steps)?, 2);
        if rows.is_empty() {
            return Ok(None);
        }
        // Without others there is one row, which holds no key.
        let others = rows.iter().filter(|row| row.bytes(1).is_some());
        let ended = others.map(|row| ended(row, 1, row.bytes(0).and_then(user_key)));
        ended.collect::<Attempt<Vec<_>>>().map(Some)
    }

    fn rename_user(
        sql: &Sql<Self>,
        on: &mut PostgresConnection,
        old: &UserKey,
        new: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Row>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let lock = lock_of(old);
        let (old, new) = (Value::Bytes(old.as_bytes()), Value::Bytes(new.as_bytes()));
        let renaming = [old, new, now, inactivity, absolute];
        let steps: [Step<'_>; 5] = [
            (Text::Begin, &[]),
            (Text::LockUser, &[Value::Bytes(&lock)]),
            (Text::LockRows, &[old]),
            (Text::Rename, &renaming),
            (Text::Commit, &[]),
        ];
        Ok(into_rows_of(sql.carry_out(on, &steps)?, 3))
    }

    fn remove_expired(
        sql: &Sql<Self>,
        on: &mut PostgresConnection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep> {
        let [now, inactivity, absolute] = Value::of(moment);
        let most = Value::Number(limit as i64);
        let values = [now, inactivity, absolute, most];
        let steps: [Step<'_>; 4] = [
            (Text::Begin, &[]),
            (Text::Sweep, &values),
            (Text::MoveEarly, &values),
            (Text::Commit, &[]),
        ];
        let outcomes = sql.carry_out(on, &steps)?;
        let rows = rows_of(&outcomes, 1);
        let looked_at = one_count(rows)?;
        let removed = rows.iter().filter_map(|row| {
            let key = session_key(row.bytes(1)?)?;
            Some(Ended { key, user: row.bytes(2).and_then(user_key), expired: true })
        });
        Ok(Sweep { removed: removed.collect(), more: looked_at == limit as u64, busy: true })
    }

    fn reindex(
        sql: &Sql<Self>,
        on: &mut PostgresConnection,
        timeouts: &Timeouts,
        from: &SessionKey,
        limit: i64,
    ) -> Attempt<Option<(SessionKey, bool)>> {
        let (inactivity, absolute) = timeouts.as_millis();
        let values = [
            Value::Key(from),
            Value::Number(clamped(inactivity)),
            Value::Number(clamped(absolute)),
            Value::Number(limit),
        ];
        let rows = sql.rows(on, Text::Reindex, &values)?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some((key_of(row, 0)?, row.number(1) == Some(limit))))
    }

    /// Truncates at once if nobody reads the table, else deletes row by row: a listing in progress
    /// shows its snapshot to the end.
    fn clear(sql: &Sql<Self>, on: &mut PostgresConnection) -> Attempt<()> {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        const DEADLOCK: &str = "40P01";
        const INSUFFICIENT_PRIVILEGE: &str = "42501";
        let limit = sql.clearing.as_millis().to_string();
        let limit = [Value::Text(&limit)];
        let at_once: [Step<'_>; 6] = [
            (Text::Begin, &[]),
            (Text::StatementTimeout, &limit),
            (Text::LockTimeout, &[]),
            (Text::Truncate, &[]),
            (Text::ResetCounts, &[]),
            (Text::Commit, &[]),
        ];
        let mut cleared = sql.batch(on, &at_once)?;
        if let Err(refusal) = &cleared
            && sql.remedy(on, refusal)?
        {
            cleared = sql.batch(on, &at_once)?;
        }
        match cleared {
            Ok(_) => return Ok(()),
            Err(refusal)
                if [LOCK_NOT_AVAILABLE, DEADLOCK, INSUFFICIENT_PRIVILEGE]
                    .contains(&refusal.code.as_str()) => {}
            Err(refusal) => return Err(sql.refused(&refusal)),
        }
        // Nothing follows the commit: its error would pass for one of the whole.
        let one_by_one: [Step<'_>; 5] = [
            (Text::Begin, &[]),
            (Text::StatementTimeout, &limit),
            (Text::LockAll, &[]),
            (Text::ClearRows, &[]),
            (Text::Commit, &[]),
        ];
        sql.carry_out(on, &one_by_one).map(drop)
    }

    /// A table without a key whose deletions are published needs a setting.
    fn remedy(refusal: &Refusal) -> &'static [Text] {
        const NOT_IN_THE_STATE_FOR_IT: &str = "55000";
        const IDENTIFYING: &[Text] =
            &[Text::Begin, Text::LockTimeout, Text::Identify, Text::Commit];
        if refusal.code == NOT_IN_THE_STATE_FOR_IT { IDENTIFYING } else { &[] }
    }

    fn refused(server: &str, refusal: &Refusal) -> Failure {
        let reason = match refusal.code.as_str() {
            "40001" | "40P01" | "55P03" => {
                return Failure::RolledBack(source("another transaction came in the way"));
            }
            // CockroachDB does not know whether it committed.
            "40003" => return Failure::lost("the server does not know whether it committed"),
            "25006" => {
                return Failure::not_now("the server is a standby, or its transactions only read");
            }
            "57P03" | "53300" => return Failure::not_now("the server takes no connections now"),
            "42501" => NOT_ALLOWED.into(),
            // A prepared statement is there already, or not any more.
            "42P05" | "26000" => "a pooler shares the server's connections between clients: say \
                                  `statements=unnamed` in the URL"
                .into(),
            "57014" => {
                "the server cancelled the statement, as its time-out or somebody asked".into()
            }
            "53100" => {
                let source = source("the server's disk is full");
                return Error::StorageFull { path: server.into(), source }.into();
            }
            code => format!("{} (SQLSTATE {code})", refusal.message),
        };
        Error::Unavailable { server: server.into(), source: source(reason) }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::postgres::refusal::fatal;

    #[test]
    fn an_error_of_the_server_says_what_is_known_of_the_change() {
        let refusal = |code: &str| Refusal { code: code.into(), ..Refusal::default() };
        let of = |code| Postgres::refused("a server", &refusal(code));
        assert!(matches!(of("53100"), Failure::Answered(Error::StorageFull { .. })));
        assert!(matches!(of("53300"), Failure::NotNow(_)));
        assert!(matches!(fatal(&refusal("53300")), Failure::NotNow(_)));
        assert!(matches!(of("40003"), Failure::Lost(_)));
        assert!(matches!(of("40001"), Failure::RolledBack(_)));
        assert!(matches!(of("57014"), Failure::Answered(Error::Unavailable { .. })));
        for code in ["42P05", "26000"] {
            let Failure::Answered(error) = of(code) else { panic!("{code}") };
            let said = std::error::Error::source(&error).unwrap().to_string();
            assert!(said.contains("`statements=unnamed`"), "{said}");
        }
    }
}
