//! Copying the readable sessions of a damaged file.

use std::path::Path;

use serde_json::json;
use sessile::{Error, Salvage};

use crate::command::{DONE, Done, LOOK};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::target;

pub(super) fn run(damaged: &Path, new: &Path, include_stale: bool, out: &mut Output) -> Done {
    let mut meter = Meter::new("salvage", out.quiet);
    let salvage = Salvage::new().include_stale(include_stale);
    let salvaged = salvage.run_with(damaged, new, |it| meter.salvage(it));
    drop(meter);
    let report = salvaged.map_err(|error| match error {
        // The usual hint is this verb.
        Error::DamagedFile { .. } | Error::NotASessionStore { .. } => {
            Failure::from(error).hint("nothing can be read from it: restore a backup")
        }
        error => target::explained(error),
    })?;
    if out.json {
        let lost: Vec<_> = report.lost.iter().map(ToString::to_string).collect();
        out.document(&json!({
            "kept": report.kept,
            "lost_count": report.lost_count,
            "lost": lost,
            "stale": report.stale,
            "damaged_records": report.damaged_records,
            "unreadable_pages": report.unreadable_pages,
            "opened": report.opened,
            "has_metadata": report.has_metadata,
        }))?;
    } else {
        out.line(format!("{} kept in {}", output::sessions(report.kept), output::path(new)))?;
        out.line(format!("{} lost", report.lost_count))?;
        for key in &report.lost {
            out.line(format!("  {key}"))?;
        }
        out.line(format!("{} stale", report.stale))?;
        out.line(output::counted(report.damaged_records, "damaged record"))?;
        out.line(output::counted(report.unreadable_pages, "unreadable page"))?;
    }
    target::warn_of_owner(new);
    if report.kept == 0 {
        output::warn("NOTHING was kept: the new file holds no session");
    }
    if !report.has_metadata {
        output::warn("the store's timeouts, creation time and content name are lost");
    }
    if report.stale > 0 && !report.opened {
        output::warn(match include_stale {
            true => "stale sessions are in the new file: some of them may have ended",
            false => "stale sessions are not in the new file: some of them may be live",
        });
    }
    let whole = report.kept > 0
        && report.has_metadata
        && report.lost_count + report.damaged_records + report.unreadable_pages == 0
        && (report.stale == 0 || report.opened);
    Ok(if whole { DONE } else { LOOK })
}
