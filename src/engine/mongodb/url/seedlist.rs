//! The seeds behind `mongodb+srv://HOST`, by MongoDB's specification "Initial DNS Seedlist
//! Discovery".
//!
//! Invariant: every seed is below the parent domain of HOST, so that an answer for HOST leads to no
//! host outside it. Nothing that is looked up turns TLS off. This file sends nothing itself.

use std::net::Ipv4Addr;

use crate::engine::network::deadline::Deadline;
use crate::engine::network::dns::{Dns, Kind, Record};
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::transport::location::{Address, Location, invalid};
use crate::error::{Error, Result, Source};
use crate::percent::decoded;

/// The port of a host that has none in the URL. No URL can name it.
pub(super) const NO_PORT: u16 = 0;

/// The longest full name in the DNS.
const LONGEST_NAME: usize = 253;

/// HOST of a URL, and the name of the service to look up there.
#[derive(Debug)]
pub(super) struct Srv {
    /// In small letters, without a dot at its end.
    host: String,
    service: String,
}

/// The options of a TXT record, which count where the URL has none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) known_in: Option<String>,
    pub(super) set: Option<String>,
    pub(super) is_balanced: Option<bool>,
}

impl Srv {
    /// Takes the host and the parameter `srvServiceName` out of a URL that was parsed with the
    /// default port [`NO_PORT`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] unless there is one host, without a port.
    pub(super) fn take(location: &mut Location) -> Result<Self> {
        let [Address { host, port }] = location.addresses.as_slice() else {
            return Err(invalid("needs one host after `mongodb+srv://`, under which DNS has all"));
        };
        if *port != NO_PORT {
            return Err(invalid("has a port after `mongodb+srv://HOST`; leave it out, DNS has it"));
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let service = location.take("srvServiceName")?.unwrap_or_else(|| "mongodb".to_owned());
        if !is_label(&service, 62) || service.contains('_') {
            return Err(invalid("needs a `srvServiceName` of 1 to 62 letters, digits and `-`"));
        }
        let srv = Self { host, service };
        let is_name = srv.host.split('.').all(|label| is_label(label, 63));
        if !is_name || srv.name().len() > LONGEST_NAME || srv.host.parse::<Ipv4Addr>().is_ok() {
            return Err(invalid(
                "needs the name of a host after `mongodb+srv://`, in letters, digits, `-` and `_` \
                 between its dots; for an address use `mongodb://`",
            ));
        }
        Ok(srv)
    }

    /// The name that has the SRV records.
    fn name(&self) -> String {
        format!("_{}._tcp.{}", self.service, self.host)
    }

    /// Looks up the seeds and the default options.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if there are no seeds, or a record is not allowed.
    /// [`Error::Unavailable`] if no name server answers.
    pub(super) fn look_up(
        &self,
        dns: &dyn Dns,
        deadline: Deadline,
    ) -> Result<(Vec<Address>, Defaults)> {
        let ask = |kind, name: &str| {
            dns.look_up(kind, name, deadline).map_err(|failure| self.unanswered(failure))
        };
        let seeds = self.seeds(ask(Kind::Srv, &self.name())?)?;
        let texts: Vec<_> = ask(Kind::Txt, &self.host)?
            .into_iter()
            .flatten()
            .filter_map(|record| match record {
                Record::Txt(text) => Some(text),
                Record::Srv(_) => None,
            })
            .collect();
        let defaults = match texts.as_slice() {
            [] => Defaults::default(),
            [text] => Defaults::read(text)
                .map_err(|reason| self.refused(format!("whose TXT record {reason}")))?,
            _ => return Err(self.refused("which has more than one TXT record".into())),
        };
        Ok((seeds, defaults))
    }

    /// The hosts and ports of the SRV records, in their order, each once.
    fn seeds(&self, records: Option<Vec<Record>>) -> Result<Vec<Address>> {
        let Some(records) = records else {
            return Err(self.refused(format!("and DNS has no name `{}`", self.name())));
        };
        let mut seeds = Vec::new();
        for record in records {
            let Record::Srv(seed) = record else { continue };
            if seed.host.is_empty() || seed.port == NO_PORT {
                return Err(self.refused("one of whose SRV records has no host, or no port".into()));
            }
            if !self.is_above(&seed.host) {
                return Err(self.refused(format!(
                    "whose SRV records name `{}`, which does not end in `.{}`",
                    seed.host,
                    self.domain()
                )));
            }
            if !seeds.contains(&seed) {
                seeds.push(seed);
            }
        }
        match seeds.is_empty() {
            true => Err(self.refused(format!("and DNS has no SRV record for `{}`", self.name()))),
            false => Ok(seeds),
        }
    }

    /// The domain that all seeds share: HOST without its first label if it has three labels or
    /// more, otherwise HOST itself.
    fn domain(&self) -> &str {
        match self.host.split_once('.') {
            Some((_, parent)) if parent.contains('.') => parent,
            _ => &self.host,
        }
    }

    /// Whether a seed is below the domain, by one label at least. So a HOST of one or two labels is
    /// no seed of its own.
    fn is_above(&self, seed: &str) -> bool {
        seed.strip_suffix(self.domain())
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|rest| !rest.is_empty())
    }

    fn refused(&self, reason: String) -> Error {
        invalid(format!(
            "names the host `{}`, {reason}; correct the host or its records in DNS, or use \
             `mongodb://` with the names of the servers",
            self.host
        ))
    }

    fn unanswered(&self, failure: Failure) -> Error {
        let reason: Source = match failure {
            Failure::Answered(error) => return error,
            Failure::NotDone(reason)
            | Failure::Lost(reason)
            | Failure::NotNow(reason)
            | Failure::RolledBack(reason) => reason,
        };
        Error::Unavailable {
            server: format!("MongoDB at {}", self.host),
            source: source(format!(
                "its hosts could not be looked up in DNS ({reason}); correct the name servers of \
                 this machine, or name the hosts, as in \
                 `mongodb://USER:PASSWORD@HOST1:27017,HOST2:27017/DATABASE?replicaSet=NAME&tls=on&\
                 authSource=admin`: `nslookup -type=SRV {}` shows them, and `-type=TXT {}` the \
                 parameters",
                self.name(),
                self.host
            )),
        }
    }
}

impl Defaults {
    /// Parses the text of a TXT record, `name=value&...`.
    ///
    /// # Errors
    ///
    /// The rule that it breaks, in words.
    fn read(text: &[u8]) -> std::result::Result<Self, String> {
        let text = str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned())?;
        let (mut known_in, mut set, mut balanced) = (None, None, None);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let shown: String = name.escape_default().take(40).collect();
            // MongoDB's options have the same names in capitals.
            let place = match name.to_ascii_lowercase().as_str() {
                "authsource" => &mut known_in,
                "replicaset" => &mut set,
                "loadbalanced" => &mut balanced,
                _ => {
                    return Err(format!(
                        "has an option `{shown}`, and may have `authSource`, `replicaSet` and \
                         `loadBalanced`"
                    ));
                }
            };
            let value = decoded(value).ok().filter(|value| !value.is_empty());
            if place.replace(value.ok_or(format!("has no value for `{shown}`"))?).is_some() {
                return Err(format!("has `{shown}` twice"));
            }
        }
        let is_balanced = match balanced.as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err("has a `loadBalanced` that is not `true` or `false`".into()),
        };
        Ok(Self { known_in, set, is_balanced })
    }
}

/// Whether a text is one part of a name in the DNS.
fn is_label(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
