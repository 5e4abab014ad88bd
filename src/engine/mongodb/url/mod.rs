//! From a URL to the settings of a store on MongoDB.
//!
//! Invariant: a URL that is wrong itself is refused before anything is asked, DNS included.

mod seedlist;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::mongodb::Mongodb;
use crate::engine::mongodb::commands::UNSEEN;
use crate::engine::mongodb::login::{Hosts, Login};
use crate::engine::mongodb::url::seedlist::{Defaults, NO_PORT, Srv};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::dns::Dns;
use crate::engine::network::options::{KNOWN, Limits, Options, Secured, server_in_words};
use crate::engine::network::stored::last_count::LastCount;
use crate::engine::network::transport::location::{Location, invalid};
use crate::error::Result;

const DEFAULT_PORT: u16 = 27_017;

/// The database, if the URL names none.
const DEFAULT_DATABASE: &str = "sessile";

/// The time limit for clearing a store, as a multiple of a call's: it waits for transactions.
const CLEARING: u32 = 12;

/// The least time limit for aborting an abandoned transaction.
const LEAST_ABANDONING: Duration = Duration::from_millis(100);

/// The parameters that other servers do not have.
struct Parameters {
    /// The name of the replica set.
    set: Option<String>,
    /// The database that knows the user.
    known_in: Option<String>,
    is_balanced: Option<bool>,
    is_direct: bool,
}

impl Parameters {
    /// Takes the parameters out of a URL, of which nothing may be left then.
    fn take(location: &mut Location, is_srv: bool) -> Result<Self> {
        for (name, only) in [
            ("w", "majority"),
            ("retryWrites", "true"),
            ("readPreference", "primary"),
            ("authMechanism", "SCRAM-SHA-256"),
        ] {
            location.take_only(name, only)?;
        }
        location.take::<String>("appName")?;
        let taken = Self {
            set: location.take("replicaSet")?,
            known_in: location.take("authSource")?,
            is_balanced: location.take("loadBalanced")?,
            is_direct: location.take("directConnection")?.unwrap_or(false),
        };
        let further = if is_srv { ", `srvServiceName`" } else { "" };
        location.finish(&format!(
            "{KNOWN}, `tls`, `replicaSet`, `authSource`, `directConnection`{further}"
        ))?;
        if is_srv && taken.is_direct {
            return Err(invalid(
                "has `directConnection=true`, which goes with `mongodb://` and the host itself",
            ));
        }
        Ok(taken)
    }
}

impl Mongodb {
    /// Parses a URL, and looks up its hosts if they are in DNS.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) with the rule that the URL breaks,
    /// or a record in DNS. [`Error::Unavailable`](crate::Error::Unavailable) if no name server
    /// answers.
    pub(super) fn parse(url: &str, dns: &dyn Dns) -> Result<(Self, Limits)> {
        let is_srv = url.starts_with("mongodb+srv:");
        let mut location = Location::parse(url, if is_srv { NO_PORT } else { DEFAULT_PORT })?;
        let (srv, secured) = match location.scheme.as_str() {
            "mongodb" => (None, Secured::Default),
            "mongodb+srv" => (Some(Srv::take(&mut location)?), Secured::UnlessOff),
            _ => return Err(invalid("needs the scheme `mongodb` or `mongodb+srv`")),
        };
        let options = Options::take(&mut location, secured)?;
        let parameters = Parameters::take(&mut location, is_srv)?;
        let forbidden = |letter: char| letter.is_control() || "/\\. \"$*<>:|?".contains(letter);
        if location.path.contains(forbidden) || location.path.len() > 63 {
            return Err(invalid("names a database that no server can have"));
        }
        if location.user.is_some() && location.password.is_none() {
            return Err(invalid("names a user without a password"));
        }
        let mut defaults = Defaults::default();
        if let Some(srv) = srv {
            let deadline = Deadline::after(options.limits.timeout);
            (location.addresses, defaults) = srv.look_up(dns, deadline)?;
        }
        if parameters.is_balanced.or(defaults.is_balanced) == Some(true) {
            return Err(invalid(
                "leads to a load balancer, by `loadBalanced=true`, which is not supported; name \
                 the cluster's routers themselves, as in `mongodb://HOST1,HOST2/DATABASE`",
            ));
        }
        let is_named = !location.path.is_empty();
        let source = parameters.known_in.or(defaults.known_in).unwrap_or_else(|| match is_named {
            true => location.path.clone(),
            false => "admin".into(),
        });
        let hosts = Hosts {
            server: server_in_words("MongoDB", &location),
            login: Login {
                user: location.user,
                password: location.password,
                source,
                #[cfg(feature = "tls")]
                tls: options.tls,
            },
            seeds: location.addresses,
            set: parameters.set.or(defaults.set),
            is_direct: parameters.is_direct,
            learned: Mutex::default(),
        };
        let name = &options.name;
        let collection = |kind: &str| format!("{name}_{kind}");
        let mongodb = Self {
            hosts,
            database: if is_named { location.path } else { DEFAULT_DATABASE.into() },
            sessions: collection("sessions"),
            users: collection("users"),
            meta: collection("meta"),
            last_count: LastCount::default(),
            left: Mutex::default(),
            long: AtomicUsize::new(UNSEEN),
            patience: i32::try_from(options.limits.lock().as_millis()).unwrap_or(i32::MAX),
            clearing: options.limits.timeout * CLEARING,
            abandoning: (options.limits.timeout / 10).max(LEAST_ABANDONING),
        };
        Ok((mongodb, options.limits))
    }
}
