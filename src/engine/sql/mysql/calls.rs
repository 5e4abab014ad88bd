//! The calls that differ on MySQL and MariaDB: several statements in one text, where other dialects
//! have one statement.
//!
//! Invariant: a call makes its changes in one transaction, so they happen wholly or not at all.

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, NOT_ALLOWED, source};
use crate::engine::network::stored::columns::{Columns, clamped};
use crate::engine::network::stored::last_count::Asked;
use crate::engine::network::stored::{session_key, user_key};
use crate::engine::outcome::{Ended, Insert, Sweep};
use crate::engine::sql::Sql;
use crate::engine::sql::counts::shard_of;
use crate::engine::sql::dialect::Dialect;
use crate::engine::sql::mysql::answer::{Answer, Outcome, Refusal, Row};
use crate::engine::sql::mysql::requests::send;
use crate::engine::sql::mysql::statements::{Text, filling};
use crate::engine::sql::mysql::wire::MysqlConnection;
use crate::engine::sql::mysql::{Mysql, Step};
use crate::engine::sql::rows::{
    Row as _, ended, garbled, into_rows_of, key_of, number_stored, rows_of,
};
use crate::engine::sql::saving::inserted;
use crate::engine::sql::value::Value;
use crate::error::Error;
use crate::key::SessionKey;
use crate::session::user::UserKey;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

impl Dialect for Mysql {
    type Connection = MysqlConnection;
    type Row = Row;
    type Outcome = Outcome;
    type Refusal = Refusal;
    type Text = Text;

    const SNAPSHOT: &'static [Text] = &[Text::Repeatable, Text::BeginSnapshot];
    // The second statement shows the row that the first one touched, or a later version of it.
    const EXTEND: &'static [Text] = &[Text::Touch, Text::ShowLive];

    const INSERT_COUNTED: Option<Text> = None;
    const SUM: &'static [Text] = &[];
    // MySQL has no such limit.
    const IDLE_LIMIT: Option<Text> = None;
    const STATEMENT_LIMIT: Option<Text> = None;
    const COUNTS_UNDER_LOCK: bool = true;

    fn connect(&self, deadline: Deadline) -> Attempt<MysqlConnection> {
        let mut on = self.login.connect(deadline)?;
        on.prepare_load(&self.load)?;
        Ok(on)
    }

    fn batch(sql: &Sql<Self>, on: &mut MysqlConnection, steps: &[Step<'_>]) -> Attempt<Answer> {
        if let [(Text::Load, [Value::Key(key)])] = steps
            && let Some(answer) = on.load(key)?
        {
            return Ok(answer);
        }
        send(sql, on, steps)
    }

    fn say(on: &mut MysqlConnection, text: &str) -> Attempt<std::result::Result<(), Refusal>> {
        Ok(on.query(text)?.map(drop))
    }

    fn filling() -> String {
        filling()
    }

    fn is_without_tables(refusal: &Refusal) -> bool {
        refusal.code == Refusal::NO_SUCH_TABLE
    }

    fn is_taken(refusal: &Refusal) -> bool {
        refusal.code == Refusal::DUPLICATE_KEY
    }

    fn activity(outcome: &Outcome) -> Option<i64> {
        i64::try_from(outcome.last_id).ok().filter(|_| outcome.changed == 1)
    }

    fn insert_far(
        sql: &Sql<Self>,
        on: &mut MysqlConnection,
        key: &SessionKey,
        columns: &Columns,
        far: i64,
    ) -> Attempt<Option<Insert>> {
        let (most, values) = ([Value::Number(far)], inserted(key, columns));
        let shard = [Value::Number(shard_of(key))];
        let steps: [Step<'_>; 6] = [
            (Text::Begin, &[]),
            (Text::IsFar, &most),
            (Text::InsertFar, &values),
            (Text::CountFar, &shard),
            (Text::Stored, &[]),
            (Text::Commit, &[]),
        ];
        let asked = Asked::now();
        match sql.batch(on, &steps)? {
            Ok(outcomes) => {
                sql.last_count.note(number_stored(outcomes.get(4))?, asked);
                let is_added = outcomes.get(2).is_some_and(|added| added.changed == 1);
                Ok(is_added.then(|| Insert::Done(Vec::new())))
            }
            Err(refusal) if Self::is_taken(&refusal) => Ok(Some(Insert::Occupied)),
            Err(refusal) => Err(sql.refused(&refusal)),
        }
    }

    fn remove(
        sql: &Sql<Self>,
        on: &mut MysqlConnection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Vec<Row>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let owner = Value::MaybeBytes(owner.map(UserKey::as_bytes));
        let looking = [Value::Key(key), owner, now, inactivity, absolute];
        let removing = [Value::Key(key), owner];
        let counting = [Value::Key(key), owner, Value::Number(shard_of(key))];
        let steps: [Step<'_>; 5] = [
            (Text::Begin, &[]),
            (Text::LookToRemove, &looking),
            (Text::CountRemoved, &counting),
            (Text::Remove, &removing),
            (Text::Commit, &[]),
        ];
        Ok(into_rows_of(sql.carry_out(on, &steps)?, 1))
    }

    fn remove_user(
        sql: &Sql<Self>,
        on: &mut MysqlConnection,
        user: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Row>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let name = [Value::Bytes(user.as_bytes())];
        let looking = [Value::Bytes(user.as_bytes()), now, inactivity, absolute];
        let steps: [Step<'_>; 7] = [
            (Text::Repeatable, &[]),
            (Text::Begin, &[]),
            (Text::MarkUser, &name),
            (Text::Marked, &looking),
            (Text::CountMarked, &name),
            (Text::DeleteMarked, &name),
            (Text::Commit, &[]),
        ];
        Ok(into_rows_of(sql.carry_out(on, &steps)?, 3))
    }

    fn remove_others(
        sql: &Sql<Self>,
        on: &mut MysqlConnection,
        keep: &SessionKey,
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let this = [Value::Key(keep)];
        let looking = [Value::Key(keep), now, inactivity, absolute];
        let steps: [Step<'_>; 8] = [
            (Text::Repeatable, &[]),
            (Text::Begin, &[]),
            (Text::LookToKeep, &looking),
            (Text::MarkOthers, &looking),
            (Text::MarkedOthers, &looking),
            (Text::CountOthers, &this),
            (Text::DeleteOthers, &this),
            (Text::Commit, &[]),
        ];
        let outcomes = sql.carry_out(on, &steps)?;
        let Some(kept) = rows_of(&outcomes, 2).first() else { return Ok(None) };
        let user = kept.bytes(0).and_then(user_key);
        let ended = rows_of(&outcomes, 4).iter().map(|row| ended(row, 0, user.clone()));
        ended.collect::<Attempt<Vec<_>>>().map(Some)
    }

    fn rename_user(
        sql: &Sql<Self>,
        on: &mut MysqlConnection,
        old: &UserKey,
        new: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Row>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let (old, new) = (Value::Bytes(old.as_bytes()), Value::Bytes(new.as_bytes()));
        let (name, looking, renaming) = ([old], [old, now, inactivity, absolute], [old, new]);
        let steps: [Step<'_>; 6] = [
            (Text::Repeatable, &[]),
            (Text::Begin, &[]),
            (Text::MarkUser, &name),
            (Text::CountMarkedLive, &looking),
            (Text::RenameMarked, &renaming),
            (Text::Commit, &[]),
        ];
        Ok(into_rows_of(sql.carry_out(on, &steps)?, 3))
    }

    fn remove_expired(
        sql: &Sql<Self>,
        on: &mut MysqlConnection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep> {
        let [now, inactivity, absolute] = Value::of(moment);
        // By itself, before the transaction: a host that is suspended in between holds no lock.
        let rows = sql.rows(on, Text::Due, &[now, Value::Number(limit as i64)])?;
        let more = rows.len() == limit;
        let keys = rows.iter().map(|row| key_of(row, 0)).collect::<Attempt<Vec<_>>>()?;
        if keys.is_empty() {
            return Ok(Sweep { removed: Vec::new(), more: false, busy: true });
        }
        let these = [Value::Keys(&keys)];
        let judging = [now, inactivity, absolute, Value::Keys(&keys)];
        let steps: [Step<'_>; 7] = [
            (Text::Begin, &[]),
            (Text::MarkDue, &judging),
            (Text::MarkedKeys, &these),
            (Text::CountMarkedKeys, &these),
            (Text::DeleteMarkedKeys, &these),
            (Text::MoveEarly, &judging),
            (Text::Commit, &[]),
        ];
        let outcomes = sql.carry_out(on, &steps)?;
        let removed = rows_of(&outcomes, 2).iter().map(|row| {
            let user = row.bytes(1).and_then(user_key);
            Ok(Ended { key: key_of(row, 0)?, user, expired: true })
        });
        Ok(Sweep { removed: removed.collect::<Attempt<Vec<_>>>()?, more, busy: true })
    }

    fn reindex(
        sql: &Sql<Self>,
        on: &mut MysqlConnection,
        timeouts: &Timeouts,
        from: &SessionKey,
        limit: i64,
    ) -> Attempt<Option<(SessionKey, bool)>> {
        let (inactivity, absolute) = timeouts.as_millis();
        let page = sql.rows(on, Text::PageEnd, &[Value::Key(from), Value::Number(limit)])?;
        let row = page.first().ok_or_else(garbled)?;
        let Some(last) = row.bytes(0).and_then(session_key) else { return Ok(None) };
        let values = [
            Value::Key(from),
            Value::Key(&last),
            Value::Number(clamped(inactivity)),
            Value::Number(clamped(absolute)),
        ];
        sql.rows(on, Text::Reindex, &values)?;
        Ok(Some((last, row.number(1) == Some(limit))))
    }

    /// Deletes row by row, in one transaction with the count. Inserts meanwhile wait.
    fn clear(sql: &Sql<Self>, on: &mut MysqlConnection) -> Attempt<()> {
        let steps: [Step<'_>; 6] = [
            (Text::Repeatable, &[]),
            (Text::Begin, &[]),
            (Text::LockAll, &[]),
            (Text::ClearRows, &[]),
            (Text::CountCleared, &[]),
            (Text::Commit, &[]),
        ];
        sql.carry_out(on, &steps).map(drop)
    }

    fn refused(server: &str, refusal: &Refusal) -> Failure {
        if let Some(failure) = refusal.of_the_moment() {
            return failure;
        }
        let reason = match refusal.code {
            // The server's message names the user.
            1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1449 => NOT_ALLOWED.into(),
            1317 | 1969 | 3024 => {
                "the server cancelled the statement, as its time-out or somebody asked".into()
            }
            3 | 1021 | 1114 => {
                let source = source("the server's disk is full");
                return Error::StorageFull { path: server.into(), source }.into();
            }
            code => format!("{} (error {code})", refusal.message),
        };
        Error::Unavailable { server: server.into(), source: source(reason) }.into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::network::backend::Connection as _;
    use crate::engine::network::options::Limits;
    use crate::engine::network::transport::listening::connected;
    use crate::engine::sql::mysql::login::Login;
    use crate::engine::sql::mysql::packets::Packets;

    fn sql() -> Sql<Mysql> {
        let login = Login {
            server: "a server".into(),
            addresses: Vec::new(),
            user: "u".into(),
            password: None,
            database: "shop".into(),
            lock_timeout: Duration::ZERO,
            read_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            #[cfg(feature = "tls")]
            tls: None,
        };
        let mysql = Mysql { login, load: String::new(), read_limit: String::new() };
        Sql::new("a server".into(), mysql, "shop".into(), Limits::DEFAULT)
    }

    #[test]
    fn content_that_is_too_long_for_the_server_says_how_long_it_may_be() {
        let value = |length: usize| vec![7; length];
        let (stream, _peer) = connected();
        let mut on = MysqlConnection::over(Packets::over(stream));
        on.limit_requests(1_000);
        let refusal = |on: &mut MysqlConnection, length: usize| {
            let value = value(length);
            let values = [Value::Text("color"), Value::Bytes(&value)];
            Mysql::batch(&sql(), on, &[(Text::InitMeta, &values)]).unwrap_err()
        };
        let refused = refusal(&mut on, 2_000);
        let Failure::Answered(Error::TooLarge { len: 2_000, max }) = refused else {
            panic!("{refused:?}")
        };
        assert!((400..500).contains(&max), "{max}");
        assert!(matches!(refusal(&mut on, max + 1), Failure::Answered(Error::TooLarge { .. })));
        on.set_deadline(Deadline::after(Duration::ZERO));
        assert!(matches!(refusal(&mut on, max), Failure::NotDone(_)), "it is sent");
        on.limit_requests(10);
        let refused = refusal(&mut on, 1);
        assert!(matches!(refused, Failure::Answered(Error::Unavailable { .. })), "{refused:?}");
        assert!(format!("{refused:?}").contains("`max_allowed_packet`"), "{refused:?}");
    }

    #[test]
    fn an_error_of_the_server_says_what_is_known_of_the_change() {
        let refusal = |code| Refusal { code, ..Refusal::default() };
        let of = |code| Mysql::refused("a server", &refusal(code));
        for code in [1021, 1114] {
            assert!(matches!(of(code), Failure::Answered(Error::StorageFull { .. })), "{code}");
        }
        assert!(matches!(of(1040), Failure::NotNow(_)));
        assert!(matches!(of(1213), Failure::RolledBack(_)));
        for code in [1969, 3024] {
            assert!(matches!(of(code), Failure::Answered(Error::Unavailable { .. })), "{code}");
        }
        assert!(matches!(refusal(1180).of_the_connection(), Some(Failure::Lost(_))));
    }
}
