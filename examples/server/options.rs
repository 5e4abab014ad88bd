//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: server [--behind-tls] [--store URL] [--metrics PORT] [PORT] [FILE]

  PORT          the port on 127.0.0.1; 0 takes a free one; default: 8080
  FILE          the file of the sessions; default: sessions.redb
  --store URL   keeps the sessions on a server instead: redis://HOST, postgres:// or
                mysql://USER@HOST/DATABASE, mongodb://HOST/DATABASE;
                build the example with that server's feature
  --metrics PORT
                a second port on 127.0.0.1, with `/metrics` for Prometheus; 0 takes a free one;
                build the example with the feature `metrics`
  --behind-tls  a proxy in front terminates TLS: the cookie is `__Host-sessile` and `Secure`";

pub(crate) enum Command {
    Serve(Options),
    Help,
}

pub(crate) struct Options {
    pub(crate) behind_tls: bool,
    pub(crate) port: u16,
    pub(crate) file: PathBuf,
    pub(crate) store: Option<String>,
    /// The port of `/metrics`.
    pub(crate) metrics: Option<u16>,
}

impl Command {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut behind_tls = false;
        let (mut store, mut metrics) = (None, None);
        let mut values = Vec::new();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--behind-tls") => behind_tls = true,
                Some("--store") => {
                    let url = arguments.next().and_then(|url| url.into_string().ok());
                    store = Some(url.ok_or("`--store` needs a URL")?);
                }
                Some("--metrics") if cfg!(feature = "metrics") => {
                    metrics = Some(port(arguments.next().ok_or("`--metrics` needs a port")?)?);
                }
                Some("--metrics") => {
                    return Err("`--metrics` needs the feature: --features metrics".into());
                }
                Some("--help" | "-h") => return Ok(Self::Help),
                Some(flag) if flag.starts_with('-') => return Err(format!("no option `{flag}`")),
                _ => values.push(argument),
            }
        }
        let mut values = values.into_iter();
        let port = match values.next() {
            Some(text) => port(text)?,
            None => 8080,
        };
        let file = values.next().map_or_else(|| "sessions.redb".into(), PathBuf::from);
        match values.next() {
            Some(extra) => Err(format!("one argument too many: `{}`", extra.display())),
            None => Ok(Self::Serve(Options { behind_tls, port, file, store, metrics })),
        }
    }
}

fn port(text: OsString) -> Result<u16, String> {
    let port = text.to_str().and_then(|text| text.parse().ok());
    port.ok_or_else(|| format!("`{}` is not a port: a number from 0 to 65535", text.display()))
}
