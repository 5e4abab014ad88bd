//! Redis: `PING`, `GET` and `SET`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::servers::Outcome;
use crate::servers::plain::{Address, PlainCall, VALUE, next, prefix};

pub(super) struct Client {
    socket: BufReader<TcpStream>,
    key: String,
}

impl Client {
    pub(super) fn connect(address: &Address) -> Outcome<Self> {
        let mut client = Self { socket: address.socket()?, key: key(next()) };
        let key = client.key.clone();
        client.ask(&[b"SET", key.as_bytes(), &[7; VALUE]])?;
        Ok(client)
    }

    /// Sends a command and reads a reply of one line, or of one line and a value.
    fn ask(&mut self, words: &[&[u8]]) -> Outcome<String> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            write!(request, "${}\r\n", word.len())?;
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.socket.get_mut().write_all(&request)?;
        let mut line = String::new();
        self.socket.read_line(&mut line)?;
        if line.trim_end() == format!("${VALUE}") {
            let mut value = [0; VALUE + 2];
            self.socket.read_exact(&mut value)?;
        }
        Ok(line)
    }
}

fn key(number: u64) -> String {
    format!("{}:{number}", prefix())
}

impl super::Client for Client {
    fn call(&mut self, call: PlainCall) -> Outcome<()> {
        let key = match call {
            PlainCall::Insert => key(next()),
            _ => self.key.clone(),
        };
        let (answer, right) = match call {
            PlainCall::RoundTrip => (self.ask(&[b"PING"])?, "+PONG".into()),
            PlainCall::Read => (self.ask(&[b"GET", key.as_bytes()])?, format!("${VALUE}")),
            PlainCall::Insert | PlainCall::Update => {
                (self.ask(&[b"SET", key.as_bytes(), &[8; VALUE]])?, "+OK".into())
            }
        };
        match answer.trim_end() {
            answer if answer == right => Ok(()),
            other => Err(format!("a bare client got `{other}`").into()),
        }
    }

    fn clean_up(&mut self) -> Outcome<()> {
        let keys: Vec<String> = (0..next()).map(key).collect();
        for some in keys.chunks(1_000) {
            let words = std::iter::once("UNLINK").chain(some.iter().map(String::as_str));
            self.ask(&words.map(str::as_bytes).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}
