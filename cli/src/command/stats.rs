//! The counts, sizes, ages and timeouts of a store.

use std::path::Path;

use serde_json::{Value, json};
use sessile::admin::{Histogram, Overview};

use crate::command::{DONE, Done, LOOK};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::{target, when};

const BAR: usize = 40;

pub(super) fn run(path: &Path, out: &mut Output) -> Done {
    let inspector = target::open(path)?;
    let mut meter = Meter::new("stats", out.quiet);
    let overview = inspector.overview_with(&mut |it| meter.step(it))?;
    drop(meter);
    let program = inspector.program()?;
    inspector.close()?;
    if out.json {
        let mut document = document(&overview, out);
        if let (Some(fields), Some(program)) = (document.as_object_mut(), program) {
            fields.insert("program".into(), program);
        }
        out.document(&document)?;
    } else {
        text(&overview, out)?;
        of_program(program.as_ref(), out)?;
    }
    Ok(if overview.damaged == 0 { DONE } else { LOOK })
}

fn document(overview: &Overview, out: &Output) -> serde_json::Value {
    let time = |time: Option<_>| time.and_then(|time| out.time_as_json(time));
    let timeouts = overview.timeouts.map(|timeouts| {
        json!({
            "inactivity_ms": timeouts.inactivity().as_millis() as u64,
            "absolute_ms": timeouts.absolute().as_millis() as u64,
        })
    });
    let buckets = |histogram: &Histogram| -> Vec<_> {
        let buckets = histogram.buckets();
        buckets.map(|(at_most, count)| json!({ "at_most": at_most, "count": count })).collect()
    };
    json!({
        "sessions": overview.sessions,
        "expired": overview.expired,
        "with_user": overview.with_user,
        "without_user": overview.sessions - overview.with_user,
        "users": overview.users,
        "damaged": overview.damaged,
        "oldest": time(overview.oldest),
        "newest": time(overview.newest),
        "time_left_ms": buckets(&overview.time_left),
        "content_bytes": buckets(&overview.content_len),
        "file_bytes": overview.file_bytes,
        "live_bytes": overview.live_bytes,
        "log_bytes": overview.log_bytes,
        "log_used_bytes": overview.log_used_bytes,
        "format": overview.format,
        "pending_touches": overview.pending_touches,
        "content_name": overview.content_name,
        "created_at": time(overview.created_at),
        "timeouts": timeouts,
    })
}

/// Prints the [`sessile::Stats`] of a running program, field by field.
fn of_program(program: Option<&Value>, out: &mut Output) -> Result<(), Failure> {
    let Some(fields) = program.and_then(Value::as_object) else { return Ok(()) };
    out.line("\nthe program, since it opened the store")?;
    for (name, value) in fields {
        // Whoever answers behind the socket writes both.
        let value = output::plain(&value.as_str().map_or_else(|| value.to_string(), Into::into));
        out.line(format!("  {:<26}{value}", output::plain(name)))?;
    }
    Ok(())
}

fn text(overview: &Overview, out: &mut Output) -> Result<(), Failure> {
    let time = |out: &Output, time: Option<_>| time.map_or("-".into(), |time| out.time(time));
    let timeouts = overview.timeouts.map_or("none on record".into(), |timeouts| {
        let length = |it: std::time::Duration| when::length(it.as_millis() as u64);
        let (inactivity, absolute) = (length(timeouts.inactivity()), length(timeouts.absolute()));
        format!("{inactivity} of inactivity, {absolute} in all")
    });
    let in_use = |bytes| format!("{} when it was opened", output::bytes(bytes));
    let used = output::bytes(overview.log_used_bytes.unwrap_or(0));
    let log = |bytes| format!("{}, {used} in use", output::bytes(bytes));
    let name = overview.content_name.as_deref().map_or("-".into(), output::plain);
    let rows = [
        ("sessions", overview.sessions.to_string()),
        ("expired", format!("{}, not swept yet", overview.expired)),
        ("with a user", overview.with_user.to_string()),
        ("without one", (overview.sessions - overview.with_user).to_string()),
        ("users", overview.users.to_string()),
        ("damaged", overview.damaged.to_string()),
        ("oldest", time(out, overview.oldest)),
        ("newest", time(out, overview.newest)),
        ("file", overview.file_bytes.map_or("-".into(), output::bytes)),
        ("in use", overview.live_bytes.map_or("-".into(), in_use)),
        ("log", overview.log_bytes.map_or("-".into(), log)),
        ("format", overview.format.map_or("-".into(), |format| format.to_string())),
        ("touches", format!("{} in memory only", overview.pending_touches)),
        ("created", time(out, overview.created_at)),
        ("content name", name),
        ("timeouts", timeouts),
    ];
    for (name, value) in rows {
        out.line(format!("{name:<14}{value}"))?;
    }
    if overview.sessions > 0 {
        bars("time left", &overview.time_left, when::length, out)?;
        bars("content", &overview.content_len, output::bytes, out)?;
    }
    Ok(())
}

fn bars(
    title: &str,
    histogram: &Histogram,
    bound: fn(u64) -> String,
    out: &mut Output,
) -> Result<(), Failure> {
    let most = histogram.buckets().map(|(_, count)| count).max().unwrap_or(0).max(1);
    out.line(format!("\n{title}"))?;
    for (at_most, count) in histogram.buckets() {
        let label = at_most.map_or("more".into(), |at_most| format!("to {}", bound(at_most)));
        let length = (count as f64 / most as f64 * BAR as f64).ceil() as usize;
        out.line(format!("  {label:<14}{count:>10} {}", "#".repeat(length)).trim_end())?;
    }
    Ok(())
}
