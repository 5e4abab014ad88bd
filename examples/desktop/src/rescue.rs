//! A damaged file: its intact sessions go into a new file, which replaces the damaged file.
//!
//! Invariant: the damaged file is never changed, only renamed. The store's name always leads to the
//! damaged file or to the complete new file, even if the program is killed. One window at a time
//! replaces the file, and only if it still does not open.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sessile::{Salvage, SalvageProgress, SalvageStep};

use crate::content;
use crate::words::{Kind, Trouble};

/// How many steps a rescue has.
pub const STEPS: u32 = 3;
const NEW_FILE: &str = "sessions.rescued.redb";
/// The file that the replacing window has locked. It is always empty, and stays.
const LOCK: &str = "sessions.replacing";

/// How far a rescue has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Counted from 1, up to [`STEPS`].
    pub number: u32,
    /// The step's name, for the user.
    pub what: &'static str,
    /// How much of this step is done, from 0 to 1; an estimate.
    pub part: f32,
}

impl Step {
    const fn new(number: u32, what: &'static str) -> Self {
        Self { number, what, part: 0.0 }
    }

    /// How much of the whole is done, from 0 to 1.
    #[must_use]
    pub fn overall(&self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "there are three")]
        let (before, all) = (self.number.saturating_sub(1) as f32, STEPS as f32);
        (before + self.part) / all
    }
}

/// The result of a rescue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Logins in the new file.
    pub kept: u64,
    /// Logins that are known to be lost.
    pub lost: u64,
    /// Where the damaged file is now.
    pub aside: PathBuf,
}

/// Keeps other windows from replacing the file, until the result is dropped.
///
/// # Errors
///
/// [`Kind::Held`] if another window is replacing it, or the system's refusal.
pub fn lock(path: &Path) -> Result<File, Trouble> {
    let mut open = File::options();
    let lock = open.write(true).create(true).truncate(false).open(path.with_file_name(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Trouble {
            kind: Kind::Held,
            sentence: "Another window of this program is rescuing your notes.".into(),
            detail: format!("{LOCK} is locked"),
        }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Copies the intact sessions of the store at `path` to a new file, checks the new file, and
/// exchanges the two files. Reports each step to `tell`. The caller holds the [`lock`].
///
/// # Errors
///
/// As for [`Salvage::run`]; [`Kind::OlderStates`] if the file has only logins that may have ended
/// since, which `include_stale` keeps; [`Kind::Damaged`] if the file has no readable session. After
/// an error the damaged file is in its place.
pub fn rescue(
    path: &Path,
    include_stale: bool,
    tell: &(dyn Fn(Step) + Sync),
) -> Result<Summary, Trouble> {
    let new = path.with_file_name(NEW_FILE);
    // A killed rescue may have left this file; its source, the damaged file, is still there.
    remove_if_there(&new)?;
    let copying = Step::new(1, "Reading the intact notes");
    let salvage = Salvage::new().include_stale(include_stale);
    tell(copying.clone());
    let report = salvage.run_with(path, &new, |progress| {
        tell(Step { part: part_of(progress), ..copying.clone() });
        ControlFlow::Continue(())
    })?;
    if report.kept == 0 && report.stale > 0 {
        return Err(Trouble {
            kind: Kind::OlderStates,
            sentence: "The part of the file that leads to your notes is damaged. The file was not \
                       changed."
                .into(),
            detail: format!("{} stale sessions in {}", report.stale, path.display()),
        });
    }

    tell(Step::new(2, "Checking the new file"));
    let store = content::settings()?.open_existing(&new)?;
    let check = store.check()?;
    store.close()?;
    if !check.is_sound() {
        return Err(Trouble {
            kind: Kind::Other,
            sentence: "The new file is not sound. The damaged file was not changed.".into(),
            detail: format!("{} problems in {}", check.problem_count, new.display()),
        });
    }

    tell(Step::new(3, "Exchanging the files"));
    let aside = keep_aside(path)?;
    fs::rename(&new, path)?;
    sync_folder_of(path)?;
    Ok(Summary { kept: report.kept, lost: report.lost_count, aside })
}

/// Renames a file from which nothing can be rescued, so that an empty file can replace it. The
/// caller holds the [`lock`].
///
/// # Errors
///
/// If the system refuses.
pub fn put_aside(path: &Path) -> Result<PathBuf, Trouble> {
    let aside = free_name(path)?;
    fs::rename(path, &aside)?;
    sync_folder_of(path)?;
    Ok(aside)
}

/// Links a second name to the damaged file, so that one rename can replace its first name. Copies
/// the file if the file system has no hard links.
fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = free_name(path)?;
    if fs::hard_link(path, &aside).is_err() {
        fs::copy(path, &aside)?;
        File::open(&aside)?.sync_all()?;
    }
    Ok(aside)
}

fn free_name(path: &Path) -> io::Result<PathBuf> {
    (1..1_000)
        .map(|number| path.with_file_name(format!("sessions.damaged-{number}.redb")))
        .find(|name| !name.exists())
        .ok_or_else(|| io::Error::other("there are 999 damaged files already: remove some"))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|_| cfg!(unix)) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// How much of the first step is done; always less than 1, since only the return ends the step.
fn part_of(progress: SalvageProgress) -> f32 {
    // A salvage first copies the file. Then it opens the copy, or searches the pages.
    let (from, to) = match progress.step {
        SalvageStep::Copying => (0.0, 0.4),
        _ => (0.4, 0.95),
    };
    #[expect(clippy::cast_precision_loss, reason = "it is shown as a bar")]
    let done = progress.total.map_or(0.0, |total| progress.done as f32 / total.max(1) as f32);
    from + (to - from) * done
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::content::Desk;

    /// The store, and a login in it.
    fn store_in(folder: &Path) -> (PathBuf, sessile::SessionId) {
        let path = folder.join("sessions.redb");
        let store = content::settings().unwrap().open(&path).unwrap();
        let desk = |note: &str| Desk { computer: "attic".into(), notes: vec![note.into()] };
        let id = store.create_for_user("ann", desk("tea")).unwrap().id().clone();
        for number in 0..200 {
            store.create_for_user("bob", desk(&number.to_string())).unwrap();
        }
        store.close().unwrap();
        (path, id)
    }

    /// Damages a page without which the file does not open and the salvage report is as wanted.
    fn damage(path: &Path, wanted: impl Fn(&sessile::SalvageReport) -> bool) {
        const PAGE: usize = 4_096;
        let (sound, new) = (fs::read(path).unwrap(), path.with_file_name("trial.redb"));
        let is_met = (1..sound.len() / PAGE).any(|page| {
            let mut bytes = sound.clone();
            bytes[page * PAGE + 100..page * PAGE + 200].iter_mut().for_each(|byte| *byte ^= 0xA5);
            fs::write(path, &bytes).unwrap();
            if content::settings().unwrap().open(path).is_ok() {
                return false;
            }
            fs::write(path, bytes).unwrap();
            let is_met = sessile::salvage(path, &new).is_ok_and(|report| wanted(&report));
            remove_if_there(&new).unwrap();
            is_met
        });
        assert!(is_met, "no page gives the wanted damage");
    }

    #[test]
    fn a_damaged_file_is_kept_and_a_whole_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = store_in(folder.path());
        damage(&path, |report| report.kept > 0 && report.lost_count > 0);
        let before = fs::read(&path).unwrap();
        let told = Mutex::new(Vec::new());
        let summary = rescue(&path, false, &|step| told.lock().unwrap().push(step)).unwrap();
        assert!(summary.kept > 100 && summary.lost > 0, "{summary:?}");
        assert_eq!(fs::read(&summary.aside).unwrap(), before);
        let store = content::settings().unwrap().open_existing(&path).unwrap();
        assert_eq!(store.len().unwrap(), summary.kept);
        let told = told.into_inner().unwrap();
        assert_eq!(told.first().unwrap().number, 1);
        assert_eq!(told.last().unwrap().number, STEPS);
        assert!(told.iter().all(|step| (0.0..1.0).contains(&step.overall())));
    }

    #[test]
    fn older_states_are_taken_only_if_that_was_agreed_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, id) = store_in(folder.path());
        damage(&path, |report| report.kept == 0 && report.stale > 100);
        let before = fs::read(&path).unwrap();
        let trouble = rescue(&path, false, &|_| ()).unwrap_err();
        assert_eq!(trouble.kind, Kind::OlderStates, "{trouble:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
        let summary = rescue(&path, true, &|_| ()).unwrap();
        assert!(summary.kept > 100, "{summary:?}");
        let store = content::settings().unwrap().open_existing(&path).unwrap();
        assert_eq!(store.read(&id).unwrap().unwrap().content().notes, ["tea"]);
    }

    #[test]
    fn a_rescue_that_finds_nothing_leaves_the_file_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        fs::write(&path, vec![0xA5; 100_000]).unwrap();
        let trouble = rescue(&path, false, &|_| ()).unwrap_err();
        assert_eq!(trouble.kind, Kind::Damaged, "{trouble:?}");
        assert_eq!(fs::read(&path).unwrap(), vec![0xA5; 100_000]);
        let aside = put_aside(&path).unwrap();
        assert!(aside.exists() && !path.exists());
    }

    #[test]
    fn a_second_rescue_keeps_what_the_first_has_kept_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = store_in(folder.path());
        damage(&path, |report| report.kept > 0);
        fs::write(folder.path().join(NEW_FILE), "left by a killed rescue").unwrap();
        let first = rescue(&path, false, &|_| ()).unwrap();
        damage(&path, |report| report.kept > 0);
        let second = rescue(&path, false, &|_| ()).unwrap();
        assert_ne!(first.aside, second.aside);
        assert!(first.aside.exists() && second.aside.exists());
    }
}
