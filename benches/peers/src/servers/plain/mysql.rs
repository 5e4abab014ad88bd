//! MariaDB and MySQL: statements as text, each sent and answered in one round trip.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use crate::servers::Outcome;
use crate::servers::plain::{Address, PlainCall, VALUE, new_id, next, prefix};

/// The login names a database; the protocol of 4.1, its login, and a named login method.
const CAPABILITIES: u32 = 0x0008 | 0x0200 | 0x8000 | 0x0008_0000;
const UTF8: u8 = 45;
const QUERY: u8 = 3;

pub(super) struct Client {
    socket: BufReader<TcpStream>,
    table: String,
    value: String,
    /// The id as a literal of SQL.
    id: String,
}

impl Client {
    pub(super) fn connect(address: &Address) -> Outcome<Self> {
        let value = "x".repeat(VALUE);
        let mut client = Self { socket: address.socket()?, table: prefix(), value, id: String::new() };
        client.packet()?;
        let mut login = CAPABILITIES.to_le_bytes().to_vec();
        login.extend_from_slice(&(1_u32 << 24).to_le_bytes());
        login.push(UTF8);
        login.extend_from_slice(&[0; 23]);
        // The user, an empty password, the database, and the login method.
        for word in [&address.user, "", &address.database, "mysql_native_password"] {
            login.extend_from_slice(word.as_bytes());
            login.push(0);
        }
        client.send(1, &login)?;
        if client.packet()?.first() == Some(&0xfe) {
            client.send(3, &[])?;
            client.packet()?;
        }
        let table = &client.table;
        let make = format!("create table if not exists {table} (id binary(16) primary key, value text)");
        client.query(&make)?;
        client.insert()?;
        Ok(client)
    }

    fn insert(&mut self) -> Outcome<u64> {
        self.id = format!("0x{:032x}", u128::from_be_bytes(new_id()?));
        let statement =
            format!("insert into {} (id, value) values ({}, '{}')", self.table, self.id, self.value);
        self.query(&statement)
    }

    fn send(&mut self, number: u8, body: &[u8]) -> Outcome<()> {
        let [low, middle, high, _] = (body.len() as u32).to_le_bytes();
        Ok(self.socket.get_mut().write_all(&[&[low, middle, high, number], body].concat())?)
    }

    fn packet(&mut self) -> Outcome<Vec<u8>> {
        let mut head = [0; 4];
        self.socket.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
        self.socket.read_exact(&mut body)?;
        match body.first() {
            Some(0xff) => Err(String::from_utf8_lossy(&body[3..]).into()),
            _ => Ok(body),
        }
    }

    /// Runs a statement and returns the number of rows read or changed.
    fn query(&mut self, text: &str) -> Outcome<u64> {
        self.send(0, &[&[QUERY], text.as_bytes()].concat())?;
        let first = self.packet()?;
        if first.first() == Some(&0) {
            return Ok(first[1].into());
        }
        // The columns and then the rows; one packet ends each of these two lists.
        let (mut ends, mut rows) = (0, 0);
        while ends < 2 {
            let packet = self.packet()?;
            match packet.first() {
                Some(0xfe) if packet.len() < 9 => ends += 1,
                _ => rows += ends,
            }
        }
        Ok(rows)
    }
}

impl super::Client for Client {
    fn call(&mut self, call: PlainCall) -> Outcome<()> {
        let Self { table, id, .. } = self;
        let rows = match call {
            PlainCall::RoundTrip => self.query("select 1")?,
            PlainCall::Read => {
                let statement = format!("select value from {table} where id = {id}");
                self.query(&statement)?
            }
            PlainCall::Insert => self.insert()?,
            PlainCall::Update => {
                // The server would skip the write of an equal value.
                let count = next();
                let value = format!("{count:0VALUE$}");
                let statement = format!("update {table} set value = '{value}' where id = {id}");
                self.query(&statement)?
            }
        };
        if rows == 1 { Ok(()) } else { Err(format!("a bare client got {rows} rows").into()) }
    }

    fn clean_up(&mut self) -> Outcome<()> {
        let statement = format!("drop table {}", self.table);
        self.query(&statement).map(drop)
    }
}
