//! Checking the records and indexes of a store.

use std::path::Path;

use serde_json::json;

use crate::command::{DONE, Done, LOOK};
use crate::output::{self, Output};
use crate::progress::Meter;
use crate::target;

pub(super) fn run(path: &Path, out: &mut Output) -> Done {
    let inspector = target::open(path)?;
    let mut meter = Meter::new("check", out.quiet);
    let report = inspector.check_with(&mut |it| meter.step(it))?;
    drop(meter);
    inspector.close()?;
    if out.json {
        let problem = |problem: &sessile::Problem| json!({ "key": problem.key().to_string(), "problem": problem.to_string() });
        out.document(&json!({
            "sound": report.is_sound(),
            "sessions": report.sessions,
            "expired": report.expired,
            "problem_count": report.problem_count,
            "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        }))?;
    } else {
        for problem in &report.problems {
            out.line(output::plain(&problem.to_string()))?;
        }
        let more = report.problem_count - report.problems.len() as u64;
        if more > 0 {
            out.line(format!("and {}", output::counted(more, "more problem")))?;
        }
        let sessions = output::sessions(report.sessions);
        match report.problem_count {
            0 => out.line(format!("sound: {sessions}, {} expired", report.expired))?,
            count => {
                out.line(format!("{} in {sessions}", output::counted(count, "problem")))?;
                out.line(remedy(path))?;
            }
        }
    }
    Ok(if report.is_sound() { DONE } else { LOOK })
}

/// What to do about problems. Only a file can be salvaged.
fn remedy(target: &Path) -> &'static str {
    match target::is_url(&target.to_string_lossy()) {
        false => "`revoke KEY` removes a damaged record; `salvage` rebuilds the indexes",
        true => {
            "`revoke KEY` removes a damaged record; `copy --create` to the same URL with another \
             `name` rebuilds the indexes there"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indexes_of_a_store_on_a_server_are_rebuilt_by_a_copy() {
        for (target, verb) in [("sessions.redb", "`salvage`"), ("redis://cache/?name=a", "`copy ")]
        {
            assert!(remedy(Path::new(target)).contains(verb), "{target}");
        }
    }
}
