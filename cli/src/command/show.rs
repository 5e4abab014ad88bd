//! Showing one session and its content.

use std::path::Path;

use serde_json::value::RawValue;
use sessile::SessionKey;
use sessile::admin::StoredSession;

use crate::command::list::as_json;
use crate::command::{DONE, Done, missing};
use crate::output::{self, Output};
use crate::{target, when};

pub(super) fn run(path: &Path, key: &SessionKey, out: &mut Output) -> Done {
    let inspector = target::open(path)?;
    let session = inspector.session(key)?;
    inspector.close()?;
    let session = session.ok_or_else(|| missing(key))?;
    if out.json {
        out.document(&as_json(&session, true, out))?;
        return Ok(DONE);
    }
    let own = |it: Option<std::time::Duration>| match it {
        Some(it) => format!("{} of its own", when::length(it.as_millis() as u64)),
        None => "the store's".into(),
    };
    let expires = out.time(session.expires_at());
    let rows = [
        ("key", session.key().to_string()),
        ("user", output::user(session.user().as_ref())),
        ("created", out.time(session.created_at())),
        ("last active", out.time(session.last_active())),
        ("expires", if session.is_expired() { format!("{expires} (expired)") } else { expires }),
        ("inactivity", own(session.own_inactivity())),
        ("absolute", own(session.own_absolute())),
        ("revision", session.revision().to_string()),
        ("CSRF token", if session.has_csrf_token() { "yes" } else { "no" }.into()),
        ("version", session.content_version().to_string()),
        ("content", content_as_text(&session)),
    ];
    for (name, value) in rows {
        out.line(format!("{name:<14}{value}"))?;
    }
    Ok(DONE)
}

/// The content as JSON, digit by digit, if its encoding is self-describing; else null, as only the
/// program can decode it. Then [`content_as_hex`] has its bytes.
pub(super) fn content_as_json(session: &StoredSession) -> Option<Box<RawValue>> {
    session.json().and_then(|json| RawValue::from_string(json).ok())
}

/// The bytes of content that only the program can decode.
pub(super) fn content_as_hex(session: &StoredSession) -> Option<String> {
    let is_opaque = session.json().is_none();
    is_opaque.then(|| session.content().iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn content_as_text(session: &StoredSession) -> String {
    match (session.json(), content_as_hex(session)) {
        (Some(json), _) => output::plain(&json),
        (None, hex) => {
            let len = output::bytes(session.content().len() as u64);
            format!("{len}: {}", hex.unwrap_or_default())
        }
    }
}
