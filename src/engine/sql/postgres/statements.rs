//! The tables and the statements, in the SQL that PostgreSQL, CockroachDB and YugabyteDB share.
//!
//! Invariant: each text is one statement, and so one step on the server. Only
//! [`terms`](crate::engine::sql::terms) defines which sessions are live.

use crate::engine::sql::statements::statements;
use crate::engine::sql::terms::{deadline, due, live, next_revision};

/// The statements that create the tables, each sent alone. `{}` is the store's name. A row of the
/// counts is a change of the number of records, or the sum of earlier changes; the one with the
/// shard -1 is the lock near the limit.
pub(super) const TABLES: &[&str] = &[
    "create table if not exists {}_sessions (key uuid primary key, revision bigint not null, \
     last_active bigint not null, index_deadline bigint not null, created_at bigint not null, \
     inactivity bigint, absolute bigint, user_key bytea, record bytea not null)",
    "create index if not exists {}_sessions_deadline on {}_sessions (index_deadline)",
    "create index if not exists {}_sessions_user on {}_sessions (user_key, key) \
     where user_key is not null",
    "create table if not exists {}_users (user_key bytea primary key, logins bigint not null)",
    "create table if not exists {}_counts (shard bigint not null, n bigint not null)",
];

/// Adds the row that the counts must have.
pub(super) const FILLING: &str = "insert into {}_counts (shard, n) select -1, 0 \
     where not exists (select 1 from {}_counts where shard = -1)";

/// Removes all but one of the rows that are the lock near the limit. Other servers may refuse it,
/// and lock them all.
pub(super) const ONE_LOCK: &str = "delete from {}_counts where shard = -1 \
     and ctid <> (select ctid from {}_counts where shard = -1 order by ctid limit 1)";

/// Creates the last table: if it exists, all exist.
pub(super) const META: &str =
    "create table if not exists {}_meta (name varchar(255) primary key, value bytea not null)";

/// Settings that other servers may refuse. Two make PostgreSQL faster: room in each page for the
/// next version of a row, and uncompressed content. Without the third it would delete no row of the
/// counts while they are published, as all tables are for some replicas and copies.
pub(super) const TUNING: &[&str] = &[
    "alter table {}_sessions set (fillfactor = 80)",
    "alter table {}_sessions alter record set storage external",
    IDENTIFY,
];

/// Lets the server delete rows of the counts that it publishes.
const IDENTIFY: &str = "alter table {}_counts replica identity full";

/// The query that a store sends when it is opened: the server's version, and in the next line those
/// of the store's tables that are unlogged.
pub(super) const SERVER: &str = "select current_setting('server_version') || chr(10) || coalesce(\
     (select string_agg('`' || relname || '`', ', ' order by relname) from pg_class \
     where relpersistence <> 'p' and oid in (to_regclass('{}_sessions'), to_regclass('{}_users'), \
     to_regclass('{}_counts'), to_regclass('{}_meta'))), '')";

/// A page of records in the order of their keys, up to a number of rows, and until the records
/// before a row exceed a number of bytes. Each row also has the number of rows without the limit of
/// bytes. Inside the query, a long record is only a reference to its storage.
macro_rules! page {
    ($which:literal, $limit:literal, $bytes:literal) => {
        concat!(
            "select key, revision, last_active, index_deadline, user_key, record, n from \
             (select key, revision, last_active, index_deadline, user_key, record, \
             count(*) over () as n, \
             sum(octet_length(record)) over (order by key) - octet_length(record) as ahead from \
             (select key, revision, last_active, index_deadline, user_key, record \
             from {}_sessions where ",
            $which,
            " order by key limit ",
            $limit,
            ") as rows_of_page) as sized where ahead <= ",
            $bytes,
            " order by key"
        )
    };
}

/// Locks rows in the order of their keys, as do all statements that lock many rows.
macro_rules! locked {
    ($which:literal) => {
        concat!(
            "select count(*) from (select 1 from {}_sessions ",
            $which,
            " order by key for update) as locked"
        )
    };
}

/// The keys of rows that this transaction has locked, or locks without a wait.
macro_rules! not_locked {
    ($which:literal) => {
        concat!("select key from {}_sessions where ", $which, " for update skip locked")
    };
}

/// Counts the rows that are `gone`.
macro_rules! counted {
    () => {
        "insert into {}_counts (shard, n) select 0, -count(*) from gone having count(*) > 0"
    };
}

statements! {
    @Begin = "begin isolation level read committed";
    BeginSnapshot = "begin isolation level repeatable read read only";
    @Commit = "commit";
    @Now = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
    @Load = "select revision, last_active, index_deadline, user_key, record \
            from {}_sessions where key = $1";
    // key, now, resolution, inactivity, absolute
    // Also returns whether a touch is still due, because another transaction came first: repeat.
    Extend = concat!(
        "with touched as (update {}_sessions set last_active = $2 where key = $1 and ", due!("/"),
        " and ", live!("$2", "$4", "$5"),
        " returning revision, last_active, index_deadline, user_key, record) \
         select revision, last_active, index_deadline, user_key, record, false from touched \
         union all select revision, last_active, index_deadline, user_key, record, ", due!("/"),
        " from {}_sessions where key = $1 and ", live!("$2", "$4", "$5"),
        " and not exists (select 1 from touched)");
    // the columns; the most records that this statement may count
    InsertFar = "with added as (insert into {}_sessions \
         (key, revision, last_active, index_deadline, created_at, inactivity, absolute, user_key, \
         record) select $1, $2, $3, $4, $5, $6, $7, $8, $9 \
         where $10 > (select sum(n)::bigint from {}_counts) \
         on conflict (key) do nothing returning 1), \
         counted as (insert into {}_counts (shard, n) select 0, 1 from added) \
         select (select count(*) from added), (select sum(n)::bigint from {}_counts)";
    // the columns
    InsertCounted = "with counted as (insert into {}_counts (shard, n) values (0, 1)) \
         insert into {}_sessions \
         (key, revision, last_active, index_deadline, created_at, inactivity, absolute, user_key, \
         record) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    @Insert = "insert into {}_sessions (key, revision, last_active, index_deadline, created_at, \
         inactivity, absolute, user_key, record) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    // shard, how many
    @Count = "insert into {}_counts (shard, n) values ($1, $2)";
    // In a snapshot: a sum of all changes takes their place. It has the highest shard.
    BeginSum = "begin isolation level repeatable read";
    InsertSum = "insert into {}_counts (shard, n) select max(shard) + 1, sum(n)::bigint \
         from {}_counts where shard >= 0 having count(*) > 1";
    DeleteSummed = "delete from {}_counts where shard >= 0 \
         and shard < (select max(shard) from {}_counts)";
    Identify = IDENTIFY;
    @LockLimit = "select n from {}_counts where shard = $1 for update";
    // A dump that is restored over the tables doubles the rows of the counts, the lock included. It
    // fails without one of the tables that only some calls use.
    @IsCounted = "select (case when count(*) = 1 then 1 else 0 end)::bigint \
         from {}_counts where shard = -1 \
         and not exists (select 1 from {}_users where false) \
         and not exists (select 1 from {}_sessions where false)";
    // name
    @LockFormat = "update {}_meta set value = value where name = $1";
    @CorrectCounts = "insert into {}_counts (shard, n) select 0, missing from \
         (select (select count(*) from {}_sessions) \
         - (select coalesce(sum(n), 0)::bigint from {}_counts) as missing) as difference \
         where missing <> 0";
    // the lock
    @LockUser = "insert into {}_users (user_key, logins) values ($1, 1) \
         on conflict (user_key) do update set logins = {}_users.logins + 1";
    @Exists = "select 1 from {}_sessions where key = $1";
    @Stored = "select sum(n)::bigint from {}_counts";
    @Others = "select key, last_active, created_at, inactivity, absolute from {}_sessions \
         where user_key = $1 order by key for update";
    @DeleteKeys = "delete from {}_sessions where key = any($1)";
    // key, revision, now, inactivity, absolute, then the columns; whether the user must stay
    @Replace = concat!(
        "update {}_sessions set revision = $6, last_active = greatest(last_active, $7), \
         index_deadline = $8, created_at = $9, inactivity = $10, absolute = $11, user_key = $12, \
         record = $13 where key = $1 and revision = $2 and ", live!("$3", "$4", "$5"),
        " and (not $14 or user_key is not distinct from $12) returning last_active");
    // the same, then the new key
    @Rekey = concat!(
        "update {}_sessions set key = $15, revision = $6, \
         last_active = greatest(last_active, $7), index_deadline = $8, created_at = $9, \
         inactivity = $10, absolute = $11, user_key = $12, record = $13 \
         where key = $1 and revision = $2 and ", live!("$3", "$4", "$5"),
        " and (not $14 or user_key is not distinct from $12) returning last_active");
    // key, now, inactivity, absolute
    @Look = concat!("select revision, user_key, ", live!("$2", "$3", "$4"),
        " from {}_sessions where key = $1");
    @LookAndLock = concat!("select revision, user_key, ", live!("$2", "$3", "$4"),
        " from {}_sessions where key = $1 for update");
    // key, owner, now, inactivity, absolute
    Remove = concat!(
        "with gone as (delete from {}_sessions where key = $1 and ($2 is null or user_key = $2) \
         returning user_key, ", live!("$3", "$4", "$5"), " as live), \
         counted as (insert into {}_counts (shard, n) select 0, -1 from gone) \
         select user_key, live from gone");
    // user. After a wait for a lock, a statement looks the row up by its old key, which a rekey may
    // have changed. So this one only locks; the next one changes what is locked, and the rows that
    // came meanwhile, unless a login has locked them: to wait for it could be a deadlock.
    LockRows = locked!("where user_key = $1");
    // user, now, inactivity, absolute
    RemoveUser = concat!(
        "with gone as (delete from {}_sessions where key in (", not_locked!("user_key = $1"), ") \
         returning key, ", live!("$2", "$3", "$4"), " as live), \
         counted as (", counted!(), ") select key, live from gone");
    // the key to keep
    LockWithOthers = locked!("where user_key = (select user_key from {}_sessions where key = $1)");
    // the key to keep, now, inactivity, absolute
    RemoveOthers = concat!(
        "with kept as (select user_key from {}_sessions where key = $1 and ",
        live!("$2", "$3", "$4"), " for update), \
         gone as (delete from {}_sessions where key in (",
        not_locked!("user_key = (select user_key from kept) and key <> $1"), ") \
         returning key, ", live!("$2", "$3", "$4"), " as live), \
         counted as (", counted!(), ") \
         select kept.user_key, gone.key, gone.live from kept left join gone on true");
    // old, new, now, inactivity, absolute
    Rename = concat!(
        "with renamed as (update {}_sessions set user_key = $2, revision = ", next_revision!(),
        " where key in (", not_locked!("user_key = $1"), ") \
         returning ", live!("$3", "$4", "$5"), " as live) \
         select count(*) from renamed where live");
    // user, from, limit, bytes
    @OfUser = page!("user_key = $1 and key >= $2", "$3", "$4");
    // after, now, inactivity, absolute, limit
    @Users = concat!("select user_key, count(*) from {}_sessions where user_key > $1 and ",
        live!("$2", "$3", "$4"), " group by user_key order by user_key limit $5");
    // from, limit, bytes
    @Page = page!("key >= $1", "$2", "$3");
    // now, inactivity, absolute, limit
    Sweep = concat!(
        "with due as (select key, ", deadline!("$2", "$3"), " as ends from {}_sessions \
         where index_deadline <= $1 order by index_deadline limit $4 for update skip locked), \
         gone as (delete from {}_sessions where key in (select key from due where ends <= $1) \
         returning key, user_key), \
         counted as (", counted!(), ") \
         select seen.n, gone.key, gone.user_key from (select count(*) as n from due) as seen \
         left join gone on true");
    // now, inactivity, absolute, limit
    MoveEarly = concat!(
        "update {}_sessions set index_deadline = ", deadline!("$2", "$3"), " where key in \
         (select key from {}_sessions where index_deadline <= $1 and ", deadline!("$2", "$3"),
        " > $1 order by index_deadline limit $4 for update skip locked)");
    // from, inactivity, absolute, limit
    Reindex = concat!(
        "with page as (select key from {}_sessions where key >= $1 order by key limit $4), \
         late as (select key from {}_sessions where key in (select key from page) and ",
        deadline!("$2", "$3"), " < index_deadline order by key for update), \
         moved as (update {}_sessions set index_deadline = ", deadline!("$2", "$3"),
        " where key in (select key from late) and ", deadline!("$2", "$3"), " < index_deadline \
         returning 1) \
         select key, (select count(*) from page), (select count(*) from moved) \
         from page order by key desc limit 1");
    // now, inactivity, absolute
    @CountLive = concat!(
        "select (select sum(n)::bigint from {}_counts) - (select count(*) from {}_sessions \
         where index_deadline <= $1 and not (", live!("$1", "$2", "$3"), "))");
    LockTimeout = "set local lock_timeout = '100ms'";
    // the milliseconds that a statement may take, as text
    StatementTimeout = "select set_config('statement_timeout', $1, true)";
    // the same
    IdleLimit = "select set_config('idle_in_transaction_session_timeout', $1, true)";
    Truncate = "truncate {}_sessions";
    LockAll = locked!("");
    ClearRows = concat!("with gone as (delete from {}_sessions returning 1) ", counted!());
    // A host that adds the changes up replaces the rows at that moment: then its sum stays, and the
    // same number is taken off it.
    ResetCounts = "with gone as (delete from {}_counts where shard >= 0 returning n), \
         stays as (select (select coalesce(sum(n), 0)::bigint from {}_counts) \
         - (select coalesce(sum(n), 0)::bigint from gone) as n) \
         insert into {}_counts (shard, n) select 0, -n from stays where n <> 0";
    @LoadMeta = "select value from {}_meta where name = $1";
    @StoreMeta = "insert into {}_meta (name, value) values ($1, $2) \
         on conflict (name) do update set value = excluded.value";
    @InitMeta = "insert into {}_meta (name, value) values ($1, $2) on conflict (name) do nothing";
}
