//! One connection to the program, and its lines.

use std::io;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::time::Duration;

use crate::admin::socket::transport::Stream;
use crate::error::Error;

/// The longest line is a record: 16 MiB of content in base64, and its user.
const MAX_LINE: u64 = 24 * 1024 * 1024;
const CLOSED: &str =
    "it has ended, or closed the connection because the client had read nothing for 60 s";
pub(super) const CLOSED_SINCE: &str = "it has closed the store since, or ended";
/// The interval between two calls about a program that does not answer.
pub(super) const POLL: Duration = Duration::from_secs(1);

pub(super) struct Wire {
    pub(super) stream: BufReader<Stream>,
    pub(super) pid: u32,
    /// `None`: it is a program of before copies could come in.
    pub(super) max_content_len: Option<usize>,
    /// The program's own timeouts, in base64. `None`: it is a program of before it told them.
    pub(super) timeouts: Option<String>,
}

impl Wire {
    /// Connects to a socket, or to the socket that was found beside a file.
    pub(super) fn connect(socket: &Path, beside: Option<&Path>) -> io::Result<Self> {
        let stream = match beside {
            Some(file) => Stream::connect_beside(file, socket)?,
            None => Stream::connect(socket)?,
        };
        stream.set_read_timeout(Some(POLL))?;
        stream.set_write_timeout(POLL)?;
        let stream = BufReader::new(stream);
        Ok(Self { stream, pid: 0, max_content_len: None, timeouts: None })
    }

    /// Reads the rest of a line. After an error the line has the bytes that came until then.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        let room = MAX_LINE.saturating_sub(line.len() as u64);
        io::Read::take(&mut self.stream, room).read_until(b'\n', line)?;
        match line.last() {
            Some(b'\n') => Ok(()),
            _ if line.len() as u64 >= MAX_LINE => {
                Err(io::Error::new(ErrorKind::InvalidData, "it has sent a line without an end"))
            }
            _ => Err(io::Error::new(ErrorKind::UnexpectedEof, CLOSED)),
        }
    }
}

pub(super) fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Whether nobody listens at the door.
pub(super) fn is_gone(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused))
}
