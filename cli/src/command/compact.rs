//! Giving back the free space of a store's file.

use std::path::Path;

use serde_json::json;
use sessile::RedbEngine;

use crate::command::{DONE, Done};
use crate::output::{self, Output};
use crate::progress::without_steps;
use crate::target;

pub(super) fn run(path: &Path, out: &mut Output) -> Done {
    // redb compacts in transactions, so the file is complete whenever Ctrl-C ends the tool.
    let compacted = without_steps("compact", out.quiet, || RedbEngine::compact(path))?;
    let (before, after) = compacted.map_err(target::explained)?;
    let text = format!("{} before, {} now", output::bytes(before), output::bytes(after));
    out.either(&json!({ "bytes_before": before, "bytes_after": after }), text)?;
    Ok(DONE)
}
