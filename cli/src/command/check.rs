//! Looking for what is wrong.

use std::path::Path;

use serde_json::json;

use crate::command::{DONE, Done, LOOK};
use crate::output::{self, Output};
use crate::target;

pub(super) fn run(path: &Path, out: &mut Output) -> Done {
    let inspector = target::open(path)?;
    let report = inspector.check()?;
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
            out.line(format!("and {more} more"))?;
        }
        let sessions = output::sessions(report.sessions);
        match report.problem_count {
            0 => out.line(format!("sound: {sessions}, {} expired", report.expired))?,
            count => {
                out.line(format!("{count} problems in {sessions}"))?;
                out.line("a damaged record goes by `revoke KEY`; `salvage` rebuilds the indexes")?;
            }
        }
    }
    Ok(if report.is_sound() { DONE } else { LOOK })
}
