//! Reading an archive into a store.

use std::fs::File;
use std::path::Path;

use serde_json::json;
use sessile::Error;
use sessile::admin::{ImportOptions, verify_archive};

use crate::command::{DONE, Done, LOOK};
use crate::failure::{Failure, REPEAT};
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::target;

const STAYS: &str = "what was imported before stays; repeat the import to finish it: sessions that \
                     have ended there meanwhile come back";

pub(super) fn run(
    archive: &Path,
    path: &Path,
    create: bool,
    partial: bool,
    out: &mut Output,
) -> Done {
    let mut file = opened(archive)?;
    let mut meter = Meter::new("import: lines verified", out.quiet);
    let options = ImportOptions::default();
    let options = match verify_archive(&mut file, &mut |it| meter.step(it)) {
        Ok(verified) => options.verified(verified),
        // The header is sound, and so are the lines before the fault.
        Err(Error::InvalidArchive { line: 2.., .. }) if partial => options.partial(true),
        Err(error) => return Err(refused(error)),
    };
    drop(meter);
    let is_new = target::is_missing(path);
    let inspector = target::open_to_fill(path, create)?;
    let mut meter = Meter::new("import", out.quiet);
    let report = inspector.import(&mut file, &options, &mut |it| meter.step(it));
    let report = report.map_err(|error| match error {
        // The header was changed since it was verified, and there may be a new store by now.
        Error::InvalidArchive { .. } => Failure::from(error).hint(REPEAT),
        error => Failure::in_between(error, STAYS),
    })?;
    drop(meter);
    inspector.close()?;
    if is_new {
        target::warn_of_owner(path);
    }
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
        "{} imported, {} there already, {} expired, {} different and not changed",
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
        output::warn(format!("sessions that differ: {}", differing.join(" ")));
    }
    Ok(if report.fault.is_none() && differing.is_empty() { DONE } else { LOOK })
}

/// Opens the archive. What is no file is refused first: the archive is read twice, and to open a
/// pipe is to wait for its writer.
fn opened(archive: &Path) -> Result<File, Failure> {
    let name = archive.display();
    let failed = |error| Failure::of_file(format!("could not open {name}"), &error);
    if !archive.metadata().map_err(failed)?.is_file() {
        return Err(Failure::new(format!("{name} is not a regular file"))
            .hint("an import reads its archive twice: put it into a file first"));
    }
    File::open(archive).map_err(failed)
}

/// The failure of the verification. No session stands before a fault of the header.
fn refused(error: Error) -> Failure {
    let has_sessions = matches!(error, Error::InvalidArchive { line: 3.., .. });
    let failure = Failure::from(error);
    match has_sessions {
        true => {
            failure.hint("nothing was changed; `--partial` imports the sessions before the fault")
        }
        false => failure,
    }
}
