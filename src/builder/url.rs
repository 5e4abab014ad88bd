//! Makes an engine from a URL, so that moving sessions to a server changes one line.
//!
//! Invariant: a URL is never shown, because it may contain a password. Errors name only its scheme.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::Builder;
use crate::engine::contract::Engine;
use crate::engine::memory::MemoryEngine;
use crate::error::{Error, Result};
use crate::percent::decoded;
use crate::store::SessionStore;

/// The target of a URL.
enum Target {
    File(String),
    Engine(Arc<dyn Engine>),
}

/// What to do if there is no store yet.
#[derive(Clone, Copy)]
enum Missing {
    IsMade,
    IsRefused,
}

/// Connects an engine to its server, by `connect` or, if a missing store is refused, by `existing`.
#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
fn on_server<E: Engine + 'static>(
    url: &str,
    missing: Missing,
    connect: fn(&str) -> Result<E>,
    existing: fn(&str) -> Result<Option<E>>,
) -> Result<Target> {
    let engine = match missing {
        Missing::IsMade => Some(connect(url)?),
        Missing::IsRefused => existing(url)?,
    };
    engine.map(|engine| Target::Engine(Arc::new(engine))).ok_or_else(|| {
        Error::setting(
            "url",
            "leads to a server that has no store of this name yet; `connect` makes one",
        )
    })
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Opens the store that a URL names, with every setting at its default.
    ///
    /// # Errors
    ///
    /// As for [`Builder::connect`].
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("file:{}", folder.path().join("sessions.redb").display());
    /// // "file:sessions.redb" today, "postgres://shop@db/shop" tomorrow: from the configuration.
    /// let store = SessionStore::<u32>::connect(&url)?;
    /// assert!(store.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url)
    }
}

impl<C: Serialize + DeserializeOwned> Builder<C> {
    /// Opens the store that a URL names.
    ///
    /// | URL | sessions are kept | feature |
    /// |---|---|---|
    /// | `file:PATH` | in a file, as by [`open`](Self::open); in PATH, write `?` as `%3F` and `%` as `%25` | |
    /// | `memory:` | in memory, as by [`in_memory`](Self::in_memory) | |
    /// | `postgres://USER@HOST/DATABASE`, also `postgresql:` | on PostgreSQL | `postgres` |
    /// | `mysql://USER@HOST/DATABASE` | on MySQL or MariaDB | `mysql` |
    /// | `mongodb://HOST,HOST/DATABASE` | on a MongoDB replica set | `mongodb` |
    /// | `mongodb+srv://HOST/DATABASE` | the same; DNS has its hosts, and TLS is on | `mongodb`, `tls` |
    /// | `redis://HOST/NUMBER` | on Redis or Valkey; for a cluster, give some of its hosts | `redis` |
    /// | `rediss://HOST/NUMBER` | the same, over TLS | `redis`, `tls` |
    ///
    /// Each engine's page in [`engine`](crate::engine) lists its parameters and the settings that
    /// make it safe.
    ///
    /// # Security
    ///
    /// No error and no `Debug` output shows the user or the password of a URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for an invalid URL, an unknown parameter, an unknown scheme or one
    /// whose feature is off, if an engine was also set, and for a file setting if the URL names no
    /// file. Any error of the engine, such as [`Error::Unavailable`] if a server is not reached.
    pub fn connect(self, url: &str) -> Result<SessionStore<C>> {
        self.connect_to(url, Missing::IsMade)
    }

    /// Opens an existing store as [`connect`](Self::connect) does: a mistyped name of a database or
    /// a store makes nothing on the server, and a mistyped path no file.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect), and [`Error::InvalidSetting`] if the server has no store
    /// of this name, and for `memory:`. For a file as for [`open_existing`](Self::open_existing).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let mistyped = folder.path().join("sesions.redb");
    /// # let url = format!("file:{}", mistyped.display());
    /// assert!(SessionStore::<u32>::builder().connect_existing(&url).is_err());
    /// assert!(!mistyped.exists());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_existing(self, url: &str) -> Result<SessionStore<C>> {
        self.connect_to(url, Missing::IsRefused)
    }

    fn connect_to(self, url: &str, missing: Missing) -> Result<SessionStore<C>> {
        if self.engine.is_some() {
            return Err(Error::setting("engine", "goes with `build()`, not with `connect(url)`"));
        }
        self.check()?;
        if !url.starts_with("file:") {
            // Checked before any connection is made.
            self.check_without_file()?;
        }
        match (target(url, missing)?, missing) {
            (Target::File(path), Missing::IsMade) => self.open(path),
            (Target::File(path), Missing::IsRefused) => self.open_existing(path),
            (Target::Engine(engine), _) => self.engine(engine).build(),
        }
    }
}

fn target(url: &str, missing: Missing) -> Result<Target> {
    let refused = |reason: String| Err(Error::setting("url", reason));
    let Some((scheme, rest)) = url.split_once(':') else {
        return refused("needs a scheme, as in `file:sessions.redb`".into());
    };
    match scheme {
        "file" => file(rest).map(Target::File),
        "memory" if !rest.is_empty() => {
            refused("has something after `memory:`, which takes nothing".into())
        }
        "memory" => match missing {
            Missing::IsMade => Ok(Target::Engine(Arc::new(MemoryEngine::new()))),
            Missing::IsRefused => {
                refused("is `memory:`, where no store can exist before it is opened".into())
            }
        },
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            use crate::engine::sql::postgres::PostgresEngine as Chosen;
            on_server(url, missing, Chosen::connect, Chosen::connect_existing)
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" => {
            use crate::engine::redis::RedisEngine as Chosen;
            on_server(url, missing, Chosen::connect, Chosen::connect_existing)
        }
        #[cfg(feature = "mysql")]
        "mysql" => {
            use crate::engine::sql::mysql::MysqlEngine as Chosen;
            on_server(url, missing, Chosen::connect, Chosen::connect_existing)
        }
        #[cfg(feature = "mongodb")]
        "mongodb" | "mongodb+srv" => {
            use crate::engine::mongodb::MongodbEngine as Chosen;
            on_server(url, missing, Chosen::connect, Chosen::connect_existing)
        }
        #[allow(unreachable_patterns, reason = "of the features, any may be off")]
        "postgres" | "postgresql" => refused(feature_is_off("postgres")),
        #[allow(unreachable_patterns, reason = "of the features, any may be off")]
        "redis" | "rediss" => refused(feature_is_off("redis")),
        #[allow(unreachable_patterns, reason = "of the features, any may be off")]
        "mysql" => refused(feature_is_off("mysql")),
        #[allow(unreachable_patterns, reason = "of the features, any may be off")]
        "mongodb" | "mongodb+srv" => refused(feature_is_off("mongodb")),
        _ => refused(
            "has a scheme that is unknown; known are `file`, `memory`, `postgres`, `mysql`, \
             `mongodb`, `mongodb+srv`, `redis` and `rediss`"
                .into(),
        ),
    }
}

fn feature_is_off(feature: &str) -> String {
    format!("needs sessile's feature `{feature}`: name it where the program depends on sessile")
}

/// Returns the path of `file:PATH`, `file:/PATH` or `file:///PATH`, with its `%xx` decoded.
fn file(rest: &str) -> Result<String> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err(Error::setting("url", "names a host for a file; say `file:PATH`")),
    };
    match path {
        "" => Err(Error::setting("url", "needs a path after `file:`")),
        path if path.contains('?') => {
            Err(Error::setting("url", "has a parameter, and `file:PATH` takes none"))
        }
        path => decoded(without_root(path)),
    }
}

/// The path without the `/` before the letter of a drive, as in `file:///C:/sessions.redb`.
fn without_root(path: &str) -> &str {
    match path.strip_prefix('/') {
        Some(rest) if cfg!(windows) && rest.chars().nth(1) == Some(':') => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        let error = SessionStore::<u32>::connect(url).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { name: "url", .. }), "{error:?}");
        error.to_string()
    }

    #[test]
    fn a_file_is_named_by_its_path() {
        for (rest, path) in [
            ("a.redb", "a.redb"),
            ("/a/b", "/a/b"),
            ("///a/b", "/a/b"),
            ("///srv/my%20sessions%3F.redb", "/srv/my sessions?.redb"),
            ("100%25", "100%"),
            ("///C:/a", if cfg!(windows) { "C:/a" } else { "/C:/a" }),
        ] {
            assert_eq!(file(rest).unwrap(), path);
        }
        for rest in ["", "//", "//host/a", "a?mode=ro", "100%", "%ff"] {
            assert!(file(rest).is_err(), "{rest}");
        }
    }

    #[test]
    fn a_file_and_memory_are_stores() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file:{}", folder.path().join("sessions.redb").display());
        let store = SessionStore::<u32>::connect(&url).unwrap();
        let id = store.create(7).unwrap().id().clone();
        store.close().unwrap();
        let store = SessionStore::<u32>::connect(&url).unwrap();
        assert_eq!(*store.read(&id).unwrap().unwrap().content(), 7);
        assert!(SessionStore::<u32>::connect("memory:").unwrap().is_empty().unwrap());
    }

    #[test]
    fn what_is_no_url_of_a_store_is_refused_and_not_shown() {
        for url in ["hidden", "hidden://u:hidden@h", "memory:hidden", "file://hidden"] {
            let said = refusal(url);
            assert!(!said.contains("hidden"), "{said}");
        }
    }

    #[test]
    fn only_an_existing_store_is_opened_on_request() {
        let existing = |url: &str| SessionStore::<u32>::builder().connect_existing(url);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let url = format!("file:{}", path.display());
        assert!(matches!(existing(&url).unwrap_err(), Error::Io { .. }));
        assert!(!path.exists());
        SessionStore::<u32>::connect(&url).unwrap().close().unwrap();
        assert!(existing(&url).unwrap().is_empty().unwrap());
        assert!(matches!(existing("memory:").unwrap_err(), Error::InvalidSetting { .. }));
    }

    #[cfg(not(feature = "postgres"))]
    #[test]
    fn a_scheme_whose_feature_is_off_names_the_feature() {
        assert!(refusal("postgres://u:hidden@h").contains("feature `postgres`"));
    }

    #[cfg(not(feature = "mysql"))]
    #[test]
    fn a_scheme_of_mysql_whose_feature_is_off_names_the_feature() {
        assert!(refusal("mysql://u:hidden@h/d").contains("feature `mysql`"));
    }

    #[cfg(not(feature = "mongodb"))]
    #[test]
    fn a_scheme_of_mongodb_whose_feature_is_off_names_the_feature() {
        for scheme in ["mongodb", "mongodb+srv"] {
            let said = refusal(&format!("{scheme}://u:hidden@h/d"));
            assert!(said.contains("feature `mongodb`"), "{said}");
        }
    }

    #[cfg(not(feature = "redis"))]
    #[test]
    fn a_scheme_of_redis_whose_feature_is_off_names_the_feature() {
        assert!(refusal("rediss://u:hidden@h").contains("feature `redis`"));
    }

    #[test]
    fn an_engine_that_is_named_besides_a_url_is_refused() {
        let builder = SessionStore::<u32>::builder().engine(MemoryEngine::new());
        let error = builder.connect("memory:").unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { name: "engine", .. }), "{error:?}");
    }
}
