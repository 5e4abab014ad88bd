//! Making a store from a backup.

use std::io::ErrorKind;
use std::path::Path;

use sessile::admin::restore;

use crate::arguments::LeaveOutArguments;
use crate::command::Done;
use crate::command::backup::told;
use crate::failure::io_kind;
use crate::output::Output;
use crate::progress::Meter;
use crate::target;

pub(super) fn run(
    backup: &Path,
    file: &Path,
    replace: bool,
    leave_out: &LeaveOutArguments,
    out: &mut Output,
) -> Done {
    let is_new = target::is_missing(file);
    let mut meter = Meter::new("restore", out.quiet);
    let restored = restore(backup, file, replace, &leave_out.leave_out(), &mut |it| meter.step(it));
    drop(meter);
    let report = restored.map_err(|error| {
        let exists = !replace && io_kind(&error) == Some(ErrorKind::AlreadyExists);
        let failure = target::explained(error);
        match exists {
            true => failure.hint("`--replace` replaces the store that is there"),
            false => failure,
        }
    })?;
    if is_new {
        target::warn_of_owner(file);
    }
    told(&report, file, leave_out.is_given(), out)
}
