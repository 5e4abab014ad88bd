//! What a verb works on: opening it, and saying who has it where that fails.

#[cfg(target_os = "linux")]
use std::fs;
use std::path::Path;

use sessile::engine::RedbOptions;
use sessile::{Durability, Error, Inspector, RedbEngine};

use crate::failure::Failure;

/// How long an import may keep in memory what it was told is stored; it flushes at its end.
const DEFERRED: std::time::Duration = std::time::Duration::from_secs(1);

/// Opens a store that is there, and changes nothing.
pub(crate) fn open(target: &Path) -> Result<Inspector, Failure> {
    refuse_urls(target)?;
    Inspector::open(target).map_err(|error| explained(error, target))
}

/// Opens a store to put many sessions into it.
pub(crate) fn open_to_fill(target: &Path, create: bool) -> Result<Inspector, Failure> {
    refuse_urls(target)?;
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
    failure.hint("end that program first, or have it take a backup, and look into that")
}

fn refuse_urls(target: &Path) -> Result<(), Failure> {
    match target.to_str() {
        Some(text) if text.contains("://") => {
            Err(Failure::new(format!("{text} is no file: this tool opens stores in files")))
        }
        _ => Ok(()),
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
