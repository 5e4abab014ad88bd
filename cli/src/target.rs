//! What a verb works on: opening it, and saying who has it where that fails.

use std::borrow::Cow;
#[cfg(unix)]
use std::fs;
use std::ops::Deref;
use std::path::Path;
#[cfg(unix)]
use std::sync::Arc;

#[cfg(unix)]
use sessile::admin::RunningStore;
use sessile::engine::{MongodbEngine, MysqlEngine, PostgresEngine, RedbOptions, RedisEngine};
use sessile::{Durability, Error, Inspector, RedbEngine, Timeouts};

use crate::failure::Failure;

/// How long an import may keep in memory what it was told is stored; it flushes at its end.
const DEFERRED: std::time::Duration = std::time::Duration::from_secs(1);

/// A store that a verb looks into: its file, or the program that has the file open.
pub(crate) struct Target {
    inspector: Inspector,
    /// The program's own numbers.
    #[cfg(unix)]
    running: Option<Arc<RunningStore>>,
}

impl Target {
    pub(crate) fn close(self) -> Result<(), Failure> {
        Ok(self.inspector.close()?)
    }

    pub(crate) fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { inspector: self.inspector.with_timeouts(timeouts), ..self }
    }

    /// The numbers of the program that has the store open, if the tool goes through its door.
    pub(crate) fn program(&self) -> Result<Option<serde_json::Value>, Failure> {
        #[cfg(unix)]
        if let Some(running) = &self.running {
            let text = running.stats_json()?;
            return Ok(serde_json::from_str(&text).ok());
        }
        Ok(None)
    }

    fn of_file(inspector: Inspector) -> Self {
        Self {
            inspector,
            #[cfg(unix)]
            running: None,
        }
    }
}

impl Deref for Target {
    type Target = Inspector;

    fn deref(&self) -> &Inspector {
        &self.inspector
    }
}

/// Opens a store that is there, and changes nothing: the file, or the door of the program that has
/// it.
pub(crate) fn open(target: &Path) -> Result<Target, Failure> {
    if let Some(url) = url(target) {
        return Ok(Target::of_file(on_server(&url, false)?));
    }
    #[cfg(unix)]
    if is_socket(target) {
        return through(RunningStore::at(target)?);
    }
    match Inspector::open(target) {
        Ok(inspector) => Ok(Target::of_file(inspector)),
        #[cfg(unix)]
        Err(error @ Error::AlreadyOpen { .. }) => match RunningStore::beside(target) {
            Ok(running) => through(running),
            Err(closed) => Err(without_door(error, &closed, target)),
        },
        Err(error) => Err(explained(error, target)),
    }
}

/// The program that has a store open, for what a file cannot tell.
#[cfg(unix)]
pub(crate) fn running(target: &Path) -> Result<RunningStore, Failure> {
    refuse_urls(target)?;
    let running = match is_socket(target) {
        true => RunningStore::at(target),
        false => RunningStore::beside(target),
    };
    running.map_err(|error| Failure::from(error).hint(DOOR))
}

#[cfg(unix)]
fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[cfg(unix)]
fn through(running: RunningStore) -> Result<Target, Failure> {
    let running = Arc::new(running);
    let inspector = Inspector::on(Arc::clone(&running))?;
    Ok(Target { inspector, running: Some(running) })
}

#[cfg(unix)]
const DOOR: &str = "a program opens a door for this tool with \
                    `store.serve_admin(AdminSocket::beside_file())`; name its socket where it is elsewhere";

#[cfg(unix)]
fn without_door(error: Error, closed: &Error, target: &Path) -> Failure {
    let failure = explained(error, target).hint(DOOR);
    match std::error::Error::source(closed) {
        Some(cause) => failure.because(format!("its door beside the file is closed: {cause}")),
        None => failure,
    }
}

/// Opens a store to put many sessions into it.
pub(crate) fn open_to_fill(target: &Path, create: bool) -> Result<Inspector, Failure> {
    if let Some(url) = url(target) {
        return on_server(&url, create);
    }
    let options = RedbOptions::new()
        .durability(Durability::Deferred { interval: DEFERRED })
        .compact_on_open(false)
        .create_missing(create);
    let opened = RedbEngine::open_with(target, &options).and_then(Inspector::on);
    opened.map_err(|error| match error {
        Error::Io { action: "open", .. } => {
            explained(error, target).hint("`--create` creates the store")
        }
        error => explained(error, target),
    })
}

/// The error, with the process that has the file where the system tells it.
pub(crate) fn explained(error: Error, target: &Path) -> Failure {
    let Error::AlreadyOpen { .. } = &error else { return error.into() };
    let failure = match holder(target) {
        Some(who) => Failure::from(error).because(format!("{who} has it open")),
        None => error.into(),
    };
    failure.hint("this needs the file to itself: end that program first, or work on a backup")
}

/// A target that is no path. It may hold a password, so that no message shows it.
fn url(target: &Path) -> Option<Cow<'_, str>> {
    let text = target.to_string_lossy();
    is_url(&text).then_some(text)
}

/// Whether it is a URL, or what its writer took for one: a file of such a name is `./postgres:...`.
pub(crate) fn is_url(text: &str) -> bool {
    let (scheme, _) = text.split_once(':').unwrap_or_default();
    text.contains("://") || SCHEMES.contains(&scheme)
}

const SCHEMES: [&str; 7] =
    ["postgres", "postgresql", "mysql", "mongodb", "mongodb+srv", "redis", "rediss"];

/// The store on a server. Without timeouts on record no program has ever opened it, and a verb that
/// looks refuses it: on PostgreSQL and MySQL the engine has made its empty tables by then.
fn on_server(url: &str, create: bool) -> Result<Inspector, Failure> {
    let inspector = match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Inspector::on(PostgresEngine::connect(url)?)?,
        Some(("mysql", _)) => Inspector::on(MysqlEngine::connect(url)?)?,
        Some(("mongodb" | "mongodb+srv", _)) => Inspector::on(MongodbEngine::connect(url)?)?,
        Some(("redis" | "rediss", _)) => Inspector::on(RedisEngine::connect(url)?)?,
        _ => {
            return Err(Failure::new("there is no server of the URL's scheme").hint(
                "write postgres://, mysql://, mongodb://, redis:// or rediss://; \
                 see `sessile::guide::engines`",
            ));
        }
    };
    match create || inspector.timeouts_on_record().is_some() {
        true => Ok(inspector),
        false => Err(Failure::new("there is no store of this name on the server").hint(
            "a store's name is the parameter `name` of its URL; on PostgreSQL and MySQL its tables \
             are there now, and empty",
        )),
    }
}

/// What a verb needs that works on a file alone.
pub(crate) fn refuse_urls(target: &Path) -> Result<(), Failure> {
    match url(target) {
        Some(_) => Err(Failure::new("this verb needs a file, and not a URL")),
        None => Ok(()),
    }
}

/// Who has a file open, where the system tells it: Linux does, of one's own processes.
#[cfg(target_os = "linux")]
fn holder(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let wanted = identity(path)?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pid = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(
        |pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            *pid != std::process::id()
                && files.map(|file| file.path()).any(|file| identity(&file) == Some(wanted))
        },
    )?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} ({name})"),
    })
}

#[cfg(not(target_os = "linux"))]
fn holder(_: &Path) -> Option<String> {
    None
}
