//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: server [--behind-tls] [PORT] [FILE]

  PORT          the port on 127.0.0.1; 0 takes a free one; default: 8080
  FILE          where the sessions are kept; default: sessions.redb
  --behind-tls  a proxy in front terminates TLS: the cookie is `__Host-sessile` and `Secure`";

pub(crate) enum Command {
    Serve(Options),
    Help,
}

pub(crate) struct Options {
    pub(crate) behind_tls: bool,
    pub(crate) port: u16,
    pub(crate) file: PathBuf,
}

impl Command {
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut behind_tls = false;
        let mut values = Vec::new();
        for argument in arguments {
            match argument.to_str() {
                Some("--behind-tls") => behind_tls = true,
                Some("--help" | "-h") => return Ok(Self::Help),
                Some(flag) if flag.starts_with('-') => return Err(format!("no option `{flag}`")),
                _ => values.push(argument),
            }
        }
        let mut values = values.into_iter();
        let port = match values.next() {
            Some(text) => text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
                format!("`{}` is not a port: a number from 0 to 65535", text.display())
            })?,
            None => 8080,
        };
        let file = values.next().map_or_else(|| "sessions.redb".into(), PathBuf::from);
        match values.next() {
            Some(extra) => Err(format!("one argument too many: `{}`", extra.display())),
            None => Ok(Self::Serve(Options { behind_tls, port, file })),
        }
    }
}
