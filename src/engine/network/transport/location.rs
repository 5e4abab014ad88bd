//! Where a server is and how to connect to it: the parts of a URL.
//!
//! Invariant: neither user nor password appears in `Debug`, in an error, or anywhere else. This
//! file knows no kind of server.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::percent::decoded;

/// A parsed URL: `scheme://[user[:password]@]host[:port][,host[:port]...][/path][?name=value&...]`.
pub(crate) struct Location {
    pub(crate) scheme: String,
    pub(crate) user: Option<Secret>,
    pub(crate) password: Option<Secret>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) path: String,
    parameters: BTreeMap<String, String>,
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Location")
            .field("scheme", &self.scheme)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

impl Address {
    /// Whether the address is this machine, so that nobody can listen in between.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}

/// The error for a wrong URL. It does not show the URL, which may hold a password.
pub(crate) fn invalid(reason: impl fmt::Display) -> Error {
    Error::setting("url", reason)
}

impl Location {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] with the rule that the URL breaks.
    pub(crate) fn parse(url: &str, default_port: u16) -> Result<Self> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| invalid("needs `://` after its scheme"))?;
        // An unencoded character in a password would turn a part of the password into a host, and
        // the rest into a path or a parameter, which errors may show.
        let tail = rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default();
        if tail.contains('@') {
            return Err(invalid(
                "has an `@` behind its first `/` or `?`; in a user, a password, a path or a \
                 parameter, write `/` as `%2F`, `?` as `%3F`, `@` as `%40` and `%` as `%25`",
            ));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (user, password) = match credentials {
            None => (None, None),
            Some(text) => {
                let (user, password) = match text.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (text, None),
                };
                let user = (!user.is_empty()).then_some(user);
                (user.map(secret).transpose()?, password.map(secret).transpose()?)
            }
        };
        let addresses =
            hosts.split(',').map(|host| address(host, default_port)).collect::<Result<_>>()?;
        let mut parameters = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if let Some(name) = parameters.insert(name.clone(), value).map(|_| name) {
                return Err(invalid(format!("names the parameter `{name}` twice")));
            }
        }
        Ok(Self {
            scheme: scheme.into(),
            user,
            password,
            addresses,
            path: decoded(path)?,
            parameters,
        })
    }

    /// Takes a parameter out, and parses it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if it does not parse.
    pub(crate) fn take<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>> {
        let Some(text) = self.parameters.remove(name) else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(invalid(format!("has a value for `{name}` that cannot be read"))),
        }
    }

    /// Takes a parameter out that may only ask for what the engine does anyway.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if it asks for something else.
    pub(crate) fn take_only(&mut self, name: &'static str, only: &str) -> Result<()> {
        match self.take::<String>(name)? {
            Some(value) if value != only => {
                Err(invalid(format!("needs `{name}` to be `{only}`, or left out")))
            }
            _ => Ok(()),
        }
    }

    /// Takes a parameter out that is a number of milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if it is not a number, or not within an hour.
    pub(crate) fn take_millis(&mut self, name: &'static str) -> Result<Option<Duration>> {
        match self.take::<u64>(name)? {
            None => Ok(None),
            Some(millis @ 10..=3_600_000) => Ok(Some(Duration::from_millis(millis))),
            Some(_) => Err(invalid(format!("needs `{name}` from 10 to 3600000"))),
        }
    }

    /// Refuses every parameter that was not taken, so that a misspelt setting is not ignored.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] that names the first such parameter.
    pub(crate) fn finish(&self, known: &str) -> Result<()> {
        match self.parameters.keys().next() {
            None => Ok(()),
            Some(name) => {
                let shown: String = name.chars().take(40).collect();
                Err(invalid(format!("has a parameter `{shown}`, and the known ones are {known}")))
            }
        }
    }
}

fn secret(text: &str) -> Result<Secret> {
    decoded(text).map(Secret)
}

fn address(text: &str, default_port: u16) -> Result<Address> {
    const PORT: &str = "needs a port from 1 to 65535 after the colon of a host";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) =
                rest.split_once(']').ok_or_else(|| invalid("needs `]` after an IPv6 address"))?;
            match rest.strip_prefix(':') {
                None if !rest.is_empty() => return Err(invalid("needs a colon after `]`")),
                port => (host, port),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(invalid("needs a host, as in `scheme://host:port`"));
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(invalid(PORT)),
            Ok(port) => port,
        },
    };
    let host = decoded(host)?;
    match host.contains('/') {
        true => Err(invalid(
            "has a path as a host, and sockets of Unix are not supported; name a host and a port",
        )),
        false => Ok(Address { host, port }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str) -> Result<Location> {
        Location::parse(url, 7)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let url = "redis://us%3Aer:p%40ss:w%2ford@one,two:5,[::1]:6/3?name=a%26b%40&timeout_ms=250";
        let mut found = location(url).unwrap();
        assert_eq!(found.scheme, "redis");
        assert_eq!(found.user.as_ref().unwrap().expose(), "us:er");
        assert_eq!(found.password.as_ref().unwrap().expose(), "p@ss:w/ord");
        let addresses: Vec<_> = found.addresses.iter().map(Address::to_string).collect();
        assert_eq!(addresses, ["one:7", "two:5", "[::1]:6"]);
        assert_eq!(found.path, "3");
        assert!(found.finish("x").is_err(), "nothing was taken yet");
        assert_eq!(found.take::<String>("name").unwrap().unwrap(), "a&b@");
        let timeout = found.take_millis("timeout_ms").unwrap();
        assert_eq!(timeout, Some(Duration::from_millis(250)));
        found.finish("x").unwrap();
    }

    #[test]
    fn what_is_left_out_is_absent() {
        let found = location("redis://localhost").unwrap();
        assert!(found.user.is_none() && found.password.is_none() && found.path.is_empty());
        assert!(location("redis://:secret@h").unwrap().user.is_none());
        assert!(location("redis://ann@h").unwrap().password.is_none());
    }

    #[test]
    fn a_malformed_url_is_refused_without_being_shown() {
        for url in [
            "redis:/hidden@h",
            "redis://u:hidden@",
            "redis://u:hidden@h:0",
            "redis://u:hidden@h:99999",
            "redis://u:hidden@[::1/0",
            "redis://u:hidden@[::1]6379",
            "redis://u:hidden%g0@h",
            "redis://u:hidden%ff@h",
            "redis://u:hidden@h?a=1&a=2",
            "redis://u:12/hidden@h",
            "redis://u:12?hidden@h",
            "redis://u:12?a=hidden@h/0",
            "redis://u/hidden:x@h",
            "redis://u:1/x@h/hidden",
        ] {
            let error = location(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(matches!(error, Error::InvalidSetting { name: "url", .. }), "{shown}");
            assert!(!shown.contains("hidden"), "{shown}");
        }
    }

    #[test]
    fn a_socket_of_unix_is_refused_by_its_name() {
        for url in ["redis://%2Frun%2Fredis.sock", "redis://u:hidden@one,%2frun/3"] {
            let error = location(url).unwrap_err().to_string();
            assert!(error.contains("Unix") && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn credentials_do_not_show() {
        let found = location("redis://visible:hidden@h/0").unwrap();
        let shown = format!("{found:?} {:?} {:?}", found.user, found.password);
        assert!(!shown.contains("hidden") && !shown.contains("visible"), "{shown}");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let is_loopback = |host: &str| Address { host: host.into(), port: 1 }.is_loopback();
        assert!(is_loopback("localhost") && is_loopback("127.8.0.1") && is_loopback("::1"));
        assert!(!is_loopback("localhost.example.com") && !is_loopback("10.0.0.1"));
    }
}
