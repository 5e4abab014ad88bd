//! A complete copy of a store.

use std::path::Path;

use serde_json::json;
use sessile::admin::{BackupReport, LeaveOut};

use crate::command::{DONE, Done, LOOK, warn_of_unmatched};
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::target;

pub(super) fn run(path: &Path, file: &Path, out: &mut Output) -> Done {
    let inspector = target::open(path)?;
    let mut meter = Meter::new("backup", out.quiet);
    let report = inspector.backup_with(file, &LeaveOut::nothing(), &mut |it| meter.step(it))?;
    drop(meter);
    inspector.close()?;
    told(&report, file, false, out)
}

/// Prints the report of a backup or a restore.
pub(super) fn told(report: &BackupReport, file: &Path, leaves_out: bool, out: &mut Output) -> Done {
    let damaged: Vec<_> = report.damaged.first().iter().map(ToString::to_string).collect();
    let value = json!({
        "sessions": report.sessions,
        "left_out": report.left_out,
        "bytes": report.bytes,
        "damaged_count": report.damaged.count(),
        "damaged": damaged,
    });
    let (sessions, bytes) = (output::sessions(report.sessions), output::bytes(report.bytes));
    let mut text = format!("{sessions} in {}, {bytes}", output::path(file));
    if leaves_out {
        text.push_str(&left_out(report.left_out));
    }
    out.either(&value, text)?;
    for user in &report.unmatched_users {
        warn_of_unmatched("--without-user", user, "session");
    }
    match report.damaged.count() {
        0 => Ok(DONE),
        count => {
            let records = output::counted(count, "damaged record");
            output::warn(format!("{records} left out: {}", damaged.join(" ")));
            Ok(LOOK)
        }
    }
}

/// The number of sessions that were left out on request, also if there was none.
pub(super) fn left_out(count: u64) -> String {
    format!("; {count} left out")
}
