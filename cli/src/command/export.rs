//! Writing a store as an archive.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use serde_json::json;

use crate::arguments::LeaveOutArguments;
use crate::command::backup::left_out;
use crate::command::{DONE, Done, LOOK, warn_of_unmatched};
use crate::drafts::Draft;
use crate::failure::{Failure, io_kind};
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::target;

pub(super) fn run(
    path: &Path,
    archive: Option<&Path>,
    with_content: bool,
    leave_out: &LeaveOutArguments,
    out: &mut Output,
) -> Done {
    let inspector = target::open(path)?;
    let mut meter = Meter::new("export", out.quiet);
    let mut write = |to: &mut dyn Write| {
        inspector.export(to, with_content, &leave_out.leave_out(), &mut |it| meter.step(it))
    };
    let report = match archive.filter(|path| path.as_os_str() != "-") {
        None => {
            let report = match io::stdout().is_terminal() {
                true => write(&mut Readable { out, line: Vec::new() }),
                false => write(out),
            };
            let report = report.map_err(|error| match (&error, io_kind(&error)) {
                (sessile::Error::Io { action: "write", .. }, Some(kind)) => cut_off(kind.into()),
                _ => error.into(),
            })?;
            // A reader that has gone away has not got the whole archive.
            Write::flush(out).map_err(cut_off)?;
            if leave_out.is_given() {
                let sessions = output::sessions(report.sessions);
                output::warn(sessions + &left_out(report.left_out));
            }
            report
        }
        Some(archive) => {
            let failed = |error: io::Error| {
                Failure::of_file(format!("could not write {}", archive.display()), &error)
            };
            ensure_free(archive).map_err(failed)?;
            let draft = Draft::beside(archive).map_err(failed)?;
            let report = write(&mut BufWriter::new(draft.file()))?;
            draft.name(archive).map_err(failed)?;
            let mut text =
                format!("{} in {}", output::sessions(report.sessions), output::path(archive));
            if leave_out.is_given() {
                text.push_str(&left_out(report.left_out));
            }
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
    for user in &report.unmatched_users {
        warn_of_unmatched("--without-user", user, "session");
    }
    match report.damaged.count() {
        0 => Ok(DONE),
        count => {
            let records = output::counted(count, "damaged record");
            output::warn(format!("{records} left out; see `sessile check`"));
            Ok(LOOK)
        }
    }
}

/// Refuses an archive whose name is taken before the store is read.
fn ensure_free(archive: &Path) -> io::Result<()> {
    match archive.symlink_metadata() {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => Ok(()),
    }
}

/// The failure of an archive on the standard output that did not come to its end.
fn cut_off(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            Failure::new("the archive is incomplete: its reader closed the output")
        }
        _ => error.into(),
    }
}

/// A terminal that shows an archive. Users in it are from outside, so control characters are
/// escaped; the digest at the archive's end is that of the unescaped lines.
struct Readable<'a> {
    out: &'a mut Output,
    line: Vec<u8>,
}

impl Write for Readable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if let Some(line) = self.line.strip_suffix(b"\n") {
                let shown = output::plain_json(&String::from_utf8_lossy(line));
                self.line.clear();
                writeln!(self.out, "{shown}")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(self.out)
    }
}
