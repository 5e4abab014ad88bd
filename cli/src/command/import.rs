//! An archive into a store.

use std::fs::File;
use std::path::Path;

use serde_json::json;
use sessile::admin::ImportOptions;

use crate::command::{DONE, Done, LOOK};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::target;

pub(super) fn run(
    archive: &Path,
    path: &Path,
    create: bool,
    partial: bool,
    out: &mut Output,
) -> Done {
    let mut file = File::open(archive).map_err(|error| {
        Failure::new(format!("could not open {}", archive.display())).because(error.to_string())
    })?;
    let inspector = target::open_to_fill(path, create)?;
    let mut meter = Meter::new("import", out.quiet);
    let options = ImportOptions::default().partial(partial);
    let report = inspector.import(&mut file, &options, &mut |it| meter.step(it))?;
    drop(meter);
    inspector.close()?;
    let differing: Vec<_> = report.differing.first().iter().map(ToString::to_string).collect();
    let value = json!({
        "imported": report.imported,
        "already_there": report.already_there,
        "expired": report.expired,
        "differing_count": report.differing.count(),
        "differing": differing,
        "fault": report.fault.as_ref().map(ToString::to_string),
    });
    let text = format!(
        "{} imported, {} there already, {} expired, {} that differ left as they are",
        output::sessions(report.imported),
        report.already_there,
        report.expired,
        report.differing.count()
    );
    out.either(&value, text)?;
    if let Some(fault) = &report.fault {
        output::warn(format!("only a part was imported: {fault}"));
    }
    if !differing.is_empty() {
        output::warn(format!("these differ: {}", differing.join(" ")));
    }
    Ok(if report.fault.is_none() && differing.is_empty() { DONE } else { LOOK })
}
