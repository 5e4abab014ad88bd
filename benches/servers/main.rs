//! What a call costs in a file and on each server, beside a bare client of the same server.
//!
//! `bash tests/servers/run --bench` starts the servers and runs it. It goes to the servers that
//! `SESSILE_TEST_POSTGRES_URL`, `SESSILE_TEST_MYSQL_URL` and `SESSILE_TEST_REDIS_URL` name, and to
//! a file in the folder for temporary files. `-- --quick` tries each call for a moment. A wrong
//! answer ends the run; a time never does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "times are what it measures")]

mod plain;
mod sessions;
mod slice;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile::SessionStore;
use sessile::engine::{MysqlEngine, PostgresEngine};

use plain::{Kind, PlainCall};
use sessions::{Content, Population, SessionCall};
use slice::Worker;
use table::Measured;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How many threads call at once where one alone is not measured.
const THREADS: usize = 16;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    users: usize,
    rounds: usize,
    slice: Duration,
}

const WHOLE: Scale = Scale { users: 1_000, rounds: 7, slice: Duration::from_millis(250) };
const QUICK: Scale = Scale { users: 32, rounds: 1, slice: Duration::from_millis(20) };

/// One call, of the crate or of a bare client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Session(SessionCall),
    Plain(PlainCall),
}

fn main() -> Outcome<()> {
    let began = Instant::now();
    // Cargo names the kind of run.
    let mut words: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_quick = words.iter().any(|word| word == "--quick");
    words.retain(|word| word != "--quick");
    let scale = if is_quick { QUICK } else { WHOLE };
    if let Some(other) =
        words.iter().find(|word| !Kind::ALL.iter().any(|kind| kind.word() == **word))
    {
        return Err(format!("`{other}` is not measured; there are: postgres mysql redis").into());
    }

    println!(
        "{} rounds; a call has {} ms in each, from 1 thread and from {THREADS}.",
        scale.rounds,
        scale.slice.as_millis(),
    );
    println!("{} sessions, {} of each user.", scale.users * sessions::EACH, sessions::EACH);
    println!(
        "Times and ratios are medians of the rounds; in brackets the least and the most of a ratio."
    );
    println!("\n{}", table::HEAD);
    for kind in Kind::ALL {
        let is_named = words.iter().any(|word| word == kind.word());
        let url = match (kind, std::env::var(kind.variable())) {
            (Kind::File, _) => String::new(),
            (_, Ok(url)) if is_named || words.is_empty() => url,
            (_, Err(_)) if is_named => return Err(format!("{} is not set", kind.variable()).into()),
            _ => continue,
        };
        let rows =
            measure(kind, &url, scale).map_err(|error| format!("{}: {error}", kind.name()))?;
        table::print(kind, &rows);
    }
    println!("\nIt took {:.0} s.", began.elapsed().as_secs_f64());
    Ok(())
}

/// Measures all calls on one engine, which take turns in each round.
fn measure(kind: Kind, url: &str, scale: Scale) -> Outcome<Vec<Measured>> {
    let place = Place::new(kind, url)?;
    let store = place.open()?;
    let population = Arc::new(Population::create(&store, scale.users)?);
    let workers: Outcome<Vec<Worker>> =
        (0..THREADS).map(|_| Worker::new(&store, &population, place.plain()?)).collect();
    let mut workers = workers?;

    let sessions = SessionCall::ALL.into_iter().map(Call::Session);
    let calls = sessions.chain(kind.plain_calls().iter().copied().map(Call::Plain));
    let mut rows: Vec<Measured> = calls.map(Measured::new).collect();
    for round in 0..scale.rounds {
        for place in 0..rows.len() {
            // What was first in a round is last in the next one.
            let place = if round % 2 == 0 { place } else { rows.len() - 1 - place };
            let row = &mut rows[place];
            row.alone.push(slice::run(&mut workers[..1], row.call, scale.slice)?);
            row.together.push(slice::run(&mut workers, row.call, scale.slice)?);
        }
    }
    for worker in &mut workers {
        worker.end()?;
    }
    population.check(&store)?;
    drop(workers);
    store.clear()?;
    drop(store);
    place.clean_up()?;
    Ok(rows)
}

/// A store of its own on a server, or in a file.
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

    fn open(&self) -> Outcome<SessionStore<Content>> {
        let builder = SessionStore::<Content>::builder();
        let builder = match self.kind {
            Kind::File => builder,
            // Each extension is written, which is the dearest case. By default most are reads.
            _ => builder.touch_interval(Duration::from_millis(1)).manual_maintenance(),
        };
        Ok(builder.connect(&self.url)?)
    }

    fn plain(&self) -> Outcome<Box<dyn plain::Client>> {
        plain::connect(self.kind, &self.plain, self.folder.path())
    }

    /// Takes away the tables. Redis keeps a few words on a store that was cleared.
    fn clean_up(&self) -> Outcome<()> {
        match self.kind {
            Kind::Postgres => PostgresEngine::connect(&self.url)?.drop_tables()?,
            Kind::Mysql => MysqlEngine::connect(&self.url)?.drop_tables()?,
            Kind::File | Kind::Redis => {}
        }
        self.plain()?.clean_up()
    }
}
