//! For the test of the window: makes files in a given state, and prints what is stored. Never
//! prints a session id.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notes::content::{self, Desk, release_1};
use notes::kept::{Keeper, Place};
use sessile::SessionStore;

const USAGE: &str = "desktop-fixture release-1 FOLDER USER NOTES | logins FOLDER USER COMPUTER.. | \
                     many FOLDER COUNT | fill FOLDER | damage FOLDER USER | show FOLDER";
const PAGE: usize = 4_096;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let given: Vec<String> = env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    match given.as_slice() {
        ["release-1", folder, user, notes] => release_1_file(Path::new(folder), user, notes),
        ["logins", folder, user, computers @ ..] => logins(Path::new(folder), user, computers),
        ["many", folder, count] => many(Path::new(folder), count.parse()?),
        ["fill", folder] => fill(Path::new(folder)),
        ["damage", folder, user] => damage(Path::new(folder), user),
        ["show", folder] => show(Path::new(folder)),
        _ => Err(USAGE.into()),
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("sessions.redb")
}

fn open(folder: &Path) -> sessile::Result<SessionStore<Desk>> {
    content::settings()?.open(file(folder))
}

/// A file of release 1, with a kept login.
fn release_1_file(folder: &Path, user: &str, notes: &str) -> Done {
    let store = SessionStore::builder()
        .timeouts(sessile::Timeouts::new(content::KEPT, content::KEPT)?)
        .content_name(content::NAME)
        .content_version(release_1::VERSION, |old| old.decode::<release_1::Desk>())
        .open(file(folder))?;
    let desk = release_1::Desk { computer: "attic".into(), note: notes.replace("\\n", "\n") };
    let session = store.create_for_user(user, desk)?;
    Keeper::of(folder).keep(Place::File, session.id())?;
    Ok(store.close()?)
}

/// The same user's logins on other computers.
fn logins(folder: &Path, user: &str, computers: &[&str]) -> Done {
    let store = open(folder)?;
    for computer in computers {
        let desk = Desk { computer: (*computer).into(), notes: vec!["from elsewhere".into()] };
        store.create_for_user(user, desk)?;
    }
    Ok(store.close()?)
}

/// Creates so many sessions that a rescue takes a while.
fn many(folder: &Path, count: u64) -> Done {
    let store = content::settings()?
        .durability(sessile::Durability::Deferred { interval: Duration::from_secs(60) })
        .open(file(folder))?;
    for number in 0..count {
        let notes = vec!["x".repeat(300)];
        store.create_for_user(number, Desk { computer: "tower".into(), notes })?;
    }
    Ok(store.close()?)
}

/// Fills the room of the file and its disk, and leaves no login behind.
fn fill(folder: &Path) -> Done {
    let store = open(folder)?;
    let mut len = 8_000;
    while len > 0 {
        let desk = Desk { computer: "filler".into(), notes: vec!["x".repeat(len)] };
        if store.create_for_user("filler", desk).is_err() {
            len /= 2;
        }
    }
    // On a full disk the store cannot be closed in order. The next start recovers the file.
    drop(store);
    Ok(())
}

/// Damages the first page without which the file does not open, and with which other logins are
/// lost but not this user's.
fn damage(folder: &Path, user: &str) -> Done {
    let path = file(folder);
    let sound = fs::read(&path)?;
    let trial = tempfile::tempdir()?;
    let (damaged, new) = (file(trial.path()), trial.path().join("new.redb"));
    for page in 1..sound.len() / PAGE {
        let mut bytes = sound.clone();
        bytes.iter_mut().skip(page * PAGE + 100).take(100).for_each(|byte| *byte ^= 0xA5);
        fs::write(&damaged, &bytes)?;
        let opened = content::settings()?.open_existing(&damaged);
        if !matches!(opened, Err(sessile::Error::DamagedFile { .. })) {
            continue;
        }
        let is_wanted = sessile::salvage(&damaged, &new)?.lost_count > 0
            && !content::settings()?.open_existing(&new)?.sessions_of(user)?.is_empty();
        fs::remove_file(&new)?;
        if is_wanted {
            return Ok(fs::write(&path, bytes)?);
        }
    }
    Err("no damage is met".into())
}

/// Prints each login: its user, its computer and its notes.
fn show(folder: &Path) -> Done {
    let store = content::settings()?.open_existing(file(folder))?;
    let mut lines = Vec::new();
    store.for_each(|info, desk| {
        let user = info.user().map(ToString::to_string).unwrap_or_default();
        lines.push(format!("{user}\t{}\t{}", desk.computer, desk.notes.join("|")));
    })?;
    lines.sort();
    lines.iter().for_each(|line| println!("{line}"));
    Ok(store.close()?)
}
