//! The stored content of a session: the state of actix-session and the session's `ttl`.
//!
//! This module does not use the store.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The values of a session by name, each a JSON text, as actix-session has them.
pub type State = HashMap<String, String>;

/// The content of a session in the store.
///
/// A program that opens the same store without actix-session, to list or search it, reads the
/// session's values from this type.
///
/// # Examples
///
/// ```
/// use sessile_actix_session::SessileStore;
///
/// # fn main() -> Result<(), sessile::Error> {
/// let store = SessileStore::in_memory()?;
/// store.sessions().for_each(|info, content| {
///     println!("{}: {} values", info.key(), content.state().len());
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    state: State,
    ttl_ms: u64,
}

impl Content {
    pub(crate) const fn new(state: State, ttl_ms: u64) -> Self {
        Self { state, ttl_ms }
    }

    /// The values of the session.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// How long the session lives after it was last saved or touched.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    pub(crate) fn into_state(self) -> State {
        self.state
    }

    pub(crate) const fn set_ttl_ms(&mut self, ttl_ms: u64) {
        self.ttl_ms = ttl_ms;
    }
}
