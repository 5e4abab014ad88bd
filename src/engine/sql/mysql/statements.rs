//! The tables and the statements, in the SQL that MySQL 8 and MariaDB 10.6 share.
//!
//! Invariant: only [`terms`](crate::engine::sql::terms) defines which sessions are live. A
//! transaction that ends many sessions first marks them as `ending` and then uses the mark, so that
//! it neither ends nor reports sessions that others add meanwhile. No mark outlives its
//! transaction.
//!
//! No statement uses `row_count()`: if the client is gone, the server still runs the rest of a
//! text, and `row_count()` is -1 then.

use crate::engine::sql::statements::{LIMIT_LOCK, SHARDS, statements};
use crate::engine::sql::terms::{deadline, due, live, next_revision};

/// The statements that create the tables, each sent alone, in this order: if the last table exists,
/// all exist. `{}` is the store's name.
pub(super) const TABLES: &[&str] = &[
    "create table if not exists {}_sessions (session_key binary(16) not null primary key, \
     revision bigint not null, last_active bigint not null, index_deadline bigint not null, \
     created_at bigint not null, inactivity bigint, absolute bigint, ending tinyint, \
     user_key varbinary(256), record longblob not null, \
     index {}_sessions_deadline (index_deadline), \
     index {}_sessions_user (user_key, session_key)) engine=InnoDB row_format=dynamic",
    "create table if not exists {}_users (user_key varbinary(256) not null primary key, \
     logins bigint not null) engine=InnoDB row_format=dynamic",
    "create table if not exists {}_counts (shard bigint not null primary key, \
     n bigint not null) engine=InnoDB",
    "create table if not exists {}_meta (name varbinary(255) not null primary key, \
     value longblob not null) engine=InnoDB row_format=dynamic",
];

/// The statement that adds the rows that the counts must have, where they are missing.
pub(super) fn filling() -> String {
    let rows = (LIMIT_LOCK..i64::from(SHARDS)).map(|shard| format!("({shard}, 0)"));
    let rows = rows.collect::<Vec<_>>().join(", ");
    format!("insert into {{}}_counts values {rows} on duplicate key update n = n")
}

/// The settings of a new connection: the isolation level with the fewest locks, an error for a
/// value that does not fit and for a server without the tables' engine, the time limit for a lock
/// of a row or of a table as `$1` seconds, and on MySQL the time limit for a statement that only
/// reads as `$2` milliseconds. MariaDB skips this comment; the other one is for MariaDB alone, with
/// the time limit for a pause in a transaction that has written as `$3` seconds.
///
/// The rest undoes defaults that a server may have: a commit that begins another transaction or
/// ends the connection, results that are cut short, queries refused by an estimate.
pub(super) const SETTINGS: [&str; 2] = [
    "set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', session autocommit = 1, \
     session completion_type = 0, session sql_select_limit = 18446744073709551615, \
     session sql_big_selects = 1, session sql_safe_updates = 0, \
     session innodb_lock_wait_timeout = $1, session lock_wait_timeout = $1 \
     /*!50708 , session max_execution_time = $2 */ \
     /*M!100300 , session idle_write_transaction_timeout = $3 */",
    "set session transaction isolation level read committed",
];

/// The statements by which a new connection learns the server's role: whether it is a node of a
/// Galera cluster, and whether it takes writes. A node that is not a part of its cluster refuses
/// the first one, and answers the others all the same.
pub(super) const ROLE: &str = "do 0; show variables like 'wsrep_on'; \
    select @@max_allowed_packet, @@global.read_only, @@global.innodb_read_only, version()";

/// The query that a store sends when it is opened: the server's version, and those of the store's
/// tables whose engine has no transactions.
pub(super) const SERVER: &str = "select version(), (select \
     group_concat('`', found.table_name, '` in ', found.engine order by found.table_name \
     separator ', ') \
     from information_schema.tables as found join information_schema.engines as known \
     on known.engine = found.engine and known.transactions <> 'YES' \
     where found.table_schema = database() and found.table_name in \
     ('{}_sessions', '{}_users', '{}_counts', '{}_meta'))";

/// Loads the record under a key.
pub(super) const LOAD: &str = "select revision, last_active, index_deadline, user_key, record \
     from {}_sessions where session_key = $1";

/// A page of records in the order of their keys, up to a number of rows, and until the records
/// before a row exceed a number of bytes. Each row also has the number of rows without the limit of
/// bytes. The inner query selects no record, because the server would copy it.
macro_rules! page {
    ($which:literal, $limit:literal, $bytes:literal) => {
        concat!(
            "select found.session_key, revision, last_active, index_deadline, user_key, record, n \
             from (select session_key, count(*) over () as n, \
             sum(size) over (order by session_key) - size as ahead from \
             (select session_key, length(record) as size from {}_sessions where ",
            $which,
            " order by session_key limit ",
            $limit,
            ") as rows_of_page) as sized \
             straight_join {}_sessions as found on found.session_key = sized.session_key \
             where ahead <= ",
            $bytes,
            " order by sized.session_key"
        )
    };
}

statements! {
    @Begin = "begin";
    // Only for the next transaction.
    Repeatable = "set transaction isolation level repeatable read";
    BeginSnapshot = "start transaction with consistent snapshot, read only";
    @Commit = "commit";
    // Independent of time zones, and of the year 2038. A former primary has no time. `read_only` is
    // a number, and since MariaDB 12 one of several words.
    @Now = "select if(concat(@@global.read_only) in ('0', 'OFF') \
         and concat(@@global.innodb_read_only) in ('0', 'OFF'), \
         timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) div 1000, null)";
    @Load = LOAD;
    // key, now, resolution, inactivity, absolute
    Touch = concat!("update {}_sessions set last_active = $2 where session_key = $1 and ",
        due!("div"), " and ", live!("$2", "$4", "$5"));
    // the same values; also returns whether a touch is still due, because another transaction came
    // first
    ShowLive = concat!("select revision, last_active, index_deadline, user_key, record, ",
        due!("div"), " from {}_sessions where session_key = $1 and ", live!("$2", "$4", "$5"));
    // The limit for the number of records before an insert. With `set`, the subquery would lock
    // rows.
    IsFar = "select sum(n) < $1 into @sessile_is_far from {}_counts";
    // the columns
    InsertFar = "insert into {}_sessions (session_key, revision, last_active, index_deadline, \
         created_at, inactivity, absolute, user_key, record) \
         select $1, $2, $3, $4, $5, $6, $7, $8, $9 from dual where @sessile_is_far";
    CountFar = "update {}_counts set n = n + 1 where shard = $1 and @sessile_is_far";
    @Insert = "insert into {}_sessions (session_key, revision, last_active, index_deadline, \
         created_at, inactivity, absolute, user_key, record) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    // shard, how many
    @Count = "update {}_counts set n = n + $2 where shard = $1";
    // A write, so that MariaDB limits the pause after it, too.
    @LockLimit = "insert into {}_counts (shard, n) values ($1, 0) on duplicate key update n = n";
    // It fails without one of the tables that only some calls use.
    @IsCounted = "select count(*) >= 65 and not exists (select 1 from {}_users where 1 = 0) \
         and not exists (select 1 from {}_sessions where 1 = 0) from {}_counts";
    // name
    @LockFormat = "update {}_meta set value = value where name = $1";
    @CorrectCounts = "insert into {}_counts (shard, n) select 0, difference.missing from \
         (select (select count(*) from {}_sessions) - (select sum(n) from {}_counts) as missing) \
         as difference on duplicate key update n = {}_counts.n + difference.missing";
    // the lock
    @LockUser = "insert into {}_users (user_key, logins) values ($1, 1) \
         on duplicate key update logins = logins + 1";
    @Exists = "select 1 from {}_sessions where session_key = $1";
    @Stored = "select sum(n) from {}_counts";
    @Others = "select session_key, last_active, created_at, inactivity, absolute \
         from {}_sessions where user_key = $1 order by session_key for update";
    @DeleteKeys = "delete from {}_sessions where session_key in ($1)";
    // key, revision, now, inactivity, absolute, then the columns; whether the user must stay. The
    // new `last_active` is returned as the last inserted id.
    @Replace = concat!(
        "update {}_sessions set revision = $6, \
         last_active = last_insert_id(greatest(last_active, $7)), index_deadline = $8, \
         created_at = $9, inactivity = $10, absolute = $11, user_key = $12, record = $13 \
         where session_key = $1 and revision = $2 and ", live!("$3", "$4", "$5"),
        " and (not $14 or user_key <=> $12)");
    // the same, then the new key
    @Rekey = concat!(
        "update {}_sessions set session_key = $15, revision = $6, \
         last_active = last_insert_id(greatest(last_active, $7)), index_deadline = $8, \
         created_at = $9, inactivity = $10, absolute = $11, user_key = $12, record = $13 \
         where session_key = $1 and revision = $2 and ", live!("$3", "$4", "$5"),
        " and (not $14 or user_key <=> $12)");
    // key, now, inactivity, absolute
    @Look = concat!("select revision, user_key, ", live!("$2", "$3", "$4"),
        " from {}_sessions where session_key = $1");
    @LookAndLock = concat!("select revision, user_key, ", live!("$2", "$3", "$4"),
        " from {}_sessions where session_key = $1 for update");
    // key, owner, now, inactivity, absolute
    LookToRemove = concat!("select user_key, ", live!("$3", "$4", "$5"),
        " from {}_sessions where session_key = $1 and ($2 is null or user_key = $2) for update");
    // key, owner, shard
    CountRemoved = "update {}_counts set n = n - (select count(*) from {}_sessions \
         where session_key = $1 and ($2 is null or user_key = $2)) where shard = $3";
    // key, owner
    Remove = "delete from {}_sessions where session_key = $1 \
         and ($2 is null or user_key = $2)";
    // user
    MarkUser = "update {}_sessions set ending = 1 where user_key = $1";
    // user, now, inactivity, absolute
    Marked = concat!("select session_key, ", live!("$2", "$3", "$4"),
        " from {}_sessions where user_key = $1 and ending = 1 order by session_key");
    // user
    CountMarked = "update {}_counts set n = n - (select count(*) from {}_sessions \
         where user_key = $1 and ending = 1) where shard = 0";
    DeleteMarked = "delete from {}_sessions where user_key = $1 and ending = 1";
    // the key to keep, now, inactivity, absolute
    LookToKeep = concat!("select user_key from {}_sessions where session_key = $1 and ",
        live!("$2", "$3", "$4"), " for update");
    MarkOthers = concat!("update {}_sessions set ending = 1 where session_key <> $1 and user_key = \
         (select user_key from (select distinct user_key from {}_sessions \
         where session_key = $1 and ",
        live!("$2", "$3", "$4"), ") as kept)");
    MarkedOthers = concat!("select session_key, ", live!("$2", "$3", "$4"),
        " from {}_sessions where ending = 1 and user_key = \
         (select user_key from {}_sessions where session_key = $1) order by session_key");
    // the key to keep
    CountOthers = "update {}_counts set n = n - (select count(*) from {}_sessions where ending = 1 \
         and user_key = (select user_key from {}_sessions where session_key = $1)) \
         where shard = 0";
    DeleteOthers = "delete from {}_sessions where ending = 1 and user_key = \
         (select user_key from (select distinct user_key from {}_sessions where session_key = $1) \
         as kept)";
    // user, now, inactivity, absolute
    CountMarkedLive = concat!("select count(*) from {}_sessions where user_key = $1 \
         and ending = 1 and ", live!("$2", "$3", "$4"));
    // old, new
    RenameMarked = concat!("update {}_sessions set user_key = $2, ending = null, revision = ",
        next_revision!(), " where user_key = $1 and ending = 1");
    // user, from, limit, bytes
    @OfUser = page!("user_key = $1 and session_key >= $2", "$3", "$4");
    // after, now, inactivity, absolute, limit
    @Users = concat!("select user_key, count(*) from {}_sessions where user_key > $1 and ",
        live!("$2", "$3", "$4"), " group by user_key order by user_key limit $5");
    // from, limit, bytes
    @Page = page!("session_key >= $1", "$2", "$3");
    // now, limit. Skips rows that others have locked.
    Due = "select session_key from {}_sessions where index_deadline <= $1 \
         order by index_deadline limit $2 for update skip locked";
    // now, inactivity, absolute, keys
    MarkDue = concat!("update {}_sessions set ending = 1 where session_key in ($4) \
         and index_deadline <= $1 and ", deadline!("$2", "$3"), " <= $1");
    // keys
    MarkedKeys = "select session_key, user_key from {}_sessions where session_key in ($1) \
         and ending = 1";
    CountMarkedKeys = "update {}_counts set n = n - (select count(*) from {}_sessions \
         where session_key in ($1) and ending = 1) where shard = 0";
    DeleteMarkedKeys = "delete from {}_sessions where session_key in ($1) and ending = 1";
    // now, inactivity, absolute, keys
    MoveEarly = concat!("update {}_sessions set index_deadline = ", deadline!("$2", "$3"),
        " where session_key in ($4) and index_deadline <= $1");
    // from, limit
    PageEnd = "select max(session_key), count(*) from (select session_key from {}_sessions \
         where session_key >= $1 order by session_key limit $2) as page";
    // from, to, inactivity, absolute
    Reindex = concat!("update {}_sessions set index_deadline = ", deadline!("$3", "$4"),
        " where session_key between $1 and $2 and ", deadline!("$3", "$4"), " < index_deadline");
    // now, inactivity, absolute
    @CountLive = concat!("select (select sum(n) from {}_counts) - (select count(*) \
         from {}_sessions where index_deadline <= $1 and not (", live!("$1", "$2", "$3"), "))");
    LockAll = "select count(*) into @sessile_all from {}_sessions for update";
    ClearRows = "delete from {}_sessions";
    CountCleared = "update {}_counts set n = n - @sessile_all where shard = 0";
    @LoadMeta = "select value from {}_meta where name = $1";
    @StoreMeta = "insert into {}_meta (name, value) values ($1, $2) \
         on duplicate key update value = $2";
    @InitMeta = "insert into {}_meta (name, value) values ($1, $2) \
         on duplicate key update name = $1";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::statements::Texts as _;

    /// MariaDB 12 has the words OFF, ON, NO_LOCK and NO_LOCK_NO_ADMIN, none of which is true.
    #[test]
    fn whether_a_server_takes_writes_is_compared_as_text() {
        let mut compared = 0;
        for text in Text::ALL {
            for (at, _) in text.match_indices("@@global.") {
                let (before, after) = text.split_at(at);
                let (_, after) = after.split_once("read_only").unwrap();
                assert!(before.ends_with("concat("), "{text}");
                assert!(after.starts_with(") in ('0', 'OFF')"), "{text}");
                compared += 1;
            }
        }
        assert_eq!(compared, 2);
    }

    #[test]
    fn the_counts_are_complete_with_the_rows_that_fill_them() {
        let rows = filling().matches(", 0)").count();
        let text = Text::ALL[Text::IsCounted.number()];
        assert!(text.contains(&format!("count(*) >= {rows} ")), "{text}");
    }

    /// MySQL merges a derived table into the statement unless it is `distinct`, and then refuses
    /// the statement, because it reads the table that it changes.
    #[test]
    fn a_derived_table_of_the_changed_table_is_distinct() {
        let mut derived = 0;
        for text in Text::ALL {
            let change = ["update ", "delete from "].iter().find_map(|by| text.strip_prefix(by));
            let Some((table, rest)) = change.and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            let parts = rest.split("from (").skip(1);
            for part in parts.filter(|part| part.contains(&format!("from {table} "))) {
                assert!(part.starts_with("select distinct "), "{text}");
                derived += 1;
            }
        }
        assert_eq!(derived, 2);
    }
}
