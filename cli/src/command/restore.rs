//! A store out of a backup.

use std::path::Path;

use sessile::admin::{LeaveOut, restore};

use crate::command::Done;
use crate::command::backup::told;
use crate::output::Output;
use crate::progress::Meter;
use crate::target;

pub(super) fn run(
    backup: &Path,
    file: &Path,
    replace: bool,
    leave_out: &LeaveOut,
    out: &mut Output,
) -> Done {
    let mut meter = Meter::new("restore", out.quiet);
    let restored = restore(backup, file, replace, leave_out, &mut |it| meter.step(it));
    drop(meter);
    let report = restored.map_err(|error| {
        let exists = !replace && file.exists();
        let failure = target::explained(error, file);
        match exists {
            true => failure.hint("`--replace` puts it in the place of the store that is there"),
            false => failure,
        }
    })?;
    told(&report, file, out)
}
