//! A store as an archive.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;
use sessile::admin::LeaveOut;

use crate::command::{DONE, Done, LOOK};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::target;

pub(super) fn run(
    path: &Path,
    archive: Option<&Path>,
    with_content: bool,
    leave_out: &LeaveOut,
    out: &mut Output,
) -> Done {
    let inspector = target::open(path)?;
    let mut meter = Meter::new("export", out.quiet);
    let mut write = |to: &mut dyn Write| {
        inspector.export(to, with_content, leave_out, &mut |it| meter.step(it))
    };
    let report = match archive.filter(|path| path.as_os_str() != "-") {
        // Whoever reads it has gone: nothing is wrong here.
        None => write(out).map_err(|error| match io_kind(&error) {
            Some(kind) => Failure::from(io::Error::from(kind)),
            None => error.into(),
        })?,
        Some(archive) => {
            let failed = |error: io::Error| {
                Failure::new(format!("could not write {}", archive.display()))
                    .because(error.to_string())
            };
            // It gets its name once it is whole, and is gone if it is not; nobody else may read it.
            let folder = archive.parent().filter(|it| !it.as_os_str().is_empty());
            let file = tempfile::Builder::new()
                .prefix(".sessile-export-")
                .tempfile_in(folder.unwrap_or(Path::new(".")))
                .map_err(failed)?;
            let report = write(&mut BufWriter::new(&file))?;
            file.as_file().sync_all().map_err(failed)?;
            file.persist_noclobber(archive).map_err(|error| failed(error.error))?;
            let text =
                format!("{} in {}", output::sessions(report.sessions), output::path(archive));
            let value = json!({
                "sessions": report.sessions,
                "left_out": report.left_out,
                "damaged_count": report.damaged.count(),
            });
            out.either(&value, text)?;
            report
        }
    };
    inspector.close()?;
    match report.damaged.count() {
        0 => Ok(DONE),
        count => {
            output::warn(format!("{count} damaged records are not in it; see `sessile check`"));
            Ok(LOOK)
        }
    }
}

fn io_kind(error: &sessile::Error) -> Option<io::ErrorKind> {
    let sessile::Error::Io { action: "write", source, .. } = error else { return None };
    source.downcast_ref::<io::Error>().map(io::Error::kind)
}
