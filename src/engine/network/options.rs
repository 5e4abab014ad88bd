//! The parameters that the URLs of all servers share.

use crate::engine::network::failure::source;
use crate::engine::network::server::Limits;
use crate::engine::network::transport::location::{Location, invalid};
#[cfg(feature = "tls")]
use crate::engine::network::transport::tls::Tls;
use crate::error::{Error, Result};

/// The parameters that every server takes.
pub(crate) const KNOWN: &str = "`name`, `timeout_ms`, `connections`, `tls_ca`";

/// The settings of every server.
#[derive(Debug)]
pub(crate) struct Options {
    /// The store's name on the server.
    pub(crate) name: String,
    pub(crate) limits: Limits,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

/// Whether a connection uses TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secured {
    Yes,
    No,
    /// TLS, unless the server is on this machine, or the URL says `tls=off`.
    Default,
    /// TLS, unless the URL says `tls=off`.
    UnlessOff,
}

impl Options {
    /// Takes the shared parameters out of a URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a value out of its range.
    pub(crate) fn take(location: &mut Location, secured: Secured) -> Result<Self> {
        let name = location.take("name")?.unwrap_or_else(|| "sessile".to_owned());
        if !is_name(&name) {
            return Err(invalid(
                "needs a `name` of 1 to 40 small letters, digits and `_` that begins with a letter",
            ));
        }
        let timeout = location.take_millis("timeout_ms")?.unwrap_or(Limits::DEFAULT.timeout);
        let connections = location.take("connections")?.unwrap_or(Limits::DEFAULT.connections);
        if !(1..=1_000).contains(&connections) {
            return Err(invalid("needs `connections` from 1 to 1000"));
        }
        let authority = location.take::<String>("tls_ca")?;
        let is_secured = match secured {
            Secured::Yes => true,
            Secured::No => false,
            Secured::Default | Secured::UnlessOff => {
                match location.take::<String>("tls")?.as_deref() {
                    Some("off") => false,
                    Some("on") => true,
                    Some(_) => return Err(invalid("needs `tls` to be `on` or `off`")),
                    None if secured == Secured::UnlessOff => true,
                    None => !location.addresses.iter().all(|address| address.is_loopback()),
                }
            }
        };
        if authority.is_some() && !is_secured {
            return Err(invalid("names a `tls_ca` for a connection that is not in TLS"));
        }
        #[cfg(not(feature = "tls"))]
        if is_secured {
            return Err(invalid(
                "asks for TLS, which needs the feature `tls` of sessile; \
                 in a network that nobody listens in, say `tls=off` or use the scheme without TLS",
            ));
        }
        Ok(Self {
            name,
            limits: Limits { timeout, connections },
            #[cfg(feature = "tls")]
            tls: match is_secured {
                true => Some(Tls::new(authority.as_deref())?),
                false => None,
            },
        })
    }
}

/// Whether every server accepts the name unquoted.
fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_'))
}

/// A server in words: its kind, its first host, and the number of further hosts.
pub(crate) fn server_in_words(kind: &str, location: &Location) -> String {
    let first = location.addresses.first().map(ToString::to_string).unwrap_or_default();
    match location.addresses.len().saturating_sub(1) {
        0 => format!("{kind} at {first}"),
        others => format!("{kind} at {first} and {others} more"),
    }
}

/// The format version of the data that engines store on a server.
const FORMAT: u64 = 1;
/// The metadata name under which a server stores the version.
pub(crate) const FORMAT_NAME: &str = "format";

/// The format version as stored on a new server.
pub(crate) fn format_text() -> String {
    FORMAT.to_string()
}

/// Refuses data of a newer version of this library.
///
/// # Errors
///
/// [`Error::UnsupportedFormat`], or [`Error::Unavailable`] if the value is not a format version.
pub(crate) fn check_format(server: &str, found: &[u8]) -> Result<()> {
    let number = std::str::from_utf8(found).ok().and_then(|text| text.parse().ok());
    match number {
        Some(FORMAT) => Ok(()),
        Some(found) => {
            Err(Error::UnsupportedFormat { path: server.into(), found, supported: FORMAT })
        }
        None => Err(Error::Unavailable {
            server: server.into(),
            source: source("what the server holds under the store's name is no session store"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(url: &str) -> Result<Options> {
        let mut location = Location::parse(url, 1)?;
        let options = Options::take(&mut location, Secured::Default)?;
        location.finish(KNOWN)?;
        Ok(options)
    }

    #[test]
    fn settings_have_defaults_and_ranges() {
        let options = taken("x://localhost").unwrap();
        assert_eq!((options.name.as_str(), options.limits), ("sessile", Limits::DEFAULT));
        let options = taken("x://localhost?name=shop_2&connections=3&timeout_ms=100").unwrap();
        assert_eq!((options.name.as_str(), options.limits.connections), ("shop_2", 3));
        let long = format!("name={}", "a".repeat(41));
        for wrong in [
            "name=",
            "name=2",
            "name=a-b",
            "name=A",
            &long,
            "connections=0",
            "connections=1001",
            "connections=x",
            "timeout_ms=9",
            "tls=maybe",
            "tls_ca=/x",
            "colour=red",
        ] {
            let error = taken(&format!("x://u:hidden@localhost?{wrong}")).unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { name: "url", .. }), "{wrong}");
            assert!(!format!("{error}{error:?}").contains("hidden"));
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_server_elsewhere_is_not_spoken_to_in_clear_unless_the_url_says_so() {
        let error = taken("x://db.example.com").unwrap_err();
        assert!(error.to_string().contains("feature `tls`"), "{error}");
        taken("x://db.example.com?tls=off").unwrap();
        assert!(taken("x://localhost?tls=on").is_err());
        assert!(taken("x://localhost,db.example.com").is_err(), "one of them is elsewhere");
    }

    #[test]
    fn the_format_of_a_newer_version_is_refused() {
        check_format("s", format_text().as_bytes()).unwrap();
        let newer = check_format("s", b"2").unwrap_err();
        assert!(matches!(newer, Error::UnsupportedFormat { found: 2, supported: 1, .. }));
        assert!(matches!(check_format("s", b"x"), Err(Error::Unavailable { .. })));
    }
}
