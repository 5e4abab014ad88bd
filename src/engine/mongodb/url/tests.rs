//! URLs, and what DNS holds in place of their hosts.

use std::cell::RefCell;

use super::*;
use crate::engine::mongodb::MongodbEngine;
use crate::engine::network::backend::Attempt;
use crate::engine::network::dns::{Kind, Record};
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::location::Address;
use crate::error::Error;

/// What a test has in DNS, for whatever name.
#[derive(Default)]
struct Zone {
    /// The hosts and ports of the SRV records; `None` for a name that does not exist.
    services: Option<Vec<(&'static str, u16)>>,
    texts: Vec<&'static str>,
    is_silent: bool,
    asked: RefCell<Vec<String>>,
}

impl Zone {
    fn of(services: &[(&'static str, u16)]) -> Self {
        Self { services: Some(services.to_vec()), ..Self::default() }
    }

    /// A zone with one host in `example.com`, and these TXT records.
    fn with_texts(texts: &[&'static str]) -> Self {
        Self { texts: texts.to_vec(), ..Self::of(&[("one.example.com", 27_017)]) }
    }
}

impl Dns for Zone {
    fn look_up(&self, kind: Kind, name: &str, _: Deadline) -> Attempt<Option<Vec<Record>>> {
        self.asked.borrow_mut().push(format!("{kind:?} {name}"));
        if self.is_silent {
            return Err(Failure::not_done("10.0.0.2:53: no answer"));
        }
        let service = |(host, port): &(&str, u16)| {
            Record::Srv(Address { host: (*host).to_owned(), port: *port })
        };
        Ok(match kind {
            Kind::Srv => self.services.as_ref().map(|all| all.iter().map(service).collect()),
            Kind::Txt => {
                Some(self.texts.iter().map(|text| Record::Txt(text.as_bytes().to_vec())).collect())
            }
        })
    }
}

/// A URL with a password that no error may show, and without TLS.
fn url(host: &str, rest: &str) -> String {
    format!("mongodb+srv://u:hidden@{host}/shop?tls=off{rest}")
}

fn parsed(url: &str, zone: &Zone) -> Mongodb {
    Mongodb::parse(url, zone).unwrap().0
}

/// What is said of a URL that is refused.
fn refusal_in(url: &str, zone: &Zone) -> String {
    let error = Mongodb::parse(url, zone).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { name: "url", .. }), "{url}: {error:?}");
    let said = format!("{error} {error:?}");
    assert!(!said.contains("hidden"), "{said}");
    said
}

fn seeds(host: &str, zone: &Zone) -> Vec<String> {
    let mongodb = parsed(&url(host, ""), zone);
    mongodb.hosts.seeds.iter().map(ToString::to_string).collect()
}

#[test]
fn a_url_that_is_not_understood_is_refused_before_anything_is_asked() {
    for url in [
        "redis://localhost",
        "mongodb://localhost/a.b",
        "mongodb://localhost/a%00b",
        "mongodb://u@localhost/shop",
        "mongodb://localhost/shop?w=1",
        "mongodb://localhost/shop?retryWrites=false",
        "mongodb://localhost/shop?readPreference=secondary",
        "mongodb://localhost/shop?authMechanism=SCRAM-SHA-1",
        "mongodb://localhost/shop?srvServiceName=mongodb",
    ] {
        let error = MongodbEngine::connect(url).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{url}: {error:?}");
    }
    let long = format!("{}.example.com", "a".repeat(64));
    let longest = format!("{}com", "abc.".repeat(60));
    for (host, rest) in [
        ("one.example.com,two.example.com", ""),
        ("cluster.example.com:27017", ""),
        ("cluster..example.com", ""),
        (".example.com", ""),
        (".", ""),
        ("cluster.example.com..", ""),
        ("clu ster.example.com", ""),
        ("clu%00ster.example.com", ""),
        ("caf%C3%A9.example.com", ""),
        ("10.0.0.7", ""),
        ("[::1]", ""),
        (&long, ""),
        (&longest, ""),
        ("cluster.example.com", "&srvMaxHosts=2"),
        ("cluster.example.com", "&srvServiceName="),
        ("cluster.example.com", "&srvServiceName=a.b"),
        ("cluster.example.com", "&directConnection=true"),
        ("cluster.example.com", "&retryWrites=false"),
        ("cluster.example.com", "&tls_ca=/x"),
    ] {
        let zone = Zone::with_texts(&[]);
        refusal_in(&url(host, rest), &zone);
        assert!(zone.asked.into_inner().is_empty(), "{host} {rest}");
    }
}

#[test]
fn a_user_is_known_in_the_database_unless_the_url_says_otherwise() {
    let source = |url: &str| parsed(url, &Zone::default()).hosts.login.source;
    assert_eq!(source("mongodb://u:p@localhost/shop"), "shop");
    assert_eq!(source("mongodb://u:p@localhost/shop?authSource=admin"), "admin");
    assert_eq!(source("mongodb://u:p@localhost"), "admin");
    let zone = Zone::default();
    let mongodb = parsed(
        "mongodb://localhost?name=a&w=majority&loadBalanced=false&readPreference=primary\
         &authMechanism=SCRAM-SHA-256&ssl=false",
        &zone,
    );
    assert_eq!((mongodb.database.as_str(), mongodb.meta.as_str()), ("sessile", "a_meta"));
    assert!(zone.asked.into_inner().is_empty(), "nothing is looked up for `mongodb://`");
}

#[test]
fn the_hosts_and_ports_of_the_records_are_the_seeds_in_their_order_and_each_once() {
    let zone = Zone::of(&[
        ("two.example.com", 27_018),
        ("one.example.com", 27_017),
        ("two.example.com", 27_018),
        ("two.example.com", 27_019),
    ]);
    let expected = ["two.example.com:27018", "one.example.com:27017", "two.example.com:27019"];
    assert_eq!(seeds("cluster.example.com", &zone), expected);
    let asked = ["Srv _mongodb._tcp.cluster.example.com", "Txt cluster.example.com"];
    assert_eq!(zone.asked.into_inner(), asked);
    let zone = Zone::with_texts(&[]);
    parsed(&url("Cluster.Example.COM.", "&srvServiceName=sessions-1"), &zone);
    let asked = ["Srv _sessions-1._tcp.cluster.example.com", "Txt cluster.example.com"];
    assert_eq!(zone.asked.into_inner(), asked);
}

#[test]
fn a_seed_is_below_the_parent_domain_of_the_host_or_is_refused() {
    for (host, seed) in [
        ("cluster.example.com", "one.example.com"),
        ("cluster.example.com", "cluster.example.com"),
        ("cluster.example.com", "one.zone.example.com"),
        ("cluster.tests.example.co.uk", "one.tests.example.co.uk"),
        // A host of one or two labels is the domain itself.
        ("localhost", "one.localhost"),
        ("mongo.local", "one.mongo.local"),
        ("mongo.local", "one.zone.mongo.local"),
    ] {
        assert_eq!(seeds(host, &Zone::of(&[(seed, 27_017)])), [format!("{seed}:27017")]);
    }
    for (host, seed) in [
        ("cluster.example.com", "example.com"),
        ("cluster.example.com", "one.evil.com"),
        ("cluster.example.com", "one.evilexample.com"),
        ("cluster.example.com", "evilexample.com"),
        ("cluster.example.com", ".example.com"),
        ("cluster.example.com", "one.example.com.evil.net"),
        ("cluster.example.com", "com"),
        ("cluster.tests.example.co.uk", "one.example.co.uk"),
        ("cluster.tests.example.co.uk", "tests.example.co.uk"),
        ("localhost", "localhost"),
        ("localhost", "localhost.mongodb"),
        ("localhost", "one.cluster_1localhost"),
        ("mongo.local", "mongo.local"),
        ("mongo.local", "one.local"),
        ("mongo.local", "one.evil.local"),
        ("mongo.local", "one.hostmongo.local"),
    ] {
        let sound = match host {
            "cluster.example.com" => "a.example.com",
            "cluster.tests.example.co.uk" => "a.tests.example.co.uk",
            "localhost" => "a.localhost",
            _ => "a.mongo.local",
        };
        // One such record is enough, wherever it stands.
        for services in [vec![(seed, 27_017)], vec![(sound, 27_017), (seed, 27_017)]] {
            let said = refusal_in(&url(host, ""), &Zone::of(&services));
            assert!(said.contains(&format!("name `{seed}`, which does not end in `.")), "{said}");
        }
    }
    for service in [("", 27_017), ("one.example.com", 0)] {
        let said = refusal_in(&url("cluster.example.com", ""), &Zone::of(&[service]));
        assert!(said.contains("no host, or no port"), "{said}");
    }
}

#[test]
fn a_host_without_records_is_named_with_what_was_looked_up() {
    let nowhere = Zone::default();
    let said = refusal_in(&url("cluster.example.com", ""), &nowhere);
    assert!(said.contains("DNS has no name `_mongodb._tcp.cluster.example.com`"), "{said}");
    let said = refusal_in(&url("cluster.example.com", ""), &Zone::of(&[]));
    assert!(said.contains("no SRV record for `_mongodb._tcp.cluster.example.com`"), "{said}");
}

#[test]
fn a_text_in_dns_sets_what_the_url_leaves_out() {
    let zone = || Zone::with_texts(&["authSource=users%2F1&replicaSet=rs0&loadBalanced=false"]);
    let hosts = parsed(&url("cluster.example.com", ""), &zone()).hosts;
    assert_eq!((hosts.login.source.as_str(), hosts.set.as_deref()), ("users/1", Some("rs0")));
    let hosts = parsed(&url("cluster.example.com", "&authSource=a&replicaSet=b"), &zone()).hosts;
    assert_eq!((hosts.login.source.as_str(), hosts.set.as_deref()), ("a", Some("b")));
    for texts in [&[][..], &[""]] {
        let hosts = parsed(&url("cluster.example.com", ""), &Zone::with_texts(texts)).hosts;
        assert_eq!((hosts.login.source.as_str(), hosts.set), ("shop", None));
    }
    let zone = Zone::with_texts(&["AUTHSOURCE=users&&"]);
    assert_eq!(parsed(&url("cluster.example.com", ""), &zone).hosts.login.source, "users");
}

#[test]
fn a_text_in_dns_that_sets_something_else_or_is_malformed_is_refused() {
    for (texts, words) in [
        (&["replicaSet=rs0", "authSource=users"][..], "more than one TXT record"),
        (&["tls=off"], "`tls`"),
        (&["ssl=false"], "`ssl`"),
        (&["replicaSet=rs0&w=1"], "`w`"),
        (&["\u{1b}[2J=x"], "`\\\\u{1b}[2J`"),
        (&["authSource"], "no value for `authSource`"),
        (&["authSource="], "no value for `authSource`"),
        (&["replicaSet=%g0"], "no value for `replicaSet`"),
        (&["authSource=a&authSource=b"], "`authSource` twice"),
        (&["loadBalanced=yes"], "not `true` or `false`"),
    ] {
        // The URL's own options do not make it sound.
        for rest in ["", "&authSource=a&replicaSet=b"] {
            let said = refusal_in(&url("cluster.example.com", rest), &Zone::with_texts(texts));
            assert!(said.contains(words), "{texts:?}: {said}");
        }
    }
}

#[test]
fn a_load_balancer_is_refused_in_words() {
    let zone = Zone::with_texts(&["loadBalanced=true"]);
    for url in [
        url("cluster.example.com", ""),
        url("cluster.example.com", "&loadBalanced=true"),
        "mongodb://u:hidden@localhost/shop?loadBalanced=true".into(),
    ] {
        let said = refusal_in(&url, &zone);
        assert!(said.contains("load balancer") && said.contains("routers"), "{said}");
    }
    parsed(&url("cluster.example.com", "&loadBalanced=false"), &zone);
}

#[test]
fn without_an_answer_of_dns_the_server_is_unavailable_and_the_error_says_what_to_do() {
    let zone = Zone { is_silent: true, ..Zone::default() };
    let error = Mongodb::parse(&url("cluster.example.com", ""), &zone).unwrap_err();
    let Error::Unavailable { server, source } = &error else { panic!("{error:?}") };
    assert_eq!(server, "MongoDB at cluster.example.com");
    let said = format!("{error} {error:?} {source}");
    for words in ["10.0.0.2:53: no answer", "HOST1:27017,HOST2:27017", "nslookup -type=SRV"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("hidden"), "{said}");
}

#[cfg(feature = "tls")]
#[test]
fn behind_records_tls_is_on_unless_the_url_turns_it_off() {
    let zone = || Zone::of(&[("one.localhost", 27_017)]);
    let tls = |rest: &str| {
        let url = format!("mongodb+srv://u:p@localhost{rest}");
        parsed(&url, &zone()).hosts.login.tls.is_some()
    };
    assert!(tls("") && tls("/?tls=on"));
    assert!(!tls("/?tls=off"));
}

#[cfg(not(feature = "tls"))]
#[test]
fn behind_records_tls_is_asked_for_and_the_missing_feature_is_named() {
    for host in ["cluster.example.com", "localhost"] {
        let zone = Zone::with_texts(&[]);
        let said = refusal_in(&format!("mongodb+srv://u:hidden@{host}/shop"), &zone);
        assert!(said.contains("feature `tls`"), "{said}");
        assert!(zone.asked.into_inner().is_empty(), "nothing was looked up");
    }
}
