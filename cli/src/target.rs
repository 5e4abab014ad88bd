//! What a verb works on: opening it, and saying who has it where that fails.

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::ops::{ControlFlow, Deref};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sessile::admin::{AdminSocket, RunningStore};
use sessile::engine::{MongodbEngine, MysqlEngine, PostgresEngine, RedbOptions, RedisEngine};
use sessile::{Durability, Error, Inspector, RedbEngine, Timeouts};

use crate::failure::{Failure, io_kind};
use crate::output;
use crate::progress::{at_once, flow};

/// How long an import may keep in memory what it was told is stored; it flushes at its end.
const DEFERRED: Duration = Duration::from_secs(1);

/// A store that a verb looks into: its file, or the program that has the file open.
pub(crate) struct Target {
    inspector: Inspector,
    /// The program's own numbers.
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
        if let Some(running) = &self.running {
            let text = running.stats_json()?;
            return Ok(serde_json::from_str(&text).ok());
        }
        Ok(None)
    }

    fn of_file(inspector: Inspector) -> Self {
        Self { inspector, running: None }
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
    if AdminSocket::is_at(target) {
        return through(door_at(target)?);
    }
    // Recovery starts over if it ends half way.
    match at_once(|| Inspector::open(target))? {
        Ok(inspector) => Ok(Target::of_file(inspector)),
        Err(error @ Error::AlreadyOpen { .. }) => by_the_door(target, error),
        Err(error) => Err(explained(error)),
    }
}

/// The door of the program that has a file open.
fn by_the_door(file: &Path, already_open: Error) -> Result<Target, Failure> {
    match door_beside(file) {
        Ok(running) => through(running),
        Err(Error::CalledOff { .. }) => Err(Failure::interrupted()),
        Err(closed) if is_closed(&closed) => Err(without_door(already_open, &closed)),
        Err(refused) => Err(refused.into()),
    }
}

/// The program that has a store open, for what a file cannot tell.
pub(crate) fn running(target: &Path) -> Result<RunningStore, Failure> {
    refuse_urls(target)?;
    let running = match AdminSocket::is_at(target) {
        true => door_at(target),
        false => door_beside(target),
    };
    running.map_err(|error| match error {
        Error::CalledOff { .. } => Failure::interrupted(),
        closed if is_closed(&closed) && target.exists() => Failure::from(closed).hint(DOOR),
        error => error.into(),
    })
}

/// How many seconds a program may be silent before the tool says so.
const PATIENCE_S: u64 = 5;

/// The door that the caller has named.
fn door_at(socket: &Path) -> sessile::Result<RunningStore> {
    RunningStore::at_with(socket, wait)
}

/// The door beside a file, of the file's owner.
fn door_beside(file: &Path) -> sessile::Result<RunningStore> {
    RunningStore::beside_with(file, wait)
}

/// Ctrl-C ends the wait for a program that does not answer.
fn wait(silence: Duration) -> ControlFlow<()> {
    if silence.as_secs() == PATIENCE_S {
        let text = format!("the program has not answered for {PATIENCE_S} s; Ctrl-C ends the tool");
        output::warn(text);
    }
    flow()
}

fn through(running: RunningStore) -> Result<Target, Failure> {
    let running = Arc::new(running);
    let inspector = Inspector::on(Arc::clone(&running))?;
    Ok(Target { inspector, running: Some(running) })
}

const DOOR: &str = "a program opens its admin socket with \
                    `store.serve_admin(AdminSocket::beside_file())`; if it is elsewhere, name it";

/// Whether no program listens. One that does may refuse the caller all the same.
fn is_closed(error: &Error) -> bool {
    matches!(io_kind(error), Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused))
}

fn without_door(error: Error, closed: &Error) -> Failure {
    let failure = explained(error).hint(DOOR);
    match std::error::Error::source(closed) {
        Some(cause) => failure.because(format!("it has no admin socket beside the file: {cause}")),
        None => failure,
    }
}

/// Opens a store to put many sessions into it: a file, a server, or the door of the program that
/// has the file.
pub(crate) fn open_to_fill(target: &Path, create: bool) -> Result<Target, Failure> {
    if let Some(url) = url(target) {
        return Ok(Target::of_file(on_server(&url, create)?));
    }
    if AdminSocket::is_at(target) {
        return through(door_at(target)?);
    }
    let options = RedbOptions::new()
        .durability(Durability::Deferred { interval: DEFERRED })
        .compact_on_open(false)
        .create_missing(create);
    let open = || RedbEngine::open_with(target, &options).and_then(Inspector::on);
    // A store is created to its end, and the verb's next step sees Ctrl-C.
    let opened = match create && is_missing(target) {
        true => open(),
        false => at_once(open)?,
    };
    match opened {
        Ok(inspector) => Ok(Target::of_file(inspector)),
        Err(error @ Error::AlreadyOpen { .. }) => by_the_door(target, error),
        Err(error) if is_missing(target) => {
            Err(explained(error).hint("`--create` creates the store"))
        }
        Err(error) => Err(explained(error)),
    }
}

/// Warns of a store that the tool has made as root in another user's folder, where the program may
/// not open it.
#[cfg(unix)]
pub(crate) fn warn_of_owner(new: &Path) {
    use std::os::unix::fs::MetadataExt;

    use crate::drafts::folder_of;
    let owner = |path: &Path| path.metadata().map(|found| found.uid());
    if let (Ok(0), Ok(user @ 1..)) = (owner(new), owner(folder_of(new))) {
        let new = new.display();
        output::warn(format!(
            "{new} belongs to root, and its folder to user {user}; if that user's program is to open \
             it: chown {user} {new}"
        ));
    }
}

#[cfg(not(unix))]
pub(crate) const fn warn_of_owner(_: &Path) {}

pub(crate) fn is_missing(target: &Path) -> bool {
    target.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The error, with the process that has the file where the system tells it.
pub(crate) fn explained(error: Error) -> Failure {
    let Error::AlreadyOpen { path } = &error else { return error.into() };
    let failure = match holder(path) {
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

/// The store on a server. Without timeouts on record no program has ever opened it: then it is made
/// only on request.
fn on_server(url: &str, create: bool) -> Result<Inspector, Failure> {
    macro_rules! inspector_on {
        ($engine:ty) => {
            match create {
                true => Some(Inspector::on(<$engine>::connect(url)?)?),
                false => <$engine>::connect_existing(url)?.map(Inspector::on).transpose()?,
            }
        };
    }
    let inspector = match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => inspector_on!(PostgresEngine),
        Some(("mysql", _)) => inspector_on!(MysqlEngine),
        Some(("mongodb" | "mongodb+srv", _)) => inspector_on!(MongodbEngine),
        Some(("redis" | "rediss", _)) => inspector_on!(RedisEngine),
        _ => {
            return Err(Failure::new("there is no server of the URL's scheme").hint(
                "write postgres://, mysql://, mongodb://, mongodb+srv://, redis:// or rediss://; \
                 see `sessile::guide::engines`",
            ));
        }
    };
    let is_there = |it: &Inspector| create || it.timeouts_on_record().is_some();
    inspector.filter(is_there).ok_or_else(|| {
        Failure::new("there is no store of this name on the server")
            .hint("a store's name is the parameter `name` of its URL")
    })
}

/// What a verb needs that works on a file alone.
pub(crate) fn refuse_urls(target: &Path) -> Result<(), Failure> {
    match url(target) {
        Some(_) => Err(Failure::new("this verb needs a file, and not a URL")),
        None => Ok(()),
    }
}

/// Refuses two names of one store: such a copy would bring back what ends in it meanwhile. A program
/// has one door for a store, so its file and that door are the same. Two names of one server are not
/// seen.
pub(crate) fn ensure_different(one: &Path, other: &Path) -> Result<(), Failure> {
    let shown = |target: &Path| url(target).map_or(target.display().to_string(), |_| "URL".into());
    match is_same(one, other) {
        true => {
            let (one, other) = (shown(one), shown(other));
            Err(Failure::new(format!("{one} and {other} are the same store"))
                .hint("name another store as the second one"))
        }
        false => Ok(()),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (url(one), url(other)) {
        (Some(one), Some(other)) => on_which_server(&one) == on_which_server(&other),
        (None, None) => {
            let door = AdminSocket::path_beside;
            let names = [(one, other), (&door(one), other), (one, &door(other))];
            names.iter().any(|(one, other)| {
                identity(one).is_some_and(|found| identity(other) == Some(found))
            })
        }
        _ => false,
    }
}

/// The server of a URL, as it is written there, and the store's name on it.
fn on_which_server(url: &str) -> (String, Option<&str>) {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    let (_login, server) = rest.rsplit_once('@').unwrap_or(("", rest));
    let server = format!("{scheme}://{}", server.trim_end_matches('/')).to_lowercase();
    (server, query.split('&').find_map(|pair| pair.strip_prefix("name=")))
}

/// What the names of a file have in common.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<std::path::PathBuf> {
    fs::canonicalize(path).ok()
}

/// Who has a file open, where the system tells it: Linux does, of one's own processes. A process that
/// has just been forked has its parent's files, too, and is not the one to name.
#[cfg(target_os = "linux")]
fn holder(path: &Path) -> Option<String> {
    let wanted = identity(path)?;
    let has_it_open = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.map(|file| file.path()).any(|file| identity(&file) == Some(wanted))
    };
    let numbers = fs::read_dir("/proc").ok()?.flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let holders: Vec<u32> =
        numbers.filter(|pid| *pid != std::process::id()).filter(has_it_open).collect();
    let pid = forker(&holders, parent)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} ({name})"),
    })
}

/// The process among these that none of the others has forked.
#[cfg(target_os = "linux")]
fn forker(holders: &[u32], parent: impl Fn(u32) -> Option<u32>) -> Option<u32> {
    let is_forked = |pid: &u32| parent(*pid).is_some_and(|parent| holders.contains(&parent));
    holders.iter().find(|pid| !is_forked(pid)).or(holders.first()).copied()
}

#[cfg(target_os = "linux")]
fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn holder(_: &Path) -> Option<String> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn of_the_processes_that_have_a_file_the_one_that_forked_the_others_is_named() {
        let parents = |of: &'static [(u32, u32)]| {
            move |pid| of.iter().find(|(child, _)| *child == pid).map(|(_, parent)| *parent)
        };
        // Numbers begin again at the highest, so a child's may be the smaller one.
        assert_eq!(forker(&[7, 900], parents(&[(7, 900), (900, 1)])), Some(900));
        assert_eq!(forker(&[7, 900], parents(&[(7, 1), (900, 7)])), Some(7));
        assert_eq!(forker(&[7], parents(&[])), Some(7));
        assert_eq!(forker(&[], parents(&[])), None);
    }

    #[test]
    fn two_urls_of_one_store_are_the_same_whoever_logs_in() {
        let same = |one: &str, other: &str| is_same(Path::new(one), Path::new(other));
        let shop = "redis://ann:hidden@localhost:6379/1?name=shop&timeout_ms=900";
        assert!(same(shop, "redis://LOCALHOST:6379/1/?tls=off&name=shop"));
        for other in [
            "redis://localhost:6379/1",
            "redis://localhost:6379/1?name=blog",
            "redis://localhost:6379/2?name=shop",
            "redis://other:6379/1?name=shop",
            "postgres://localhost:6379/1?name=shop",
            "sessions.redb",
        ] {
            assert!(!same(shop, other), "{other}");
        }
    }

    #[test]
    fn the_parent_of_this_process_is_found() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
    }
}
