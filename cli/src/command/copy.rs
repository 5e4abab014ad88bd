//! Copying the sessions of one store into another.

use std::path::Path;

use serde_json::json;
use sessile::admin::transfer;

use crate::command::{DONE, Done, LOOK};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::target;

const STAYS: &str = "what was copied before stays; repeat the copy to finish it, with `--exact` if \
                     the second store holds nothing else";

pub(super) fn run(from: &Path, to: &Path, create: bool, exact: bool, out: &mut Output) -> Done {
    target::ensure_different(from, to)?;
    let source = target::open(from)?;
    let is_new = target::is_missing(to);
    let sink = target::open_to_fill(to, create)?;
    let mut meter = Meter::new("copy", out.quiet);
    let report = transfer(&source, &sink, exact, &mut |it| meter.step(it))
        .map_err(|error| Failure::in_between(error, STAYS))?;
    drop(meter);
    sink.close()?;
    source.close()?;
    if is_new {
        target::warn_of_owner(to);
    }
    let keys = |keys: &sessile::admin::Keys| -> Vec<_> {
        keys.first().iter().map(ToString::to_string).collect()
    };
    let (differing, damaged) = (keys(&report.differing), keys(&report.damaged));
    let value = json!({
        "copied": report.copied,
        "updated": report.updated,
        "ended": report.ended,
        "equal": report.equal,
        "differing_count": report.differing.count(),
        "differing": differing,
        "damaged_count": report.damaged.count(),
        "damaged": damaged,
    });
    let text = format!(
        "{} copied, {} updated, {} ended; {} the same in both, {} different",
        output::sessions(report.copied),
        report.updated,
        report.ended,
        report.equal,
        report.differing.count()
    );
    out.either(&value, text)?;
    if !damaged.is_empty() {
        let records = output::counted(report.damaged.count(), "damaged record");
        output::warn(format!("{records} left out: {}", damaged.join(" ")));
    }
    let whole = report.differing.count() + report.damaged.count() == 0;
    Ok(if whole { DONE } else { LOOK })
}
