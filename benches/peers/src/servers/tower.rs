//! tower-sessions on the same server, with its published stores: on Redis through fred, on
//! PostgreSQL and MariaDB through sqlx.
//!
//! Its stores are asynchronous. One runtime runs their connections, and each caller blocks on it, as
//! a program with blocking calls would.

use std::sync::Arc;

use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::{Builder, Runtime};
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::SessionStore;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, KeysInterface, Pool};
use tower_sessions_sqlx_store::{MySqlStore, PostgresStore};

use crate::servers::Outcome;
use crate::servers::plain::Kind;
use crate::servers::sessions::{Content, Random, ensure, in_parallel};
use crate::tower_record::{content, in_a_day, record};

/// As many connections as the crate's engines open at most.
const CONNECTIONS: u32 = 16;

/// A call of tower-sessions' store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TowerCall {
    Load,
    /// What its middleware does for a request that keeps a session alive.
    LoadAndSave,
    Create,
    Save,
    Delete,
}

impl TowerCall {
    pub(crate) const ALL: [Self; 5] = [Self::Load, Self::LoadAndSave, Self::Create, Self::Save, Self::Delete];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Load => "tower-sessions `load`",
            Self::LoadAndSave => "tower-sessions `load`, `save`",
            Self::Create => "tower-sessions `create`",
            Self::Save => "tower-sessions `save`",
            Self::Delete => "tower-sessions `delete`",
        }
    }
}

/// Where the store is, for the removal of what it keeps.
enum Server {
    Postgres(sqlx::PgPool),
    Mysql(sqlx::MySqlPool),
    Redis(Pool),
}

/// The store, and the sessions that are only loaded and saved again.
pub(crate) struct Tower {
    runtime: Runtime,
    store: Box<dyn Store>,
    server: Server,
    ids: Vec<Id>,
}

/// [`SessionStore`], which no trait object can be made of, with calls that block.
trait Store: Send + Sync {
    fn create(&self, runtime: &Runtime, record: &mut Record) -> Outcome<()>;
    fn save(&self, runtime: &Runtime, record: &Record) -> Outcome<()>;
    fn load(&self, runtime: &Runtime, id: &Id) -> Outcome<Option<Record>>;
    fn delete(&self, runtime: &Runtime, id: &Id) -> Outcome<()>;
}

impl<S: SessionStore> Store for S {
    fn create(&self, runtime: &Runtime, record: &mut Record) -> Outcome<()> {
        Ok(runtime.block_on(SessionStore::create(self, record))?)
    }

    fn save(&self, runtime: &Runtime, record: &Record) -> Outcome<()> {
        Ok(runtime.block_on(SessionStore::save(self, record))?)
    }

    fn load(&self, runtime: &Runtime, id: &Id) -> Outcome<Option<Record>> {
        Ok(runtime.block_on(SessionStore::load(self, id))?)
    }

    fn delete(&self, runtime: &Runtime, id: &Id) -> Outcome<()> {
        Ok(runtime.block_on(SessionStore::delete(self, id))?)
    }
}

/// The schema or the database that holds the table of sessions.
fn schema() -> String {
    format!("bench_{}_tower", std::process::id())
}

/// A record that has no id yet.
fn new_record(number: usize) -> Outcome<Record> {
    record(Id::default(), &Content::new(number as u64), in_a_day())
}

impl Tower {
    /// A new store on the server, with as many sessions.
    pub(crate) fn open(kind: Kind, url: &str, sessions: usize) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        type Opened = (Box<dyn Store>, Server);
        let opened: Outcome<Opened> = runtime.block_on(async {
            let opened: Opened = match kind {
                // The race has a line for it in a file.
                Kind::File => return Err("tower-sessions is measured on servers".into()),
                Kind::Postgres => {
                    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await?;
                    let store = PostgresStore::new(pool.clone()).with_schema_name(schema())?;
                    store.migrate().await?;
                    (Box::new(store), Server::Postgres(pool))
                }
                Kind::Mysql => {
                    let pool = MySqlPoolOptions::new().max_connections(CONNECTIONS).connect(url).await?;
                    let store = MySqlStore::new(pool.clone()).with_schema_name(schema())?;
                    store.migrate().await?;
                    (Box::new(store), Server::Mysql(pool))
                }
                Kind::Redis => {
                    let pool = Pool::new(Config::from_url(url)?, None, None, None, CONNECTIONS as usize)?;
                    pool.init().await?;
                    (Box::new(RedisStore::new(pool.clone())), Server::Redis(pool))
                }
            };
            Ok(opened)
        });
        let (store, server) = opened?;
        let ids = in_parallel(sessions, |number| {
            let mut record = new_record(number)?;
            store.create(&runtime, &mut record)?;
            Ok(record.id)
        })?;
        Ok(Self { runtime, store, server, ids })
    }

    /// Removes everything that the store keeps; `others` are the sessions that callers have left.
    pub(crate) fn clean_up(&self, others: &[Id]) -> Outcome<()> {
        self.runtime.block_on(async {
            match &self.server {
                Server::Postgres(pool) => {
                    sqlx::query(&format!("drop schema {} cascade", schema())).execute(pool).await?;
                }
                Server::Mysql(pool) => {
                    sqlx::query(&format!("drop database {}", schema())).execute(pool).await?;
                }
                Server::Redis(pool) => {
                    let keys: Vec<String> = self.ids.iter().chain(others).map(Id::to_string).collect();
                    for some in keys.chunks(1_000) {
                        pool.unlink::<(), _>(some.to_vec()).await?;
                    }
                    pool.quit().await?;
                }
            }
            Ok(())
        })
    }
}

/// One thread's part of the store.
pub(crate) struct TowerSessions {
    tower: Arc<Tower>,
    own: Record,
    created: Vec<Id>,
    random: Random,
}

impl TowerSessions {
    pub(crate) fn new(tower: &Arc<Tower>, random: Random) -> Outcome<Self> {
        let mut own = new_record(0)?;
        tower.store.create(&tower.runtime, &mut own)?;
        Ok(Self { tower: Arc::clone(tower), own, created: Vec::new(), random })
    }

    /// Makes one call. `false`: no session is left for it.
    pub(crate) fn call(&mut self, call: TowerCall) -> Outcome<bool> {
        let Tower { runtime, store, ids, .. } = &*self.tower;
        let number = self.random.below(ids.len());
        match call {
            TowerCall::Load | TowerCall::LoadAndSave => {
                let found = store.load(runtime, &ids[number])?;
                let mut record = found.ok_or("a session of tower-sessions is gone")?;
                if call == TowerCall::LoadAndSave {
                    record.expiry_date = in_a_day();
                    store.save(runtime, &record)?;
                }
                ensure(content::<Content>(&record)?.is(number as u64), "another session was loaded")?;
            }
            TowerCall::Create => {
                let mut record = new_record(number)?;
                store.create(runtime, &mut record)?;
                self.created.push(record.id);
            }
            TowerCall::Save => {
                self.own = record(self.own.id, &Content::new(number as u64), in_a_day())?;
                store.save(runtime, &self.own)?;
            }
            TowerCall::Delete => {
                let Some(id) = self.created.pop() else { return Ok(false) };
                store.delete(runtime, &id)?;
            }
        }
        Ok(true)
    }

    /// Checks the stored results of the calls, and hands out the sessions that are left.
    pub(crate) fn end(&mut self) -> Outcome<Vec<Id>> {
        let Tower { runtime, store, .. } = &*self.tower;
        let stored = store.load(runtime, &self.own.id)?.ok_or("the saved session is gone")?;
        ensure(stored.data == self.own.data, "a save was lost")?;
        let mut left = std::mem::take(&mut self.created);
        left.push(self.own.id);
        Ok(left)
    }
}
