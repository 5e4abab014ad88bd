//! Times each call in a file and on each server, beside a bare client and tower-sessions on the same
//! server: `--only servers`, in a build with the feature `servers`.
//!
//! `bash tests/servers/run --bench` starts the servers and runs this. It uses the servers that
//! `SESSILE_TEST_POSTGRES_URL`, `SESSILE_TEST_MYSQL_URL` and `SESSILE_TEST_REDIS_URL` name, and a
//! file in the folder for temporary files. `--quick` runs each call for a moment. A wrong result ends
//! the run; a slow one does not.
//!
//! The table has the median and the 99th percentile of each call from one thread, the calls per
//! second from 32 threads, and ratios to a bare client's and to tower-sessions' calls, each from one
//! round. The calls take turns, so that other load affects all alike. A bare `SELECT 1` or `PING` shows
//! the least time of any call. There are 10,000 sessions of about 250 bytes, 10 per user. If a share of
//! the calls per second is far below the ratio from one thread, calls wait for one another. The crate
//! and tower-sessions have 16 connections each; each bare client has its own.

mod plain;
mod sessions;
mod slice;
mod table;
mod tower;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile::engine::{MysqlEngine, PostgresEngine};
use sessile::{SessionStore, Timeouts};

use plain::{Kind, PlainCall};
use sessions::{Content, Population, Random, SessionCall, Sessions, Stores};
use slice::Worker;
use table::Measured;
use tower::{Tower, TowerCall, TowerSessions};

pub(crate) use crate::session::Outcome;

/// How many threads call at once, besides the measurement on one thread.
const THREADS: usize = 32;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The size of the measurement.
#[derive(Clone, Copy, Debug)]
struct Scale {
    users: usize,
    rounds: usize,
    slice: Duration,
}

const WHOLE: Scale = Scale { users: 1_000, rounds: 7, slice: Duration::from_millis(250) };
const QUICK: Scale = Scale { users: 32, rounds: 1, slice: Duration::from_millis(20) };

/// One call, of the crate, of a bare client or of tower-sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Session(SessionCall),
    Plain(PlainCall),
    Tower(TowerCall),
}

/// Prints the table of every server that the environment names, and of a file.
pub(crate) fn run(is_quick: bool) -> Outcome<()> {
    let began = Instant::now();
    let scale = if is_quick { QUICK } else { WHOLE };
    println!(
        "{} rounds; a call has {} ms in each, from 1 thread and from {THREADS}.",
        scale.rounds,
        scale.slice.as_millis(),
    );
    println!("{} sessions, {} of each user.", scale.users * sessions::EACH, sessions::EACH);
    println!("Times and ratios are medians of the rounds; in brackets the least and the most of a ratio.");
    println!("\n{}", table::HEAD);
    for kind in Kind::ALL {
        let url = match kind {
            Kind::File => Ok(String::new()),
            _ => std::env::var(kind.variable()),
        };
        let Ok(url) = url else { continue };
        let rows = measure(kind, &url, scale).map_err(|error| format!("{}: {error}", kind.name()))?;
        table::print(kind, &rows);
    }
    println!("\nIt took {:.0} s.", began.elapsed().as_secs_f64());
    Ok(())
}

/// Measures all calls on one engine: in each round one after the other from one thread, then from
/// many.
fn measure(kind: Kind, url: &str, scale: Scale) -> Outcome<Vec<Measured>> {
    let place = Place::new(kind, url)?;
    let stores = place.open()?;
    let population = Arc::new(Population::create(&stores.usual, scale.users)?);
    let tower = match kind {
        Kind::File => None,
        _ => Some(Arc::new(Tower::open(kind, url, scale.users * sessions::EACH)?)),
    };
    let new_worker = |thread| -> Outcome<Worker> {
        let random = Random::new(thread);
        let sessions = Sessions::new(&stores, &population, random)?;
        let tower = tower.as_ref().map(|tower| TowerSessions::new(tower, random)).transpose()?;
        Ok(Worker { sessions, plain: place.plain()?, tower })
    };
    let mut workers = (0..THREADS).map(new_worker).collect::<Outcome<Vec<Worker>>>()?;

    let sessions = SessionCall::on(kind).map(Call::Session);
    let calls = sessions
        .chain(kind.plain_calls().iter().copied().map(Call::Plain))
        .chain(tower.iter().flat_map(|_| TowerCall::ALL).map(Call::Tower));
    let mut rows: Vec<Measured> = calls.map(Measured::new).collect();
    for round in 0..scale.rounds {
        // The first call of a round is the last of the next round.
        let turns: Vec<usize> = match round % 2 {
            0 => (0..rows.len()).collect(),
            _ => (0..rows.len()).rev().collect(),
        };
        // Apart, so that no call of one thread follows what 32 threads left to the server to write.
        for &turn in &turns {
            let row = &mut rows[turn];
            row.alone.push(slice::run(&mut workers[..1], row.call, scale.slice)?);
        }
        for &turn in &turns {
            let row = &mut rows[turn];
            row.together.push(slice::run(&mut workers, row.call, scale.slice)?);
        }
    }
    let mut left = Vec::new();
    for worker in &mut workers {
        worker.sessions.end()?;
        if let Some(sessions) = &mut worker.tower {
            left.extend(sessions.end()?);
        }
    }
    population.check(&stores.usual)?;
    drop(workers);
    if let Some(tower) = tower {
        tower.clean_up(&left)?;
    }
    stores.usual.clear()?;
    drop(stores);
    place.clean_up()?;
    Ok(rows)
}

/// A new store on a server, or in a file.
struct Place {
    kind: Kind,
    url: String,
    plain: String,
    folder: tempfile::TempDir,
}

impl Place {
    fn new(kind: Kind, url: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let name = format!("bench_{}", std::process::id());
        let own = match kind {
            Kind::File => format!("file:{}", folder.path().join("sessions.redb").display()),
            _ => format!("{url}{}name={name}", if url.contains('?') { '&' } else { '?' }),
        };
        Ok(Self { kind, url: own, plain: url.into(), folder })
    }

    fn open(&self) -> Outcome<Stores> {
        // A touch is due after a tenth of the inactivity timeout at most.
        let timeouts = Timeouts::new(20 * HOUR, 40 * HOUR)?;
        let builder = || SessionStore::<Content>::builder().timeouts(timeouts);
        Ok(match self.kind {
            Kind::File => Stores { usual: builder().connect(&self.url)?, writing: None },
            _ => {
                let often = builder().touch_interval(Duration::from_millis(1));
                let seldom = builder().touch_interval(HOUR);
                Stores {
                    usual: seldom.manual_maintenance().connect(&self.url)?,
                    writing: Some(often.manual_maintenance().connect(&self.url)?),
                }
            }
        })
    }

    fn plain(&self) -> Outcome<Box<dyn plain::Client>> {
        plain::connect(self.kind, &self.plain, self.folder.path())
    }

    /// Drops the tables. On Redis, clears the store, which leaves its metadata.
    fn clean_up(&self) -> Outcome<()> {
        match self.kind {
            Kind::Postgres => PostgresEngine::connect(&self.url)?.drop_tables()?,
            Kind::Mysql => MysqlEngine::connect(&self.url)?.drop_tables()?,
            Kind::File | Kind::Redis => {}
        }
        self.plain()?.clean_up()
    }
}
