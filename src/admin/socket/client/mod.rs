//! The other side of the door: a running program's store, as an engine for an inspector.
//!
//! Invariant: it changes nothing but what the protocol has a request for. Each call has a
//! connection of its own for as long as it runs, so that a visit may call again.

mod engine;

use std::fmt;
use std::io;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::admin::archive::format::UserText;
use crate::admin::socket::AdminSocket;
use crate::admin::socket::protocol::{Answer, Reply, Request, VERSION};
use crate::engine::outcome::{Ended, Visit};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;

/// A line holds a record at most: 16 MiB of content in base64, and its user.
const MAX_LINE: u64 = 24 * 1024 * 1024;
const HELLO: Duration = Duration::from_secs(10);

/// A store that another process has open, through the door that its program has opened with
/// [`SessionStore::serve_admin`](crate::SessionStore::serve_admin): an engine for
/// [`Inspector::on`](crate::Inspector::on).
///
/// What the protocol has no call for is an error: sessions cannot be created or changed through it,
/// and the program's own clock and timeouts decide what is live.
///
/// # Examples
///
/// See [`SessionStore::serve_admin`](crate::SessionStore::serve_admin).
pub struct RunningStore {
    path: PathBuf,
    idle: Mutex<Option<Wire>>,
}

struct Wire {
    stream: BufReader<UnixStream>,
    pid: u32,
}

impl RunningStore {
    /// The store of a program that has this file open, and a socket beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if nobody answers, or the answer is of another version.
    pub fn beside(file: impl AsRef<Path>) -> Result<Self> {
        Self::at(AdminSocket::path_beside(file.as_ref()))
    }

    /// The store behind a socket.
    ///
    /// # Errors
    ///
    /// As for [`beside`](Self::beside).
    pub fn at(socket: impl Into<PathBuf>) -> Result<Self> {
        let running = Self { path: socket.into(), idle: Mutex::default() };
        let wire = running.connect()?;
        *running.idle.lock() = Some(wire);
        Ok(running)
    }

    /// The process at the other end, as it says itself.
    ///
    /// # Errors
    ///
    /// When nobody answers any more.
    pub fn pid(&self) -> Result<u32> {
        let wire = self.wire()?;
        let pid = wire.pid;
        *self.idle.lock() = Some(wire);
        Ok(pid)
    }

    /// What [`SessionStore::stats`](crate::SessionStore::stats) says there, as a JSON object.
    ///
    /// # Errors
    ///
    /// When nobody answers any more, or the store fails.
    pub fn stats_json(&self) -> Result<String> {
        let answer = self.ask(&Request::Stats {}, &mut |_| Ok(ControlFlow::Continue(())))?;
        Ok(answer.stats.unwrap_or_default().to_string())
    }

    /// Calls `event` with each event from now on, as a JSON object: its fields stand in
    /// docs/admin-protocol.md. About once a second it is called without one, so that it may end
    /// this.
    ///
    /// # Errors
    ///
    /// When the connection is lost, as when the program ends.
    pub fn watch(&self, event: &mut dyn FnMut(Option<&str>) -> ControlFlow<()>) -> Result<()> {
        self.ask(&Request::Watch {}, &mut |reply| {
            let text = match &reply {
                Reply::Event(told) => serde_json::to_string(told).ok(),
                Reply::Missed { events } => {
                    Some(format!(r#"{{"event":"missed","events":{events}}}"#))
                }
                _ => None,
            };
            Ok(event(text.as_deref()))
        })?;
        Ok(())
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("talk to the program behind", &self.path, error)
    }

    fn connect(&self) -> Result<Wire> {
        let stream = UnixStream::connect(&self.path).map_err(|error| self.failed(error))?;
        stream.set_read_timeout(Some(HELLO)).map_err(|error| self.failed(error))?;
        let mut wire = Wire { stream: BufReader::new(stream), pid: 0 };
        match wire.reply().map_err(|error| self.failed(error))? {
            Reply::Hello { sessile_admin: VERSION, pid } => wire.pid = pid,
            Reply::Hello { sessile_admin, .. } => {
                let text =
                    format!("it speaks version {sessile_admin}, and this is version {VERSION}");
                return Err(self.failed(io::Error::other(text)));
            }
            reply => return Err(self.unexpected(reply)),
        }
        wire.stream.get_ref().set_read_timeout(None).map_err(|error| self.failed(error))?;
        Ok(wire)
    }

    fn wire(&self) -> Result<Wire> {
        let idle = self.idle.lock().take();
        idle.map_or_else(|| self.connect(), Ok)
    }

    /// Asks, and hands out each line of the answer but the last; `Break` gives the connection up.
    fn ask(
        &self,
        request: &Request,
        line: &mut dyn FnMut(Reply) -> Result<ControlFlow<()>>,
    ) -> Result<Answer> {
        let mut wire = self.wire()?;
        if wire.send(request).is_err() {
            // It was idle for too long.
            wire = self.connect()?;
            wire.send(request).map_err(|error| self.failed(error))?;
        }
        loop {
            match wire.reply().map_err(|error| self.failed(error))? {
                Reply::Done(answer) => {
                    *self.idle.lock() = Some(wire);
                    return Ok(answer);
                }
                reply @ Reply::Error { .. } => return Err(self.unexpected(reply)),
                reply => {
                    if line(reply)?.is_break() {
                        return Ok(Answer::default());
                    }
                }
            }
        }
    }

    fn unexpected(&self, reply: Reply) -> Error {
        let text = match reply {
            Reply::Error { what, because } => [vec![what], because].concat().join("; because "),
            _ => "it answers what was not asked".into(),
        };
        self.failed(io::Error::other(text))
    }

    /// An answer that has no lines before the last.
    fn alone(&self, request: &Request) -> Result<Answer> {
        self.ask(request, &mut |reply| Err(self.unexpected(reply)))
    }

    /// The records of an answer, and the damaged ones.
    fn records(&self, request: &Request, visit: &mut Visit<'_>) -> Result<()> {
        let records = &mut |reply| {
            let (key, record) = self.record(reply)?;
            visit(key, record)
        };
        self.ask(request, records).map(drop)
    }

    fn record(&self, reply: Reply) -> Result<(SessionKey, Result<Record>)> {
        match reply {
            Reply::Record { key, bytes } => {
                let key: SessionKey = key.parse()?;
                let bytes = STANDARD.decode(bytes);
                let bytes = bytes.map_err(|error| self.failed(io::Error::other(error)))?;
                Ok((key, Record::decode(&key, &bytes)))
            }
            Reply::Damaged { key } => {
                let key = key.parse()?;
                let reason = "so says the program that has it open";
                Ok((key, Err(Error::DamagedRecord { key, reason })))
            }
            reply => Err(self.unexpected(reply)),
        }
    }

    fn user(&self, user: &UserKey) -> Result<UserText> {
        let user = user.to_id().ok_or_else(|| self.failed(io::Error::other("it is no user")))?;
        Ok(UserText::of(&user))
    }

    fn ended(answer: &Answer) -> Vec<Ended> {
        answer.ended.iter().flatten().filter_map(|ended| ended.to_ended()).collect()
    }

    fn only_by_the_program<T>(&self, what: &str) -> Result<T> {
        let text = format!("{what} while the program runs; end it, and use the file");
        Err(self.failed(io::Error::new(io::ErrorKind::Unsupported, text)))
    }
}

impl Wire {
    fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        let read = io::Read::take(&mut self.stream, MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it has closed the connection",
            ));
        }
        Ok(serde_json::from_slice(&line)?)
    }
}

impl fmt::Debug for RunningStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunningStore").field("path", &self.path).finish_non_exhaustive()
    }
}
