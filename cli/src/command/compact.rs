//! Making a store's file as small as its sessions allow.

use std::path::Path;

use serde_json::json;
use sessile::RedbEngine;

use crate::command::{DONE, Done};
use crate::output::{self, Output};
use crate::target;

pub(super) fn run(path: &Path, out: &mut Output) -> Done {
    let compacted = RedbEngine::compact(path);
    let (before, after) = compacted.map_err(|error| target::explained(error, path))?;
    let text = format!("{} before, {} now", output::bytes(before), output::bytes(after));
    out.either(&json!({ "bytes_before": before, "bytes_after": after }), text)?;
    Ok(DONE)
}
