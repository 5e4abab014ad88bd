//! The traits of each version of tower-sessions. They have the same methods, so one macro
//! implements them.
//!
//! An id of tower-sessions has 128 bits and is written with the same 22 characters as a
//! [`SessionId`].

use sessile::SessionId;

use crate::store::{Failure, Outcome};

/// Converts an id between the two crates' types by its text, which is the same in both.
fn id_from<T: ToString>(id: &T) -> Outcome<SessionId> {
    Ok(SessionId::parse(&id.to_string())?)
}

macro_rules! implement {
    ($core:ident) => {
        use async_trait::async_trait;
        use $core::session::{Id, Record};
        use $core::session_store::{Error, ExpiredDeletion, Result, SessionStore};

        use super::{Failure, id_from};
        use crate::store::SessileStore;

        impl From<Failure> for Error {
            fn from(failure: Failure) -> Self {
                match failure {
                    Failure::Encode(text) => Self::Encode(text),
                    Failure::Decode(text) => Self::Decode(text),
                    Failure::Backend(text) => Self::Backend(text),
                }
            }
        }

        #[async_trait]
        impl SessionStore for SessileStore {
            async fn create(&self, record: &mut Record) -> Result<()> {
                let id = self.insert(record.data.clone(), record.expiry_date).await?;
                let id = id.encode().parse::<Id>();
                record.id = id.map_err(|error| Error::Backend(error.to_string()))?;
                Ok(())
            }

            async fn save(&self, record: &Record) -> Result<()> {
                let id = id_from(&record.id)?;
                Ok(self.replace(id, record.data.clone(), record.expiry_date).await?)
            }

            async fn load(&self, session_id: &Id) -> Result<Option<Record>> {
                let found = self.find(id_from(session_id)?).await?;
                let id = *session_id;
                Ok(found.map(|(data, expiry_date)| Record { id, data, expiry_date }))
            }

            async fn delete(&self, session_id: &Id) -> Result<()> {
                Ok(self.remove(id_from(session_id)?).await?)
            }
        }

        #[async_trait]
        impl ExpiredDeletion for SessileStore {
            async fn delete_expired(&self) -> Result<()> {
                Ok(self.sweep().await?)
            }
        }
    };
}

#[cfg(feature = "v0-14")]
mod v0_14 {
    implement!(tower_sessions_core_0_14);
}

#[cfg(feature = "v0-15")]
mod v0_15 {
    implement!(tower_sessions_core_0_15);
}
