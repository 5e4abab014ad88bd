//! The client: a running program's store, as an engine for an inspector.
//!
//! Invariant: only requests of the protocol change the store. Each running call has its own
//! connection, so that a visitor can make another call.

mod engine;
mod wire;

use std::fmt;
use std::io;
use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::admin::archive::format::UserText;
use crate::admin::socket::AdminSocket;
use crate::admin::socket::client::wire::{CLOSED_SINCE, POLL, Wire, is_gone, is_late};
use crate::admin::socket::protocol::{Answer, Reply, VERSION, record_text};
use crate::admin::socket::request::Request;
use crate::engine::outcome::{Ended, Visit};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;

const HELLO: Duration = Duration::from_secs(10);
/// The action that failed if the program answers with an error.
const REFUSED: &str = "do this through the program behind";

/// Called about once a second while the program does not answer, with the time since its last line.
type OnSilence = dyn Fn(Duration) -> ControlFlow<()> + Send + Sync;

/// A store that another process has open, reached through that program's admin socket
/// ([`SessionStore::serve_admin`](crate::SessionStore::serve_admin)): an engine for
/// [`Inspector::on`](crate::Inspector::on).
///
/// A call that the protocol lacks is an error: sessions come in as records, by
/// [`transfer`](crate::admin::transfer) and [`import`](crate::Inspector::import), and cannot be
/// regenerated or renamed. The program's own clock and timeouts decide which sessions are live.
///
/// If the connection is lost before a change is answered, its call returns
/// [`Error::OutcomeUnknown`].
///
/// # Security
///
/// The client trusts any process that may create a socket at the path, or a file on Windows: the
/// folder's permissions decide. Beside a file the program must be of the file's owner, and no
/// symbolic link is followed: the owner of one store cannot lead a client to another's. On Windows
/// the client uses the pipe's name only while a process that may write the file holds it open. The
/// program learns the client's user, and cannot act in that user's name.
///
/// # Examples
///
/// See [`SessionStore::serve_admin`](crate::SessionStore::serve_admin).
pub struct RunningStore {
    path: PathBuf,
    /// The store's file, if the socket was found beside it.
    beside: Option<PathBuf>,
    idle: Mutex<Option<Wire>>,
    silent: Box<OnSilence>,
}

impl RunningStore {
    /// The store of a program that has this file open and a socket beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no program answers, or one of another protocol version. On Unix also if the
    /// socket is a symbolic link, or if the program is not of the user who owns the file: then
    /// [`at`](Self::at) uses the socket all the same.
    pub fn beside(file: impl AsRef<Path>) -> Result<Self> {
        Self::beside_with(file, |_| ControlFlow::Continue(()))
    }

    /// As [`beside`](Self::beside), but calls `silent` as [`at_with`](Self::at_with) does.
    ///
    /// # Errors
    ///
    /// As for [`beside`](Self::beside), and [`Error::CalledOff`].
    pub fn beside_with(
        file: impl AsRef<Path>,
        silent: impl Fn(Duration) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let file = file.as_ref();
        Self::connected(AdminSocket::path_beside(file), Some(file.into()), Box::new(silent))
    }

    /// The store behind a socket.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no program answers, or one of another protocol version, or if the path is
    /// a symbolic link.
    pub fn at(socket: impl Into<PathBuf>) -> Result<Self> {
        Self::at_with(socket, |_| ControlFlow::Continue(()))
    }

    /// As [`at`](Self::at), but calls `silent` about once a second while the program does not
    /// answer, with the time since its last line. `Break` ends the call that waits, with
    /// [`Error::CalledOff`]. A program that is stopped, or whose disk hangs, never answers.
    ///
    /// # Errors
    ///
    /// As for [`at`](Self::at), and [`Error::CalledOff`].
    pub fn at_with(
        socket: impl Into<PathBuf>,
        silent: impl Fn(Duration) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::connected(socket.into(), None, Box::new(silent))
    }

    fn connected(path: PathBuf, beside: Option<PathBuf>, silent: Box<OnSilence>) -> Result<Self> {
        let running = Self { path, beside, idle: Mutex::default(), silent };
        let wire = running.connect()?;
        *running.idle.lock() = Some(wire);
        Ok(running)
    }

    /// The process id of the program, as it reports it.
    ///
    /// # Errors
    ///
    /// If the program does not answer any more.
    pub fn pid(&self) -> Result<u32> {
        self.greeted(|wire| wire.pid)
    }

    /// The result of [`SessionStore::stats`](crate::SessionStore::stats) in the program, as a JSON
    /// object.
    ///
    /// # Errors
    ///
    /// If the program does not answer any more, or its store fails.
    pub fn stats_json(&self) -> Result<String> {
        let answer = self.ask(&Request::Stats {}, &mut |_| Ok(ControlFlow::Continue(())))?;
        Ok(answer.stats.unwrap_or_default().to_string())
    }

    /// Calls `event` with each event from now on, as a JSON object with the fields in
    /// docs/internals/admin-protocol.md. If this client reads too slowly, an event `missed` has the
    /// number of lost ones in `events`. About once a second it calls `event` without one, so that
    /// `event` can end the watch.
    ///
    /// # Errors
    ///
    /// If the connection is lost, for example because the program ends.
    pub fn watch(&self, event: &mut dyn FnMut(Option<&str>) -> ControlFlow<()>) -> Result<()> {
        self.ask(&Request::Watch {}, &mut |reply| {
            let text = match &reply {
                Reply::Event(told) => serde_json::to_string(told).ok(),
                Reply::Missed { events } => Some(missed(*events)),
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
        let wire = Wire::connect(&self.path, self.beside.as_deref());
        let mut wire = wire.map_err(|error| self.failed(error))?;
        match self.reply(&mut wire, Some(HELLO))? {
            Reply::Hello { sessile_admin: VERSION, pid, max_content_len, timeouts } => {
                (wire.pid, wire.max_content_len) = (pid, max_content_len);
                wire.timeouts = timeouts;
            }
            Reply::Hello { sessile_admin, .. } => {
                let text =
                    format!("it speaks version {sessile_admin}, and this is version {VERSION}");
                return Err(self.failed(io::Error::other(text)));
            }
            reply => return Err(self.unexpected(reply)),
        }
        Ok(wire)
    }

    /// Waits for the next line, for `most` if that is given.
    fn reply(&self, wire: &mut Wire, most: Option<Duration>) -> Result<Reply> {
        let (mut line, mut waited) = (Vec::new(), Duration::ZERO);
        loop {
            match wire.read_line(&mut line) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_late(&error) => {
                    self.wait_on(&mut waited)?;
                    if most.is_some_and(|most| waited >= most) {
                        let text = format!("it has not answered for {} s", waited.as_secs());
                        return Err(self.failed(io::Error::new(ErrorKind::TimedOut, text)));
                    }
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        serde_json::from_slice(&line).map_err(|error| self.failed(error.into()))
    }

    /// Something that the program said in its greeting.
    fn greeted<T>(&self, field: impl FnOnce(&Wire) -> T) -> Result<T> {
        let wire = self.wire()?;
        let said = field(&wire);
        *self.idle.lock() = Some(wire);
        Ok(said)
    }

    /// A record as a request has it; an error if the program does not store such long content.
    fn record_to_send(&self, key: &SessionKey, record: &Record) -> Result<String> {
        let len = record.content().len();
        match self.greeted(|wire| wire.max_content_len)? {
            Some(max) if len > max => Err(Error::TooLarge { len, max }),
            Some(_) => Ok(record_text(key, record)),
            None => self.only_by_the_program("its sessile is too old: no session is stored"),
        }
    }

    /// Another interval has passed without a byte from or to the program.
    fn wait_on(&self, waited: &mut Duration) -> Result<()> {
        *waited += POLL;
        match (self.silent)(*waited) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::CalledOff { action: "call of the program" }),
        }
    }

    /// Sends a request; `false` if the program has closed the connection before its end.
    fn send(&self, wire: &mut Wire, request: &Request) -> Result<bool> {
        let mut line = serde_json::to_vec(request).map_err(|error| self.failed(error.into()))?;
        line.push(b'\n');
        let (mut rest, mut waited) = (&*line, Duration::ZERO);
        while !rest.is_empty() {
            match wire.stream.get_mut().write(rest) {
                Ok(0) => return Ok(false),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    waited = Duration::ZERO;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_late(&error) => self.wait_on(&mut waited)?,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn wire(&self) -> Result<Wire> {
        let idle = self.idle.lock().take();
        idle.map_or_else(|| self.connect_again(), Ok)
    }

    /// A door that was open before is closed by now, and not missing.
    fn connect_again(&self) -> Result<Wire> {
        self.connect().map_err(|error| match is_gone(&error) {
            true => self.failed(io::Error::new(ErrorKind::ConnectionReset, CLOSED_SINCE)),
            false => error,
        })
    }

    /// Sends a request, and passes each line of the answer except the last to `line`. `Break`
    /// closes the connection.
    fn ask(
        &self,
        request: &Request,
        line: &mut dyn FnMut(Reply) -> Result<ControlFlow<()>>,
    ) -> Result<Answer> {
        let mut wire = self.wire()?;
        if !self.send(&mut wire, request)? {
            // The program closed the connection because it was idle for too long.
            wire = self.connect_again()?;
            if !self.send(&mut wire, request)? {
                return Err(self.failed(ErrorKind::BrokenPipe.into()));
            }
        }
        loop {
            match self.reply(&mut wire, None).map_err(|error| request.unanswered(error))? {
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
        match reply {
            Reply::Error { what, because } => {
                let text = [vec![what], because].concat().join("; because ");
                Error::io(REFUSED, &self.path, io::Error::other(text))
            }
            _ => self.failed(io::Error::other("it answers what was not asked")),
        }
    }

    /// Sends a request whose answer is a single line.
    fn alone(&self, request: &Request) -> Result<Answer> {
        self.ask(request, &mut |reply| Err(self.unexpected(reply)))
    }

    /// Visits the records of an answer, including the damaged ones.
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

    /// The record of an answer that has one at most.
    fn one_record(&self, request: &Request) -> Result<Option<Record>> {
        let mut found = None;
        self.records(request, &mut |_, record| {
            found = Some(record?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn user(&self, user: &UserKey) -> Result<UserText> {
        let user = user.to_id().ok_or_else(|| self.failed(io::Error::other("it is no user")))?;
        Ok(UserText::of(&user))
    }

    /// Sends a request that ends sessions, and collects these.
    fn ended_by(&self, request: &Request) -> Result<(Vec<Ended>, Answer)> {
        let mut all = Vec::new();
        let answer = self.ask(request, &mut |reply| match &reply {
            Reply::Ended(text) => match text.to_ended() {
                Some(ended) => {
                    all.push(ended);
                    Ok(ControlFlow::Continue(()))
                }
                None => Err(self.unexpected(reply)),
            },
            _ => Err(self.unexpected(reply)),
        })?;
        Ok((all, answer))
    }

    fn only_by_the_program<T>(&self, what: &str) -> Result<T> {
        let text = format!("{what} while the program runs; end it, and use the file");
        Err(self.failed(io::Error::new(io::ErrorKind::Unsupported, text)))
    }
}

/// The line that tells how many events were lost, with the fields that every event has.
fn missed(events: u64) -> String {
    format!(r#"{{"event":"missed","events":{events},"text":"{events} events were missed"}}"#)
}

impl fmt::Debug for RunningStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunningStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_events_are_told_with_the_fields_of_every_event() {
        let told: serde_json::Value = serde_json::from_str(&missed(7)).unwrap();
        let expected =
            serde_json::json!({"event": "missed", "events": 7, "text": "7 events were missed"});
        assert_eq!(told, expected);
    }
}
