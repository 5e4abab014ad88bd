//! Redis that is killed, stalls, is full, has lost its scripts or its keys; and clusters whose
//! primaries end.

mod hosts;

use std::net::TcpStream;
use std::ops::ControlFlow;
use std::time::Duration;

use sessile::engine::RedisEngine;
use sessile::testing::{ManualClock, NetworkFault, Proxy, Way};
use sessile::{Error, Inspector, SessionOptions, SessionStore, Timeouts, admin};

use crate::instances::{self, Instance, ends, redis_cli, wait_until};
use crate::outages::{is_killed_and_started_again, stands_still, store};

fn url(server: &Instance) -> String {
    format!("redis://127.0.0.1:{}/0?", server.port)
}

#[test]
fn a_server_that_is_killed_is_used_again_once_it_is_started() {
    let mut server = instances::redis(&["--appendonly", "yes", "--appendfsync", "always"]);
    let url = url(&server);
    is_killed_and_started_again(&mut server, &url);
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_long() {
    let server = instances::redis(&[]);
    stands_still(&server, &url(&server));
}

#[test]
fn scripts_that_the_server_has_lost_are_given_to_it_again() {
    let server = instances::redis(&[]);
    let store = store(&url(&server));
    let session = store.create(1).unwrap();
    redis_cli(&server, &["script", "flush", "sync"]).unwrap();
    assert!(store.extend_lifetime(session.id()).unwrap());
    assert!(store.destroy(session.id()).unwrap());
}

#[test]
fn damaged_values_can_be_ended_and_stop_no_sweep() {
    const EACH: &str = "for _, bucket in ipairs(redis.call('keys', '*:h:*')) do \
        for _, key in ipairs(redis.call('hkeys', bucket)) do \
        local value = redis.call('hget', bucket, key) \
        redis.call('hset', bucket, key, DAMAGED) end end";
    let server = instances::redis(&[]);
    for damaged in [
        "''",
        "string.rep('x', 200)",
        "string.rep('x', 80) .. string.sub(value, 81)",
        "string.sub(value, 1, 80) .. string.rep('x', 40) .. string.sub(value, 121)",
        "string.sub(value, 1, 120) .. 'xyz' .. string.sub(value, 124)",
    ] {
        let clock = ManualClock::new();
        let engine = RedisEngine::connect(&url(&server)).unwrap();
        let builder = SessionStore::<u64>::builder().engine(engine).clock(clock.clone());
        let store = builder.manual_maintenance().build().unwrap();
        let own = SessionOptions::new().user("ann").inactivity(Duration::from_secs(100));
        let [ended, read, _] = [0, 1, 2].map(|number| store.create_with(number, &own).unwrap());
        store.create(3).unwrap();
        redis_cli(&server, &["eval", &EACH.replace("DAMAGED", damaged), "0"]).unwrap();
        let damage = |done: Result<bool, Error>| {
            assert!(matches!(done, Err(Error::DamagedRecord { .. })), "{damaged}: {done:?}");
        };
        damage(store.read(read.id()).map(|found| found.is_some()));
        damage(store.extend_lifetime(read.id()));
        assert!(store.destroy_key(&ended.key()).unwrap(), "{damaged}");
        assert_eq!(store.destroy_all_of("ann").unwrap(), 2, "{damaged}");
        clock.advance(Duration::from_secs(100_000_000));
        store.clean_up_expired().unwrap();
        assert_eq!(redis_cli(&server, &["keys", "*:h:*"]).unwrap().trim(), "", "{damaged}");
    }
}

#[test]
fn a_full_server_refuses_what_needs_memory_and_lets_sessions_end() {
    let server = instances::redis(&["--maxmemory-policy", "noeviction"]);
    let store = store(&format!("{}timeout_ms=1000", url(&server)));
    let mut session = store.create_for_user("ann", 1).unwrap();
    redis_cli(&server, &["config", "set", "maxmemory", "1"]).unwrap();
    assert!(matches!(store.create(2), Err(Error::StorageFull { .. })));
    assert!(matches!(store.update(&mut session), Err(Error::StorageFull { .. })));
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
    assert!(store.destroy(session.id()).unwrap(), "a logout needs no memory");
    redis_cli(&server, &["config", "set", "maxmemory", "0"]).unwrap();
    store.create(3).unwrap();
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_full_server_keeps_sessions_alive_and_sweeps_them() {
    let server = instances::redis(&["--maxmemory-policy", "noeviction"]);
    let clock = ManualClock::new();
    let open = || {
        SessionStore::<u64>::builder()
            .clock(clock.clone())
            .timeouts(Timeouts::from_seconds(60, 600).unwrap())
            .manual_maintenance()
            .connect(&url(&server))
            .unwrap()
    };
    let store = open();
    let first = store.create_for_user("ann", 1).unwrap();
    clock.advance(Duration::from_secs(10));
    let second = store.create_for_user("ann", 2).unwrap();
    redis_cli(&server, &["config", "set", "maxmemory", "1"]).unwrap();
    clock.advance(Duration::from_secs(10));
    assert!(store.read_and_extend(first.id()).unwrap().is_some());
    let seen = store.read(first.id()).unwrap().unwrap();
    assert_eq!(seen.last_active(), first.created_at() + Duration::from_secs(20));
    // The first entry of the sweep belongs to the session that stays live.
    clock.advance(Duration::from_secs(50));
    let store = open();
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    assert!(store.read(second.id()).unwrap().is_none());
    let checked = store.check().unwrap();
    assert!(checked.is_sound() && checked.sessions == 1, "{checked:?}");
    redis_cli(&server, &["config", "set", "maxmemory", "0"]).unwrap();
}

#[test]
fn a_count_is_right_though_another_host_sweeps_meanwhile() {
    const EXPIRED: u64 = 5_100;
    let server = instances::redis(&[]);
    let clock = ManualClock::new();
    let proxy = Proxy::start(("127.0.0.1", server.port));
    let open = |port: u16| -> SessionStore<u64> {
        let url = format!("redis://127.0.0.1:{port}?timeout_ms=60000");
        let builder = SessionStore::builder().clock(clock.clone());
        builder.manual_maintenance().connect(&url).unwrap()
    };
    let (store, counting) = (open(server.port), open(proxy.address().port()));
    let short = SessionOptions::new().inactivity(Duration::from_secs(1));
    for number in 0..EXPIRED {
        store.create_with(number, &short).unwrap();
    }
    clock.advance(Duration::from_secs(1));
    for number in 0..10 {
        store.create(number).unwrap();
    }
    proxy.arm(Way::Answer, 0, NetworkFault::Delay(Duration::from_secs(3)));
    std::thread::scope(|scope| {
        let counted = scope.spawn(|| counting.len().unwrap());
        wait_until("the answer that is late", || proxy.is_disarmed());
        assert_eq!(store.clean_up_expired().unwrap(), EXPIRED);
        assert_eq!(counted.join().unwrap(), 10);
    });
}

#[test]
fn a_server_with_as_many_clients_as_it_may_is_asked_again() {
    let server = instances::redis(&["--maxclients", "3"]);
    let clients = [(); 3].map(|()| TcpStream::connect(("127.0.0.1", server.port)).unwrap());
    wait_until("the clients", || redis_cli(&server, &["ping"]).unwrap().trim() != "PONG");
    let url = format!("{}timeout_ms=1000", url(&server));
    let full = SessionStore::<u64>::connect(&url).map(drop).unwrap_err();
    let reason = std::error::Error::source(&full).unwrap().to_string();
    assert_eq!(reason, "the server has as many clients as it may");
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| SessionStore::<u64>::connect(&url).map(drop));
        std::thread::sleep(Duration::from_millis(300));
        drop(clients);
        connecting.join().unwrap().unwrap();
    });
}

#[test]
fn a_server_that_evicts_is_refused_unless_the_url_allows_it() {
    let server = instances::redis(&["--maxmemory-policy", "allkeys-lru"]);
    let refused = SessionStore::<u64>::connect(&url(&server)).map(drop).unwrap_err();
    assert!(matches!(refused, Error::UnsupportedServer { .. }), "{refused:?}");
    for words in ["maxmemory-policy", "a logout of all of a user's sessions may then end none"] {
        assert!(refused.to_string().contains(words), "{refused}");
    }
    store(&format!("{}eviction=allow", url(&server))).create(1).unwrap();
}

/// As a server with a policy `allkeys-*` evicts them.
#[test]
fn indexes_that_are_evicted_end_no_session_and_are_whole_in_a_copy() {
    let server = instances::redis(&[]);
    let store = store(&url(&server));
    let sessions = [1, 2, 3].map(|number| store.create_for_user("ann", number).unwrap());
    redis_cli(&server, &["del", "{sessile}:x", "{sessile}:u"]).unwrap();
    assert!(sessions.iter().all(|one| store.read(one.id()).unwrap().is_some()));
    assert_eq!((store.len().unwrap(), store.destroy_all_of("ann").unwrap()), (0, 0));
    assert_eq!(store.check().unwrap().problem_count, 6);
    let other = format!("{}name=other", url(&server));
    let inspect = |url: &str| Inspector::on(RedisEngine::connect(url).unwrap()).unwrap();
    let (from, to) = (inspect(&url(&server)), inspect(&other));
    let report = admin::transfer(&from, &to, false, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.copied, report.equal), (3, 3));
    let copy = crate::outages::store(&other);
    assert!(copy.check().unwrap().is_sound());
    assert_eq!((copy.len().unwrap(), copy.destroy_all_of("ann").unwrap()), (3, 3));
}

#[test]
fn a_store_whose_keys_were_all_removed_is_found_again_with_its_timeouts() {
    let (server, clock) = (instances::redis(&[]), ManualClock::new());
    let open = |inactivity| {
        let builder = SessionStore::<u64>::builder().clock(clock.clone()).manual_maintenance();
        let timeouts = Timeouts::from_seconds(inactivity, 600).unwrap();
        builder.timeouts(timeouts).connect(&url(&server)).unwrap()
    };
    let store = open(60);
    redis_cli(&server, &["flushall"]).unwrap();
    let find = || RedisEngine::connect_existing(&url(&server)).unwrap();
    assert!(find().is_none());
    let session = store.create(1).unwrap();
    assert_eq!(Inspector::on(find().unwrap()).unwrap().overview().unwrap().sessions, 1);
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    let shorter = open(10);
    clock.advance(Duration::from_secs(20));
    assert_eq!(shorter.clean_up_expired().unwrap(), 0, "it is live on the other host");
    assert!(store.read(session.id()).unwrap().is_some());
}

#[test]
fn a_login_that_is_refused_shows_neither_user_nor_password() {
    let server = instances::redis(&["--requirepass", "right"]);
    let url = |login: &str| format!("redis://{login}127.0.0.1:{}", server.port);
    for login in ["", ":hidden@", "nobody:hidden@"] {
        let error = SessionStore::<u64>::connect(&url(login)).map(drop).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(matches!(error, Error::Unavailable { .. }), "{shown}");
        assert!(!shown.contains("hidden") && !shown.contains("nobody"), "{shown}");
    }
    let store = SessionStore::<u64>::connect(&url(":right@")).unwrap();
    store.create(1).unwrap();
    assert!(!format!("{store:?}").contains("right"));
}

#[test]
fn a_change_that_too_few_replicas_have_is_not_taken_for_done() {
    let server = instances::redis(&[]);
    let url = format!("{}replicas=1", url(&server));
    let refused = SessionStore::<u64>::connect(&url).map(drop);
    assert!(matches!(refused, Err(Error::OutcomeUnknown { .. })), "{refused:?}");
    let of = format!("127.0.0.1 {}", server.port);
    let mut replica = instances::redis(&["--replicaof", &of]);
    wait_until("the replica", || SessionStore::<u64>::connect(&url).is_ok());
    let store = store(&url);
    let session = store.create(3).unwrap();
    let key = format!("{{sessile}}:h:{}", &session.key().to_string()[..2]);
    assert_ne!(redis_cli(&replica, &["hlen", &key]).unwrap().trim(), "0");
    replica.kill();
    let created = store.create(4);
    assert!(matches!(created, Err(Error::OutcomeUnknown { .. })), "{created:?}");
    assert!(store.read(session.id()).unwrap().is_some(), "a read needs no replica");
}

#[test]
fn a_change_without_an_answer_that_no_replica_has_is_not_taken_for_done() {
    let server = instances::redis(&[]);
    let of = format!("127.0.0.1 {}", server.port);
    let replica = instances::redis(&["--replicaof", &of]);
    let proxy = Proxy::start(("127.0.0.1", server.port));
    let url = format!("redis://{}?replicas=1&timeout_ms=4000", proxy.address());
    wait_until("the replica", || SessionStore::<u64>::connect(&url).is_ok());
    let store = store(&url);
    let mut session = store.create(1).unwrap();
    replica.signal("-STOP");
    // The change is carried out, and its answer is lost.
    let lose_answer = || {
        // The change has a connection: the answer that is lost is its own.
        store.len().unwrap();
        proxy.arm(Way::Answer, 0, NetworkFault::Cut);
    };
    let assert_unknown = |changed: sessile::Result<()>| {
        assert!(proxy.is_disarmed());
        assert!(matches!(changed, Err(Error::OutcomeUnknown { .. })), "{changed:?}");
    };
    lose_answer();
    assert_unknown(store.create(2).map(drop));
    *session.content_mut() = 3;
    lose_answer();
    assert_unknown(store.update(&mut session));
    replica.signal("-CONT");
    wait_until("the replica", || store.create(4).is_ok());
    let mut session = store.read(session.id()).unwrap().unwrap();
    *session.content_mut() = 5;
    lose_answer();
    store.update(&mut session).unwrap();
    assert!(proxy.is_disarmed());
    lose_answer();
    store.create(6).unwrap();
    assert!(proxy.is_disarmed());
}

/// Three primaries and three replicas, connected by hand.
struct Cluster {
    nodes: Vec<Instance>,
}

impl Cluster {
    fn new() -> Self {
        let nodes: Vec<_> = (0..6)
            .map(|_| {
                let bus = instances::free_port().to_string();
                let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
                instances::redis(&[&options[..], &["--cluster-port", &bus]].concat())
            })
            .collect();
        let slots = [("0", "5461"), ("5462", "10922"), ("10923", "16383")];
        for (node, (first, last)) in nodes.iter().zip(slots) {
            redis_cli(node, &["cluster", "addslotsrange", first, last]).unwrap();
        }
        let bus = |node: &Instance| {
            let said = redis_cli(node, &["config", "get", "cluster-port"]).unwrap();
            said.lines().nth(1).unwrap().to_owned()
        };
        for (epoch, node) in (1..).zip(&nodes) {
            let epoch = u32::to_string(&epoch);
            redis_cli(node, &["cluster", "set-config-epoch", &epoch]).unwrap();
            let (port, bus) = (node.port.to_string(), bus(node));
            redis_cli(&nodes[0], &["cluster", "meet", "127.0.0.1", &port, &bus]).unwrap();
        }
        let known = |node: &Instance, line: &str| {
            redis_cli(node, &["cluster", "info"]).unwrap().contains(line)
        };
        wait_until("the cluster", || nodes.iter().all(|node| known(node, "cluster_known_nodes:6")));
        for number in 0..3 {
            let id = redis_cli(&nodes[number], &["cluster", "myid"]).unwrap();
            wait_until("the replica", || {
                let said =
                    redis_cli(&nodes[number + 3], &["cluster", "replicate", id.trim()]).unwrap();
                said.trim() == "OK"
            });
        }
        wait_until("the cluster", || nodes.iter().all(|node| known(node, "cluster_state:ok")));
        wait_until("the replicas", || {
            nodes[3..].iter().all(|node| {
                redis_cli(node, &["info", "replication"]).unwrap().contains("master_link_status:up")
            })
        });
        Self { nodes }
    }

    fn url(&self) -> String {
        let hosts: Vec<_> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis://{}?", hosts.join(","))
    }

    /// The primary that holds the store's sessions.
    fn holder(&self) -> usize {
        (0..3)
            .find(|number| {
                redis_cli(&self.nodes[*number], &["zcard", "{sessile}:x"]).unwrap().trim() == "2"
            })
            .unwrap()
    }
}

#[test]
fn a_replica_takes_over_and_whoever_was_logged_in_still_is() {
    let mut cluster = Cluster::new();
    let store = store(&format!("{}replicas=1", cluster.url()));
    let session = store.create_for_user("ann", 1).unwrap();
    let ended = store.create_for_user("ann", 2).unwrap();
    store.create_for_user("bob", 3).unwrap();
    assert!(store.destroy(ended.id()).unwrap());
    let holder = cluster.holder();
    cluster.nodes[holder].kill();
    // The call in flight waits for the new primary, or fails because there is none yet.
    let (there, id) = (store.clone(), session.id().clone());
    let found = ends("a cluster without a primary", move || {
        loop {
            match there.read(&id) {
                Ok(found) => break found,
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    assert_eq!(*found.unwrap().content(), 1);
    assert!(store.read(ended.id()).unwrap().is_none(), "a logout is not undone");
    assert_eq!(store.len().unwrap(), 2);
}

#[test]
fn a_primary_of_a_cluster_that_stands_still_is_followed_by_its_replica() {
    let cluster = Cluster::new();
    let store = store(&format!("{}replicas=1", cluster.url()));
    let session = store.create_for_user("ann", 1).unwrap();
    store.create_for_user("bob", 3).unwrap();
    let holder = cluster.holder();
    cluster.nodes[holder].signal("-STOP");
    let (there, id) = (store.clone(), session.id().clone());
    ends("a primary that stands still", move || while !matches!(there.read(&id), Ok(Some(_))) {});
    cluster.nodes[holder].signal("-CONT");
    assert!(store.destroy(session.id()).is_ok());
}
