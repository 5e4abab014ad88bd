//! Look-ups at name servers that answer, lie, fail or keep silent.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use simple_dns::{CLASS, ResourceRecord};

use super::*;
use crate::engine::network::dns::message::Reading;
use crate::engine::network::dns::serving::{
    By, Serving, alias, answer, cut_off, failed, over_tcp, srv, txt,
};

const NAME: &str = "_mongodb._tcp.cluster.example.com";

/// Far longer than an answer takes here.
const LONG: Duration = Duration::from_secs(60);

/// Long enough for an answer, and short enough to wait for it in vain.
const SHORT: Duration = Duration::from_millis(300);

/// What a server says to a question.
type Say = fn(&[u8]) -> Vec<u8>;

fn found_at(servers: &[&Serving], kind: Kind, time: Duration) -> Attempt<Option<Vec<Record>>> {
    let servers = NameServers(servers.iter().map(|server| server.address).collect());
    servers.look_up(kind, NAME, Deadline::after(time))
}

fn services(servers: &[&Serving]) -> Option<Vec<Record>> {
    found_at(servers, Kind::Srv, LONG).unwrap()
}

/// The reason of a failed look-up.
fn reason(servers: &[&Serving], time: Duration) -> String {
    match found_at(servers, Kind::Srv, time) {
        Err(Failure::NotDone(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

fn service(host: &str, port: u16) -> Record {
    Record::Srv(Address { host: host.into(), port })
}

fn one() -> Option<Vec<Record>> {
    Some(vec![service("one.example.com", 27_017)])
}

/// A server that answers with one record.
fn sound() -> Serving {
    Serving::start(|_, question| vec![answer(question, &[srv(NAME, "one.example.com", 27_017)])])
}

fn silent() -> Serving {
    Serving::start(|_, _| Vec::new())
}

#[test]
fn hosts_and_ports_come_as_the_records_have_them_in_their_order() {
    let server = Serving::start(|_, question| {
        let other = srv("_mongodb._tcp.other.example.com", "other.example.com", 1);
        let records = [
            srv(NAME, "two.example.com", 27_018),
            srv("_MONGODB._TCP.Cluster.Example.COM", "ONE.example.com", 27_017),
            other,
            srv(NAME, "three_3.example.com", 65_535),
            txt(NAME, &["replicaSet=rs0"]),
            // Of another class, Chaosnet's.
            ResourceRecord { class: CLASS::CH, ..srv(NAME, "other.example.com", 2) },
        ];
        vec![answer(question, &records)]
    });
    let expected = [("two", 27_018), ("one", 27_017), ("three_3", 65_535)]
        .map(|(host, port)| service(&format!("{host}.example.com"), port));
    assert_eq!(services(&[&server]).unwrap(), expected);
}

#[test]
fn the_strings_of_a_text_are_one() {
    let server = Serving::start(|_, question| {
        let texts = [txt(NAME, &["authSource=ad", "min&replica", "Set=rs0"]), txt(NAME, &[""])];
        vec![answer(question, &texts)]
    });
    let texts = found_at(&[&server], Kind::Txt, LONG).unwrap().unwrap();
    let expected = [b"authSource=admin&replicaSet=rs0".to_vec(), Vec::new()];
    assert_eq!(texts, expected.map(Record::Txt));
}

#[test]
fn a_target_that_no_host_can_have_is_no_host() {
    let server = Serving::start(|_, question| {
        let targets = [r"\027[2J.example.com", r"a\.b.example.com", "caf\u{e9}.example.com", "."];
        let records = targets.map(|target| srv(NAME, target, 27_017));
        vec![answer(question, &records)]
    });
    assert_eq!(services(&[&server]).unwrap(), [(); 4].map(|()| service("", 27_017)));
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_over_tcp() {
    let server = Serving::start(|by, question| match by {
        By::Datagram => vec![cut_off(question)],
        By::Tcp => {
            let message = answer(question, &vec![srv(NAME, "one.example.com", 27_017); 1_000]);
            let bytes = over_tcp(&message);
            bytes.chunks(7_000).map(<[u8]>::to_vec).collect()
        }
    });
    assert_eq!(services(&[&server]).unwrap(), vec![service("one.example.com", 27_017); 1_000]);
    let ways: Vec<_> = server.questions().into_iter().map(|(by, _)| by).collect();
    assert_eq!(ways, [By::Datagram, By::Tcp]);
}

#[test]
fn what_comes_over_tcp_and_is_no_answer_leads_to_the_next_server() {
    let sayings: [Say; 5] = [
        |_| Vec::new(),
        |_| vec![0],
        |_| over_tcp(b""),
        |question| over_tcp(&cut_off(question)),
        |question| over_tcp(&answer(question, &[]))[..20].to_vec(),
    ];
    for say in sayings {
        let server = Serving::start(move |by, question| match by {
            By::Datagram => vec![cut_off(question)],
            By::Tcp => vec![say(question)],
        });
        assert_eq!(services(&[&server, &sound()]), one());
    }
}

#[test]
fn an_answer_to_another_question_is_not_taken() {
    let server = Serving::start(|_, question| {
        let lie = |question: &[u8]| answer(question, &[srv(NAME, "evil.example.com", 1)]);
        let changed = |at: usize, by: u8| {
            let mut message = lie(question);
            message[at] ^= by;
            message
        };
        let of_another = Query::new(
            u16::from_be_bytes([question[0], question[1]]),
            Kind::Srv,
            "_mongodb._tcp.another.example.com",
        );
        vec![
            // Another number, no answer at all, two questions, another kind, another class.
            changed(0, 1),
            changed(1, 0x80),
            changed(2, 0x80),
            changed(5, 3),
            changed(question.len() - 3, 1),
            changed(question.len() - 1, 2),
            lie(of_another.unwrap().as_bytes()),
            answer(question, &[srv(NAME, "one.example.com", 27_017)]),
        ]
    });
    assert_eq!(services(&[&server]), one());
}

#[test]
fn an_answer_from_elsewhere_is_not_taken() {
    let server = Serving::start(|_, question| {
        vec![answer(question, &[srv(NAME, "one.example.com", 27_017)])]
    });
    // It takes questions at its own port, and answers from another one.
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = elsewhere.local_addr().unwrap();
    let answering = thread::Builder::new().spawn(move || {
        let mut buffer = [0; 512];
        let (length, client) = elsewhere.recv_from(&mut buffer).unwrap();
        let lie = answer(&buffer[..length], &[srv(NAME, "evil.example.com", 1)]);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&lie, client).unwrap();
    });
    let servers = NameServers(vec![at, server.address]);
    let found = servers.look_up(Kind::Srv, NAME, Deadline::after(Duration::from_secs(3)));
    assert_eq!(found.unwrap(), one());
    answering.unwrap().join().unwrap();
}

#[test]
fn every_question_has_a_number_of_its_own() {
    let server = sound();
    let numbers: BTreeSet<_> = (0..40)
        .map(|_| {
            services(&[&server]);
            server.questions().pop().unwrap().1[..2].to_vec()
        })
        .collect();
    assert!(numbers.len() > 35, "{numbers:?}");
}

#[test]
fn garbage_is_passed_over() {
    let server = Serving::start(|_, question| {
        vec![
            Vec::new(),
            vec![0xff; 60_000],
            question[..2].to_vec(),
            question.to_vec(),
            answer(question, &[srv(NAME, "one.example.com", 27_017)]),
        ]
    });
    assert_eq!(services(&[&server]), one());
}

#[test]
fn a_server_without_a_usable_answer_gives_way_to_the_next() {
    let sayings: [Say; 5] = [
        |question| failed(question, 2),
        |question| failed(question, 5),
        |question| failed(question, 1),
        // A record without its end.
        |question| {
            let message = answer(question, &[srv(NAME, "one.example.com", 27_017)]);
            message[..message.len() - 1].to_vec()
        },
        // A server for its own names alone.
        |question| {
            let mut message = answer(question, &[]);
            message[3] &= 0x7f;
            message
        },
    ];
    for say in sayings {
        let server = Serving::start(move |_, question| vec![say(question)]);
        assert_eq!(services(&[&server, &sound()]), one());
    }
}

#[test]
fn servers_that_are_silent_are_not_waited_for_beyond_the_deadline() {
    let (first, second) = (silent(), silent());
    let said = reason(&[&first, &second], 4 * SHORT);
    for server in [&first, &second] {
        assert!(said.contains(&format!("{}: no answer", server.address)), "{said}");
        assert!(server.questions().len() > 1, "each is asked again");
    }
    // Silent over TCP.
    let server = Serving::start(|by, question| match by {
        By::Datagram => vec![cut_off(question)],
        By::Tcp => {
            thread::sleep(SHORT);
            Vec::new()
        }
    });
    reason(&[&server], SHORT);
    let flooding = Serving::start(|_, _| vec![b"garbage".to_vec(); 500]);
    reason(&[&flooding], SHORT);
}

#[test]
fn a_silent_server_leaves_time_to_the_next_and_is_asked_again() {
    let questions = Arc::new(AtomicUsize::new(0));
    let late = Serving::start(move |_, question| match questions.fetch_add(1, Ordering::SeqCst) {
        0 => Vec::new(),
        _ => vec![answer(question, &[srv(NAME, "one.example.com", 27_017)])],
    });
    assert_eq!(found_at(&[&silent(), &sound()], Kind::Srv, 20 * SHORT).unwrap(), one());
    assert_eq!(found_at(&[&late], Kind::Srv, 20 * SHORT).unwrap(), one());
}

#[test]
fn where_no_server_is_the_look_up_fails_and_says_where_it_asked() {
    let address = silent().address;
    let servers = NameServers(vec![address]);
    let failure = servers.look_up(Kind::Srv, NAME, Deadline::after(SHORT));
    let Err(Failure::NotDone(reason)) = failure else { panic!("{failure:?}") };
    assert!(reason.to_string().contains(&address.to_string()), "{reason}");
}

#[test]
fn an_alias_is_followed_within_an_answer_and_by_another_question() {
    const CANONICAL: &str = "_mongodb._tcp.real.example.com";
    let whole = Serving::start(|_, question| {
        let records = [
            srv(CANONICAL, "one.example.com", 27_017),
            alias("between.example.com", CANONICAL),
            alias(NAME, "between.example.com"),
            srv("_mongodb._tcp.other.example.com", "other.example.com", 1),
        ];
        vec![answer(question, &records)]
    });
    assert_eq!(services(&[&whole]), one());
    assert_eq!(whole.questions().len(), 1);
    let half = Serving::start(|_, question| {
        let is_first = question.windows(7).any(|part| part == b"cluster");
        vec![match is_first {
            true => answer(question, &[alias(NAME, CANONICAL)]),
            false => answer(question, &[srv(CANONICAL, "one.example.com", 27_017)]),
        }]
    });
    assert_eq!(services(&[&half]), one());
}

#[test]
fn aliases_in_a_circle_end_the_look_up() {
    let circle = Serving::start(|_, question| {
        let records = [alias(NAME, "b.example.com"), alias("b.example.com", NAME)];
        vec![answer(question, &records)]
    });
    assert_eq!(services(&[&circle]), Some(Vec::new()));
    let endless = Serving::start(|_, question| {
        let records = match question.windows(7).any(|part| part == b"cluster") {
            true => [alias(NAME, "b.example.com")],
            false => [alias("b.example.com", NAME)],
        };
        vec![answer(question, &records)]
    });
    assert!(reason(&[&endless], LONG).contains("aliases"));
    assert_eq!(endless.questions().len(), MOST_ALIASES);
}

#[test]
fn a_name_without_records_and_a_name_that_is_none_are_told_apart() {
    let empty = Serving::start(|_, question| vec![answer(question, &[])]);
    assert_eq!(services(&[&empty]), Some(Vec::new()));
    let none = Serving::start(|_, question| vec![failed(question, 3)]);
    assert_eq!(services(&[&none]), None);
    let unasked = NameServers(vec![silent().address]);
    for name in ["a".repeat(64), "a.".repeat(128)] {
        let failure = unasked.look_up(Kind::Srv, &name, Deadline::after(LONG));
        assert!(matches!(failure, Err(Failure::NotDone(_))), "{failure:?}");
    }
}

#[test]
fn a_message_that_claims_more_records_than_it_has_room_for_is_not_read() {
    let query = Query::new(7, Kind::Srv, NAME).unwrap();
    for count in [7, 9, 11] {
        let mut message = answer(query.as_bytes(), &[srv(NAME, "one.example.com", 27_017)]);
        assert!(matches!(query.read(&message), Reading::Answer(_)));
        message[count - 1] = 0xff;
        assert_eq!(query.read(&message), Reading::Failed("its answer cannot be read".into()));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_an_answer_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        counts in any::<[u8; 3]>(),
    ) {
        let query = Query::new(7, Kind::Srv, NAME).unwrap();
        query.read(&bytes);
        // The same bytes as records of an answer to the question.
        let mut message = answer(query.as_bytes(), &[]);
        for (place, count) in [7, 9, 11].into_iter().zip(counts) {
            message[place] = count % 5;
        }
        message.extend_from_slice(&bytes);
        query.read(&message);
    }

    #[test]
    fn no_change_of_an_answer_makes_reading_it_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        end in any::<usize>(),
    ) {
        for kind in [Kind::Srv, Kind::Txt] {
            let query = Query::new(7, kind, NAME).unwrap();
            let records = [
                alias(NAME, "real.example.com"),
                srv("real.example.com", "one.example.com", 27_017),
                txt("real.example.com", &["authSource=admin", "&replicaSet=rs0"]),
            ];
            let mut message = answer(query.as_bytes(), &records);
            for (at, byte) in &changes {
                let at = at % message.len();
                message[at] = *byte;
            }
            query.read(&message);
            query.read(&message[..end % message.len()]);
        }
    }
}
