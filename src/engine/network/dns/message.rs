//! DNS messages: a question as bytes, and what an answer says.
//!
//! Invariant: an answer is hostile bytes. Reading it never panics, takes no more steps than its
//! length allows, and asks for no memory that the message only claims to need. What becomes a
//! host's name has the characters of one.

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, ResourceRecord, TYPE, header_buffer};

use crate::engine::network::dns::{Kind, MOST_ALIASES, Record};
use crate::engine::network::transport::location::Address;

/// The length of a message's header.
const HEADER: usize = 12;

/// The least lengths of a question and of a record.
const LEAST_QUESTION: usize = 5;
const LEAST_RECORD: usize = 11;

/// A question, as it is sent.
pub(super) struct Query {
    kind: Kind,
    bytes: Vec<u8>,
}

/// What a received message is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// No answer to the question.
    Unrelated,
    /// An answer without its end, which was too long for a datagram.
    CutOff,
    /// The server has no answer, for this reason.
    Failed(String),
    Answer(Answer),
}

/// What a name server knows of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    NoSuchName,
    /// An alias (CNAME); the answer has no records of its target.
    Alias(String),
    Records(Vec<Record>),
}

impl Query {
    /// The question for a name; `None` if this is no valid DNS name.
    pub(super) fn new(number: u16, kind: Kind, name: &str) -> Option<Self> {
        let mut packet = Packet::new_query(number);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let records = match kind {
            Kind::Srv => TYPE::SRV,
            Kind::Txt => TYPE::TXT,
        };
        let name = Name::new(name).ok()?;
        packet.questions.push(Question::new(name, records.into(), CLASS::IN.into(), false));
        Some(Self { kind, bytes: packet.build_bytes_vec().ok()? })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a message from the server that was asked.
    pub(super) fn read(&self, message: &[u8]) -> Reading {
        if !self.is_answered_by(message) {
            return Reading::Unrelated;
        }
        if has_flag(message, PacketFlag::TRUNCATION) {
            return Reading::CutOff;
        }
        match message.get(3).map_or(0, |flags| flags & 0xf) {
            0 => match self.answer(message) {
                None => Reading::Failed("its answer cannot be read".into()),
                Some(Answer::Records(records)) if records.is_empty() && !is_resolver(message) => {
                    Reading::Failed("it looks nothing up for others".into())
                }
                Some(answer) => Reading::Answer(answer),
            },
            2 => Reading::Failed("it could not look the name up (SERVFAIL)".into()),
            3 => Reading::Answer(Answer::NoSuchName),
            5 => Reading::Failed("it refuses the question (REFUSED)".into()),
            error => Reading::Failed(format!("it answers with error {error}")),
        }
    }

    /// Whether the message is an answer with the question's number, and repeats the question.
    fn is_answered_by(&self, message: &[u8]) -> bool {
        let question = self.bytes.get(HEADER..).unwrap_or_default();
        message.get(..2) == self.bytes.get(..2)
            && has_flag(message, PacketFlag::RESPONSE)
            && header_buffer::questions(message) == Ok(1)
            && message
                .get(HEADER..self.bytes.len())
                .is_some_and(|repeated| repeated.eq_ignore_ascii_case(question))
    }

    /// The records of the name, or of the name that it stands for; `None` if they cannot be read.
    fn answer(&self, message: &[u8]) -> Option<Answer> {
        if !has_room(message) {
            return None;
        }
        let packet = Packet::parse(message).ok()?;
        let asked = &packet.questions.first()?.qname;
        let mut name = asked;
        for _ in 0..MOST_ALIASES {
            let canonical = packet.answers.iter().find_map(|record| match &record.rdata {
                RData::CNAME(canonical) if record.name == *name => Some(&canonical.0),
                _ => None,
            });
            match canonical {
                None => break,
                Some(canonical) => name = canonical,
            }
        }
        let is_its =
            |record: &&ResourceRecord<'_>| record.name == *name && record.class == CLASS::IN;
        let of_name = packet.answers.iter().filter(is_its);
        let records: Vec<_> = of_name.filter_map(|record| self.record(&record.rdata)).collect();
        if !records.is_empty() || name == asked {
            return Some(Answer::Records(records));
        }
        Some(host(name)).filter(|name| !name.is_empty()).map(Answer::Alias)
    }

    /// A record of the requested kind.
    fn record(&self, data: &RData<'_>) -> Option<Record> {
        match (self.kind, data) {
            (Kind::Srv, RData::SRV(service)) => {
                Some(Record::Srv(Address { host: host(&service.target), port: service.port }))
            }
            (Kind::Txt, RData::TXT(text)) => {
                let joined = String::try_from(text.clone());
                Some(Record::Txt(joined.map_or_else(|error| error.into_bytes(), Into::into)))
            }
            _ => None,
        }
    }
}

fn has_flag(message: &[u8], flag: PacketFlag) -> bool {
    header_buffer::has_flags(message, flag) == Ok(true)
}

/// Whether the server is recursive or authoritative (flags RA, AA).
fn is_resolver(message: &[u8]) -> bool {
    has_flag(message, PacketFlag::RECURSION_AVAILABLE)
        || has_flag(message, PacketFlag::AUTHORITATIVE_ANSWER)
}

/// Whether the message is long enough for as many questions and records as it claims to have.
/// `simple-dns` reserves memory for as many.
fn has_room(message: &[u8]) -> bool {
    let count = |counted: simple_dns::Result<u16>| usize::from(counted.unwrap_or(u16::MAX));
    let questions = count(header_buffer::questions(message));
    let records = count(header_buffer::answers(message))
        + count(header_buffer::name_servers(message))
        + count(header_buffer::additional_records(message));
    message.len() >= HEADER + questions * LEAST_QUESTION + records * LEAST_RECORD
}

/// The name in lower case; empty if it has a character that a host name may not have.
fn host(name: &Name<'_>) -> String {
    let labels: Vec<_> = name.as_bytes().map(String::from_utf8_lossy).collect();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match labels.iter().all(|label| label.bytes().all(is_allowed)) {
        true => labels.join(".").to_ascii_lowercase(),
        false => String::new(),
    }
}
