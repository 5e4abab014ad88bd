//! One question to one name server: in a datagram, and over TCP if the answer does not fit into
//! one.
//!
//! Invariant: a message that is no answer to the question is passed over, and does not end the
//! wait.

use std::net::SocketAddr;

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::dns::message::{Answer, Query, Reading};
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::datagrams::Datagrams;
use crate::engine::network::transport::stream::Stream;

/// Asks one name server.
///
/// # Errors
///
/// [`Failure::NotDone`] or [`Failure::Lost`] if it gives no usable answer before the deadline.
pub(super) fn ask(server: SocketAddr, query: &Query, deadline: Deadline) -> Attempt<Answer> {
    let mut reading = in_datagram(server, query, deadline)?;
    if let Reading::CutOff = reading {
        reading = over_tcp(server, query, deadline)?;
    }
    match reading {
        Reading::Answer(answer) => Ok(answer),
        Reading::Failed(reason) => Err(Failure::not_done(reason)),
        Reading::CutOff | Reading::Unrelated => {
            Err(Failure::not_done("over TCP it does not answer the question"))
        }
    }
}

/// The first datagram that answers the question.
fn in_datagram(server: SocketAddr, query: &Query, deadline: Deadline) -> Attempt<Reading> {
    let mut datagrams = Datagrams::connect(server, deadline)?;
    datagrams.send(query.as_bytes())?;
    loop {
        match query.read(datagrams.receive()?) {
            Reading::Unrelated => {}
            reading => return Ok(reading),
        }
    }
}

/// Over TCP a message follows its length, in two bytes.
fn over_tcp(server: SocketAddr, query: &Query, deadline: Deadline) -> Attempt<Reading> {
    let mut stream = Stream::connect_to(server, deadline)?;
    let length = u16::try_from(query.as_bytes().len()).unwrap_or(u16::MAX);
    stream.send(&[&length.to_be_bytes(), query.as_bytes()].concat())?;
    stream.fill(2)?;
    let length = stream.buffered().first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
    stream.consume(2);
    stream.fill(length.into())?;
    Ok(query.read(stream.buffered().get(..length.into()).unwrap_or_default()))
}
