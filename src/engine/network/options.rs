//! The parameters that the URLs of all servers share, and the limits that they set.

use std::time::Duration;

use crate::engine::network::failure::source;
use crate::engine::network::transport::location::{Location, invalid};
#[cfg(feature = "tls")]
use crate::engine::network::transport::tls::{Tls, TlsSettings};
use crate::error::{Error, Result};

/// The parameters that every server takes.
pub(crate) const KNOWN: &str =
    "`name`, `timeout_ms`, `connections`, `tls_ca`, `tls_cert`, `tls_key`, `tls_name`";

/// The settings of every server.
#[derive(Debug)]
pub(crate) struct Options {
    /// The store's name on the server.
    pub(crate) name: String,
    pub(crate) limits: Limits,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

/// How the time of a call is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The time for a whole call, retries included.
    pub(crate) timeout: Duration,
    /// The most connections that are open at once.
    pub(crate) connections: usize,
}

impl Limits {
    pub(crate) const DEFAULT: Self = Self { timeout: Duration::from_secs(5), connections: 16 };

    /// The time for one answer. If it is lost, enough time is left to look up the outcome.
    pub(crate) fn answer(&self) -> Duration {
        self.timeout.mul_f32(0.4)
    }

    /// The time that a statement may wait for a lock. It is shorter than the wait for the answer,
    /// so that a statement changes nothing after its caller has given up.
    pub(crate) fn lock(&self) -> Duration {
        self.timeout.mul_f32(0.3)
    }

    /// The server stops a statement that takes longer, just before its caller gives up.
    pub(crate) fn statement(&self) -> Duration {
        self.timeout.mul_f32(0.33)
    }

    /// The server ends a transaction with changes whose next statement does not come for so long:
    /// its client is gone, and the server has not noticed.
    pub(crate) fn idle(&self) -> Duration {
        self.timeout.saturating_mul(3)
    }

    /// The time to connect, and to wait for a connection in use.
    pub(crate) fn connect(&self) -> Duration {
        self.timeout.mul_f32(0.2)
    }
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

/// A parameter that turns TLS on or off.
struct Spelling {
    name: &'static str,
    /// The schemes of the URLs that take it; none stands for all.
    schemes: &'static [&'static str],
    /// The values that turn TLS on, the best one first. Each means a verified certificate.
    on: &'static [&'static str],
    off: &'static [&'static str],
}

/// The own parameter, and those of the clients that each kind of server comes with.
const SPELLINGS: [Spelling; 4] = [
    Spelling { name: "tls", schemes: &[], on: &["on", "true"], off: &["off", "false"] },
    Spelling { name: "ssl", schemes: &["mongodb", "mongodb+srv"], on: &["true"], off: &["false"] },
    Spelling {
        name: "sslmode",
        schemes: &["postgres", "postgresql"],
        on: &["verify-full", "verify-ca", "require"],
        off: &["disable"],
    },
    Spelling {
        name: "ssl-mode",
        schemes: &["mysql"],
        on: &["VERIFY_IDENTITY", "VERIFY_CA", "REQUIRED"],
        off: &["DISABLED"],
    },
];

/// Takes the parameters out that turn TLS on or off; `None` if there are none.
fn take_tls(location: &mut Location) -> Result<Option<bool>> {
    let mut is_on = None;
    for Spelling { name, schemes, on, off } in SPELLINGS {
        if !schemes.is_empty() && !schemes.contains(&location.scheme.as_str()) {
            continue;
        }
        let Some(value) = location.take::<String>(name)? else { continue };
        let holds = |values: &[&str]| values.iter().any(|one| one.eq_ignore_ascii_case(&value));
        if !holds(on) && !holds(off) {
            let [on, off] = [on, off].map(|values| values.first().copied().unwrap_or_default());
            return Err(invalid(format!("needs `{name}` to be `{on}` or `{off}`")));
        }
        if is_on.replace(holds(on)).is_some_and(|earlier| earlier != holds(on)) {
            return Err(invalid("turns TLS both on and off"));
        }
    }
    Ok(is_on)
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
        let mut files = [None, None, None, None];
        for (file, name) in files.iter_mut().zip(["tls_ca", "tls_cert", "tls_key", "tls_name"]) {
            *file = location.take::<String>(name)?;
        }
        let is_secured = match secured {
            Secured::Yes => true,
            Secured::No => false,
            Secured::Default | Secured::UnlessOff => match take_tls(location)? {
                Some(is_on) => is_on,
                None if secured == Secured::UnlessOff => true,
                None => !location.addresses.iter().all(|address| address.is_loopback()),
            },
        };
        if files.iter().any(Option::is_some) && !is_secured {
            return Err(invalid("has a setting of TLS for a connection that is not in TLS"));
        }
        let [_, certificate, key, _] = &files;
        if certificate.is_some() != key.is_some() {
            return Err(invalid("needs `tls_cert` and `tls_key` together"));
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
                true => {
                    let [authorities, certificate, key, name] = files;
                    let client = certificate.zip(key);
                    Some(Tls::new(&TlsSettings { authorities, client, name })?)
                }
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
            "tls=on&tls=off",
            "tls_ca=/x",
            "tls_name=x",
            "tls=on&tls_cert=/x",
            "colour=red",
        ] {
            let error = taken(&format!("x://u:hidden@localhost?{wrong}")).unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { name: "url", .. }), "{wrong}");
            assert!(!format!("{error}{error:?}").contains("hidden"));
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_is_asked_for_as_each_kind_of_server_spells_it() {
        let tls = |url: &str| taken(url).map(|options| options.tls.is_some());
        for (url, on, off) in [
            ("redis://localhost", "tls=true", "tls=false"),
            ("postgres://localhost", "sslmode=require", "sslmode=disable"),
            ("postgresql://localhost", "sslmode=verify-full", "sslmode=disable"),
            ("mysql://localhost", "ssl-mode=REQUIRED", "ssl-mode=DISABLED"),
            ("mysql://localhost", "ssl-mode=verify_identity", "ssl-mode=disabled"),
            ("mongodb://localhost", "ssl=true", "ssl=false"),
        ] {
            assert!(tls(&format!("{url}?{on}")).unwrap(), "{url} {on}");
            assert!(!tls(&format!("{url}?{off}")).unwrap(), "{url} {off}");
            let both = tls(&format!("{url}?{on}&tls=off")).unwrap_err().to_string();
            assert!(on.starts_with("tls=") || both.contains("both"), "{both}");
        }
        for (url, spelling, allowed) in [
            ("postgres://localhost", "sslmode=prefer", "`verify-full`"),
            ("mysql://localhost", "ssl-mode=PREFERRED", "`VERIFY_IDENTITY`"),
            ("mongodb://localhost", "ssl=maybe", "`true`"),
            ("mysql://localhost", "sslmode=require", "`sslmode`"),
        ] {
            let refused = tls(&format!("{url}?{spelling}")).unwrap_err().to_string();
            assert!(refused.contains(allowed), "{refused}");
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
