//! A name server for tests, on a port of this machine. What it answers is up to the test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use simple_dns::rdata::{CNAME, RData, SRV, TXT};
use simple_dns::{CLASS, CharacterString, Name, Packet, PacketFlag, ResourceRecord};

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Datagram,
    Tcp,
}

/// The questions that came, in their order.
type Questions = Arc<Mutex<Vec<(By, Vec<u8>)>>>;

/// A running server. It ends when it is dropped.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    questions: Questions,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Serving {
    /// Starts a server that sends these messages for a question; over TCP, their bytes as they are.
    pub(super) fn start(
        answer: impl Fn(By, &[u8]) -> Vec<Vec<u8>> + Clone + Send + 'static,
    ) -> Self {
        let (datagrams, listener) = loop {
            let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            // Somebody else may have the same port of TCP.
            if let Ok(listener) = TcpListener::bind(datagrams.local_addr().unwrap()) {
                break (datagrams, listener);
            }
        };
        let address = datagrams.local_addr().unwrap();
        let (questions, is_over) = (Questions::default(), Arc::new(AtomicBool::new(false)));
        let (asked, ended, to_say) = (Arc::clone(&questions), Arc::clone(&is_over), answer.clone());
        let in_datagrams = named(move || {
            let mut buffer = [0; 512];
            loop {
                let (length, client) = datagrams.recv_from(&mut buffer).unwrap();
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                note(&asked, By::Datagram, &buffer[..length]);
                for message in to_say(By::Datagram, &buffer[..length]) {
                    datagrams.send_to(&message, client).unwrap();
                }
            }
        });
        let (asked, ended) = (Arc::clone(&questions), Arc::clone(&is_over));
        let over_tcp = named(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let mut client = client.unwrap();
                let mut length = [0; 2];
                client.read_exact(&mut length).unwrap();
                let mut question = vec![0; u16::from_be_bytes(length).into()];
                client.read_exact(&mut question).unwrap();
                note(&asked, By::Tcp, &question);
                for bytes in answer(By::Tcp, &question) {
                    // The client may have gone.
                    let _ = client.write_all(&bytes);
                }
            }
        });
        Self { address, questions, is_over, threads: vec![in_datagrams, over_tcp] }
    }

    /// How the questions came, in their order.
    pub(super) fn questions(&self) -> Vec<(By, Vec<u8>)> {
        self.questions.lock().unwrap().clone()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let waking = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        waking.send_to(b"", self.address).unwrap();
        drop(TcpStream::connect(self.address));
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn named(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name("name server".into()).spawn(work).unwrap()
}

fn note(questions: &Questions, by: By, question: &[u8]) {
    questions.lock().unwrap().push((by, question.to_vec()));
}

/// The answer of a resolver to a question, with these records.
pub(super) fn answer(question: &[u8], records: &[ResourceRecord<'static>]) -> Vec<u8> {
    let mut packet = Packet::parse(question).unwrap().into_reply();
    packet.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    packet.answers.extend_from_slice(records);
    packet.build_bytes_vec_compressed().unwrap()
}

/// The same answer with another error number, or cut off behind the question.
pub(super) fn failed(question: &[u8], error: u8) -> Vec<u8> {
    let mut message = answer(question, &[]);
    message[3] |= error;
    message
}

pub(super) fn cut_off(question: &[u8]) -> Vec<u8> {
    let mut message = answer(question, &[]);
    message[2] |= 2;
    message
}

/// The message as it is sent over TCP.
pub(super) fn over_tcp(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

pub(super) fn record(name: &'static str, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, 60, data)
}

pub(super) fn srv(name: &'static str, target: &'static str, port: u16) -> ResourceRecord<'static> {
    let target = Name::new(target).unwrap();
    record(name, RData::SRV(SRV { priority: 9, weight: 0, port, target }))
}

pub(super) fn txt(name: &'static str, strings: &[&'static str]) -> ResourceRecord<'static> {
    let text = strings.iter().fold(TXT::new(), |text, string| {
        text.with_char_string(CharacterString::new(string.as_bytes()).unwrap())
    });
    record(name, RData::TXT(text))
}

pub(super) fn alias(name: &'static str, canonical: &'static str) -> ResourceRecord<'static> {
    record(name, RData::CNAME(CNAME(Name::new(canonical).unwrap())))
}
