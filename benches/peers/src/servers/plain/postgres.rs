//! PostgreSQL: prepared statements, each sent and answered in one round trip.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use crate::servers::Outcome;
use crate::servers::plain::{Address, Id, PlainCall, VALUE, new_id, prefix};

/// The version of the protocol.
const VERSION: u32 = 3 << 16;

pub(super) struct Client {
    socket: BufReader<TcpStream>,
    id: Id,
}

impl Client {
    pub(super) fn connect(address: &Address) -> Outcome<Self> {
        let mut client = Self { socket: address.socket()?, id: new_id()? };
        let mut start = VERSION.to_be_bytes().to_vec();
        for word in ["user", &address.user, "database", &address.database, ""] {
            start.extend_from_slice(word.as_bytes());
            start.push(0);
        }
        let length = (start.len() as u32 + 4).to_be_bytes();
        client.socket.get_mut().write_all(&[&length, start.as_slice()].concat())?;
        client.answer()?;

        let table = prefix();
        client.query(&format!("create table if not exists {table} (id bytea primary key, value bytea)"))?;
        for (name, text) in [
            ("trip", "select 1".into()),
            ("read", format!("select value from {table} where id = $1")),
            ("insert", format!("insert into {table} (id, value) values ($1, $2)")),
            ("update", format!("update {table} set value = $2 where id = $1")),
        ] {
            let parse = [name.as_bytes(), &[0], text.as_bytes(), &[0, 0, 0]].concat();
            client.send(&[(b'P', &parse), (b'S', &[])])?;
            client.answer()?;
        }
        client.insert()?;
        Ok(client)
    }

    fn insert(&mut self) -> Outcome<u64> {
        self.id = new_id()?;
        let id = self.id;
        self.run("insert", &[&id, &[b'x'; VALUE]])
    }

    fn query(&mut self, text: &str) -> Outcome<u64> {
        self.send(&[(b'Q', &[text.as_bytes(), &[0]].concat())])?;
        self.answer()
    }

    fn send(&mut self, messages: &[(u8, &[u8])]) -> Outcome<()> {
        let mut request = Vec::with_capacity(1_024);
        for (kind, body) in messages {
            request.push(*kind);
            request.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
            request.extend_from_slice(body);
        }
        Ok(self.socket.get_mut().write_all(&request)?)
    }

    /// Reads until the server is ready, and returns the number of rows read or changed.
    fn answer(&mut self) -> Outcome<u64> {
        let (mut rows, mut failure) = (0, None);
        loop {
            let mut head = [0; 5];
            self.socket.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) - 4;
            let mut body = vec![0; length as usize];
            self.socket.read_exact(&mut body)?;
            match head[0] {
                // The end of `SELECT 1`, `INSERT 0 1`, `UPDATE 1`.
                b'C' => {
                    let tag = String::from_utf8_lossy(&body[..body.len() - 1]);
                    rows = tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
                }
                b'R' if body != [0; 4] => return Err("the server asks for a password".into()),
                b'E' => failure = Some(String::from_utf8_lossy(&body).replace('\0', " ")),
                b'Z' => return failure.map_or(Ok(rows), |failure| Err(failure.into())),
                _ => {}
            }
        }
    }

    /// Runs a prepared statement.
    fn run(&mut self, name: &str, parameters: &[&[u8]]) -> Outcome<u64> {
        // The parameters are bytes and no text.
        let mut bind = [&[0], name.as_bytes(), &[0, 0, 1, 0, 1]].concat();
        bind.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
        for parameter in parameters {
            bind.extend_from_slice(&(parameter.len() as u32).to_be_bytes());
            bind.extend_from_slice(parameter);
        }
        bind.extend_from_slice(&[0, 0]);
        self.send(&[(b'B', &bind), (b'E', &[0; 5]), (b'S', &[])])?;
        self.answer()
    }
}

impl super::Client for Client {
    fn call(&mut self, call: PlainCall) -> Outcome<()> {
        let id = self.id;
        let rows = match call {
            PlainCall::RoundTrip => self.run("trip", &[])?,
            PlainCall::Read => self.run("read", &[&id])?,
            PlainCall::Insert => self.insert()?,
            PlainCall::Update => self.run("update", &[&id, &[b'y'; VALUE]])?,
        };
        if rows == 1 { Ok(()) } else { Err(format!("a bare client got {rows} rows").into()) }
    }

    fn clean_up(&mut self) -> Outcome<()> {
        self.query(&format!("drop table {}", prefix())).map(drop)
    }
}
