//! tower-sessions with its SQLite store through sqlx, a usual choice of Rust web applications.
//!
//! The store is asynchronous and draws its own ids; only this side has a runtime. A store of
//! tower-sessions cannot move the deadline alone, so here, as in its middleware, a use is a load
//! and a save.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};
use tower_sessions_core::session::{Id as TowerId, Record};
use tower_sessions_core::session_store::{ExpiredDeletion, SessionStore};
use tower_sessions_sqlx_store::SqliteStore;

use crate::contender::{self, Contender, Population};
use crate::session::{Content, Id, Outcome};
use crate::tower_record::{content, in_a_day, record};

pub struct Tower {
    runtime: Mutex<Runtime>,
    pool: sqlx::SqlitePool,
    store: SqliteStore,
}

fn tower_id(id: &Id) -> TowerId {
    match id {
        Id::Raw(bytes) => TowerId(i128::from_le_bytes(*bytes)),
        // No session has this id.
        Id::Ours(_) => TowerId::default(),
    }
}

impl Tower {
    pub fn open(directory: &Path) -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let options = SqliteConnectOptions::new()
            .filename(directory.join("tower.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(60));
        // One connection is the fastest for one client, and can report the number of deleted rows.
        let pool = runtime.block_on(SqlitePoolOptions::new().max_connections(1).connect_with(options))?;
        let store = SqliteStore::new(pool.clone());
        runtime.block_on(store.migrate())?;
        Ok(Self { runtime: Mutex::new(runtime), pool, store })
    }

    fn runtime(&self) -> MutexGuard<'_, Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, id: &Id) -> Outcome<Option<Record>> {
        Ok(self.store.load(&tower_id(id)).await?)
    }

    async fn rows_deleted_so_far(&self) -> Outcome<i64> {
        Ok(sqlx::query_scalar("SELECT total_changes()").fetch_one(&self.pool).await?)
    }
}

impl Contender for Tower {
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        let runtime = self.runtime();
        let population = contender::in_batches(first, live, expired, |batch| {
            runtime.block_on(async {
                let mut transaction = self.pool.begin().await?;
                for planned in batch {
                    let seconds = (planned.times.deadline() / 1000) as i64;
                    let expiry_date = OffsetDateTime::from_unix_timestamp(seconds)?;
                    let record = record(tower_id(&planned.id), &planned.content, expiry_date)?;
                    // The same row as the store writes, many in one transaction.
                    sqlx::query("INSERT INTO tower_sessions (id, data, expiry_date) VALUES (?, ?, ?)")
                        .bind(record.id.to_string())
                        .bind(rmp_serde::to_vec(&record)?)
                        .bind(record.expiry_date)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(())
            })
        })?;
        runtime.block_on(sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.pool))?;
        Ok(population)
    }

    fn read(&self, id: &Id) -> Outcome<Option<Content>> {
        let record = self.runtime().block_on(self.load(id))?;
        record.as_ref().map(content).transpose()
    }

    fn extend(&self, id: &Id) -> Outcome<bool> {
        Ok(self.read_and_extend(id)?.is_some())
    }

    fn read_and_extend(&self, id: &Id) -> Outcome<Option<Content>> {
        self.runtime().block_on(async {
            let Some(mut record) = self.load(id).await? else {
                return Ok(None);
            };
            record.expiry_date = in_a_day();
            self.store.save(&record).await?;
            content(&record).map(Some)
        })
    }

    fn create(&self, content: &Content) -> Outcome<Id> {
        let mut record = record(TowerId::default(), content, in_a_day())?;
        self.runtime().block_on(self.store.create(&mut record))?;
        Ok(Id::Raw(record.id.0.to_le_bytes()))
    }

    fn update(&self, id: &Id, content: &Content) -> Outcome<bool> {
        self.runtime().block_on(async {
            let Some(before) = self.load(id).await? else {
                return Ok(false);
            };
            self.store.save(&record(before.id, content, before.expiry_date)?).await?;
            Ok(true)
        })
    }

    fn destroy(&self, id: &Id) -> Outcome<bool> {
        self.runtime().block_on(self.store.delete(&tower_id(id)))?;
        // The store does not report whether the session existed.
        Ok(true)
    }

    fn delete_expired(&self) -> Outcome<u64> {
        self.runtime().block_on(async {
            let before = self.rows_deleted_so_far().await?;
            self.store.delete_expired().await?;
            Ok((self.rows_deleted_so_far().await? - before) as u64)
        })
    }
}
