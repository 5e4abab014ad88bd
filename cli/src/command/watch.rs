//! What happens in a running program's store, as it happens.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;
use sessile::UserId;

use crate::arguments::number;
use crate::command::{DONE, Done};
use crate::output::{self, Output};
use crate::progress::{ensure_not_interrupted, is_interrupted};
use crate::target;

pub(super) fn run(path: &Path, out: &mut Output) -> Done {
    let running = target::running(path)?;
    let mut failed = None;
    running.watch(&mut |event| {
        let written = match event {
            Some(event) => line(event, out).and_then(|()| out.flush()),
            None => {
                out.look_for_reader();
                Ok(())
            }
        };
        failed = written.err();
        match failed.is_some() || out.is_closed() || is_interrupted() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    // Between two events the watch ends here, and during a wait by an error.
    ensure_not_interrupted()?;
    Ok(DONE)
}

fn line(event: &str, out: &mut Output) -> std::io::Result<()> {
    let mut event: Value = serde_json::from_str(event)?;
    let now = SystemTime::now();
    // The protocol has the digits of a number.
    let told = |name: &str| event.get("user")?.get(name)?.as_str().map(ToOwned::to_owned);
    let user: Option<UserId> = match (told("text"), told("number")) {
        (Some(text), _) => Some(text.into()),
        (None, digits) => digits.and_then(|digits| number(&digits)),
    };
    if out.json {
        if let Some(fields) = event.as_object_mut() {
            fields.insert("at".into(), out.time_as_json(now).into());
        }
        if event.get("user").is_some() {
            output::add_user(user.as_ref(), &mut event);
        }
        return out.document(&event);
    }
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let told = match (text("event"), text("key")) {
        ("missed", _) => {
            format!("{} events were missed", event.get("events").unwrap_or(&Value::Null))
        }
        ("note" | "cleared", _) => text("text").to_owned(),
        (name, key) => {
            let user = output::user(user.as_ref());
            let more = match name {
                "regenerated" => format!(" was {}", text("old")),
                _ => text("reason").to_owned(),
            };
            format!("{name:<12} {key} {user} {more}").trim_end().to_owned()
        }
    };
    // Whoever answers behind the socket writes these texts.
    out.line(output::plain(&format!("{} {told}", out.time(now))))
}
