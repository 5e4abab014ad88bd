//! The trait of actix-session: moves blocking calls to blocking threads, and maps errors to the
//! kinds of actix-session.

use std::error::Error as StdError;
use std::fmt;

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use actix_web::cookie::time::Duration;
use actix_web::web;
use sessile::{Error, SessionId};

use crate::content::State;
use crate::store::{SessileStore, is_unreadable};

impl SessionStore for SessileStore {
    async fn load(&self, session_key: &SessionKey) -> Result<Option<State>, LoadError> {
        // A key that is no valid id belongs to no session.
        let Ok(id) = SessionId::parse(session_key.as_ref()) else { return Ok(None) };
        reading(self, move |store| store.find(&id)).await.map_err(|failure| match failure {
            Failure::Store(error) if is_unreadable(&error) => {
                LoadError::Deserialization(error.into())
            }
            Failure::Store(error) => LoadError::Other(error.into()),
            Failure::Thread(_) => LoadError::Other(failure.into()),
        })
    }

    async fn save(&self, state: State, ttl: &Duration) -> Result<SessionKey, SaveError> {
        let ttl_ms = milliseconds(*ttl);
        let saved = blocking(self, move |store| store.insert(state, ttl_ms)).await;
        saved.and_then(|id| key_of(&id)).map_err(|failure| match failure.is_of_the_content() {
            true => SaveError::Serialization(failure.into()),
            false => SaveError::Other(failure.into()),
        })
    }

    async fn update(
        &self,
        session_key: SessionKey,
        state: State,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        let ttl_ms = milliseconds(*ttl);
        // A key that is no valid id is treated as the key of an ended session.
        let saved = match SessionId::parse(session_key.as_ref()) {
            Ok(id) => blocking(self, move |store| store.replace(id, state, ttl_ms)).await,
            Err(_) => blocking(self, move |store| store.insert(State::new(), ttl_ms)).await,
        };
        saved.and_then(|id| key_of(&id)).map_err(|failure| match failure.is_of_the_content() {
            true => UpdateError::Serialization(failure.into()),
            false => UpdateError::Other(failure.into()),
        })
    }

    async fn update_ttl(&self, session_key: &SessionKey, ttl: &Duration) -> anyhow::Result<()> {
        let ttl_ms = milliseconds(*ttl);
        let Ok(id) = SessionId::parse(session_key.as_ref()) else { return Ok(()) };
        let of_the_session = id.clone();
        if reading(self, move |store| store.has_ttl(&of_the_session, ttl_ms)).await? {
            return Ok(());
        }
        Ok(blocking(self, move |store| store.set_ttl(&id, ttl_ms)).await?)
    }

    async fn delete(&self, session_key: &SessionKey) -> anyhow::Result<()> {
        let Ok(id) = SessionId::parse(session_key.as_ref()) else { return Ok(()) };
        Ok(blocking(self, move |store| store.remove(&id)).await?)
    }
}

/// An error of the store, or a blocking thread that did not finish.
#[derive(Debug)]
enum Failure {
    Store(Error),
    Thread(actix_web::error::BlockingError),
}

impl Failure {
    const fn is_of_the_content(&self) -> bool {
        matches!(self, Self::Store(Error::Encode { .. } | Error::TooLarge { .. }))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(formatter),
            Self::Thread(_) => formatter.write_str("the blocking thread did not finish"),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Thread(error) => Some(error),
        }
    }
}

/// Runs a read or a touch in place, or on a blocking thread if it waits for a server.
async fn reading<T: Send + 'static>(
    store: &SessileStore,
    act: impl FnOnce(&SessileStore) -> sessile::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    match store.reads_wait() {
        true => blocking(store, act).await,
        false => act(store).map_err(Failure::Store),
    }
}

async fn blocking<T: Send + 'static>(
    store: &SessileStore,
    act: impl FnOnce(&SessileStore) -> sessile::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let store = store.clone();
    match web::block(move || act(&store)).await {
        Ok(outcome) => outcome.map_err(Failure::Store),
        Err(error) => Err(Failure::Thread(error)),
    }
}

/// The id as a key. An id has 22 characters, far below the limit of a key.
fn key_of(id: &SessionId) -> Result<SessionKey, Failure> {
    let too_long = |_| Failure::Store(Error::InvalidId { reason: "it is too long for a key" });
    SessionKey::try_from(id.encode()).map_err(too_long)
}

/// A `ttl` in whole milliseconds, rounded up; 0 if it is not positive.
fn milliseconds(ttl: Duration) -> u64 {
    let nanoseconds = u128::try_from(ttl.whole_nanoseconds()).unwrap_or_default();
    u64::try_from(nanoseconds.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_rounded_up_to_a_millisecond() {
        let lives = [(-1, 0), (0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)];
        for (nanoseconds, expected) in lives {
            assert_eq!(milliseconds(Duration::nanoseconds(nanoseconds)), expected);
        }
    }
}
