//! The timeouts that all stores on one engine share.
//!
//! Invariant: all stores that are attached to an engine at the same time have the same timeouts. A
//! sweep with shorter ones would delete the other store's live sessions.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::time::timeouts::Timeouts;

/// The stores that are attached to an engine. Every engine has one `Attachments` and implements
/// [`Engine::attach`](super::Engine::attach) with it.
///
/// # Examples
///
/// ```
/// use sessile::Timeouts;
/// use sessile::engine::Attachments;
///
/// let attachments = Attachments::new();
/// let first = attachments.attach(Timeouts::default())?;
/// let other = Timeouts::from_seconds(60, 600)?;
/// assert!(attachments.attach(other).is_err());
/// drop(first);
/// assert!(attachments.attach(other).is_ok());
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Attachments(Mutex<Weak<Timeouts>>);

/// A store's attachment to an engine. Dropping it ends the attachment, without a lock.
///
/// # Examples
///
/// See [`Attachments`].
#[derive(Clone, Debug)]
#[must_use = "a store is attached for as long as it holds this"]
pub struct Attachment(#[expect(dead_code, reason = "it is held, and counted")] Arc<Timeouts>);

impl Attachments {
    /// No store is attached yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The timeouts of the attached stores; without a store, nothing expires.
    pub(in crate::engine) fn timeouts(&self) -> Timeouts {
        self.0.lock().upgrade().map_or(Timeouts::ENDLESS, |timeouts| *timeouts)
    }

    /// Attaches a store with these timeouts.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if another store with other timeouts is attached.
    pub fn attach(&self, timeouts: Timeouts) -> Result<Attachment> {
        let mut attached = self.0.lock();
        let held = match attached.upgrade() {
            Some(others) if *others == timeouts => others,
            Some(others) => {
                let reason = format!(
                    "differ from those of another store on the same engine ({:?} of inactivity, \
                     {:?} in all), which would lose sessions; give both the same",
                    others.inactivity(),
                    others.absolute()
                );
                return Err(Error::setting("timeouts", reason));
            }
            None => Arc::new(timeouts),
        };
        *attached = Arc::downgrade(&held);
        Ok(Attachment(held))
    }
}
