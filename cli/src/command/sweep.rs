//! Deleting expired sessions.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sessile::Timeouts;
use sessile::admin::Progress;

use crate::command::{DONE, Done};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::{Meter, is_interrupted};
use crate::target;

pub(super) fn run(path: &Path, timeouts: Option<(Duration, Duration)>, out: &mut Output) -> Done {
    let timeouts = timeouts.map(|(inactivity, absolute)| Timeouts::new(inactivity, absolute));
    let timeouts = timeouts.transpose()?;
    let mut inspector = target::open(path)?;
    if let Some(timeouts) = timeouts {
        inspector = inspector.with_timeouts(timeouts);
    }
    let mut meter = Meter::new("sweep", out.quiet);
    let swept = inspector.sweep(&mut |swept| {
        let mut progress = Progress::default();
        progress.done = swept;
        meter.step(progress)
    })?;
    drop(meter);
    inspector.close()?;
    out.either(&json!({ "swept": swept }), format!("{} swept", output::sessions(swept)))?;
    match is_interrupted() {
        true => Err(Failure::interrupted()),
        false => Ok(DONE),
    }
}
