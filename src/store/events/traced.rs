//! Passes events on to `tracing`, at levels that suit a production log, with keys and nothing
//! secret.
//!
//! Events of single sessions are at `DEBUG`, since a busy program has thousands a second. Events
//! that an operator must see are at `WARN` and `ERROR`. Users are left out: they are personal data.

use tracing::Level;

use crate::store::events::{Event, Observer};

#[derive(Debug)]
pub(super) struct Traced;

/// Emits one event, with its text and its fields.
macro_rules! emit {
    ($level:expr, $event:expr $(, $field:ident = $value:expr)*) => {
        tracing::event!(target: "sessile", $level, $($field = %$value,)* "{}", $event)
    };
}

impl Observer for Traced {
    fn observe(&self, event: &Event) {
        match event {
            Event::Created { key, .. } => emit!(Level::DEBUG, event, key = key),
            Event::Regenerated { old, new, .. } => {
                emit!(Level::DEBUG, event, old = old, new = new);
            }
            Event::Ended { key, reason, .. } => {
                emit!(Level::DEBUG, event, key = key, reason = reason.name());
            }
            Event::Conflict { key } => emit!(Level::DEBUG, event, key = key),
            Event::Checkpoint => emit!(Level::DEBUG, event),
            Event::DamagedRecord { key } => emit!(Level::ERROR, event, key = key),
            Event::MaintenanceFailed { task, .. } => {
                emit!(Level::WARN, event, task = task.name());
            }
            Event::MaintenanceRecovered { task } => {
                emit!(Level::INFO, event, task = task.name());
            }
            Event::Cleared | Event::Recovered => emit!(Level::INFO, event),
            Event::Reopened
            | Event::PromiseMissed { .. }
            | Event::LongerTimeoutsOnRecord { .. } => emit!(Level::WARN, event),
        }
    }
}
