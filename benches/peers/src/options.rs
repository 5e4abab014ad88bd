//! The command line.

use std::path::PathBuf;

use crate::contender::Kind;
use crate::lines::Mode;
use crate::session::Outcome;

const USAGE: &str = "usage: [--quick | --full] [--only LETTERS] [--stand-in SIDE]
  --quick          under a minute, with lines h, i and k to n at smaller sizes
  --full           adds the sizes from 10,000 to 10,000,000
  --only LETTERS   only these lines, for example --only ae
  --only servers   the engines on servers instead; `bash tests/servers/run --bench` starts the servers
  --stand-in SIDE  a peer in the crate's place: lmdb, sqlite, fjall, redb or tower";

/// The options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    pub mode: Mode,
    /// Our side: the crate, or a peer that stands in for it.
    pub ours: Kind,
    only: Option<String>,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self { mode: Mode::Usual, ours: Kind::Ours, only: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.mode = Mode::Quick,
                "--full" => options.mode = Mode::Full,
                "--only" => options.only = Some(arguments.next().ok_or(USAGE)?.clone()),
                "--stand-in" => options.ours = Kind::from_word(arguments.next().ok_or(USAGE)?)?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }

    /// Whether to time the engines on servers, instead of the race.
    pub fn wants_servers(&self) -> bool {
        self.only.as_deref() == Some("servers")
    }

    /// Whether to run a contest with this letter, or without one.
    pub fn wants(&self, line: Option<char>) -> bool {
        match (&self.only, line) {
            (None, _) => true,
            (Some(only), Some(letter)) => only.contains(letter),
            (Some(_), None) => false,
        }
    }

    /// The paths of the JSON and of the charts. Only a whole run of the crate at full size replaces
    /// the published charts.
    pub fn places(&self) -> (PathBuf, PathBuf) {
        let directory = match self.ours {
            Kind::Ours if self.only.is_none() && self.mode != Mode::Quick => "docs",
            _ => "target/peers-charts",
        };
        let json = match self.ours {
            Kind::Ours => "target/peers.json",
            _ => "target/peers-stand-in.json",
        };
        (json.into(), directory.into())
    }
}
