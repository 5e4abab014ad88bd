//! Servers that are killed, stand still, take no writes, are full, or are followed by another; and
//! logins that are refused.

use std::time::Duration;

use sessile::testing::ManualClock;
use sessile::{Error, SessionStore, Timeouts, UserLimit};

use crate::instances::{self, Instance, ends, wait_until};

fn store(url: &str) -> SessionStore<u64> {
    SessionStore::builder().manual_maintenance().connect(url).unwrap()
}

fn assert_unavailable<T: std::fmt::Debug>(result: sessile::Result<T>, what: &str) {
    assert!(matches!(result, Err(Error::Unavailable { .. })), "{what}: {result:?}");
}

/// An error that says in words of ours what a user may not do.
fn assert_not_allowed(error: &Error) {
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let words = std::error::Error::source(error).unwrap().to_string();
    assert_eq!(words, "the server does not let this user do what a store needs");
    assert!(!format!("{error} {error:?}").contains("nobody"), "{error:?}");
}

/// While others hold every row, longer than a call takes, a save is not carried out, and not later
/// either.
fn waits_for_others(url: &str, while_locked: impl FnOnce(&mut dyn FnMut())) {
    let store = store(url);
    let mut session = store.create(1).unwrap();
    while_locked(&mut || {
        *session.content_mut() = 2;
        assert_unavailable(store.update(&mut session), "a save that waits");
    });
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
    store.update(&mut session).unwrap();
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 2);
}

/// A server that is killed and started again: until then every call says so, and then goes on.
fn is_killed_and_started_again(server: &mut Instance, url: &str) {
    let store = store(url);
    let session = store.create_for_user("ann", 1).unwrap();
    let ended = store.create_for_user("ann", 2).unwrap();
    assert!(store.destroy(ended.id()).unwrap());
    server.kill();
    let (there, id) = (store.clone(), session.id().clone());
    ends("a call to a killed server", move || {
        assert_unavailable(there.read(&id), "read");
        assert_unavailable(there.create(3), "create");
        assert_unavailable(there.extend_lifetime(&id), "extend_lifetime");
        assert_unavailable(there.destroy(&id), "destroy");
    });
    server.start();
    wait_until("the store", || store.read(session.id()).is_ok());
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
    assert!(store.read(ended.id()).unwrap().is_none(), "a logout is not undone");
    let report = store.check().unwrap();
    assert!(report.is_sound() && report.sessions == 1, "{report:?}");
    store.create(4).unwrap();
}

/// A server that stands still: every call ends in time, and none is taken for done.
fn stands_still(server: &Instance, url: &str) {
    let store = store(&format!("{url}timeout_ms=400"));
    let mut session = store.create_for_user("ann", 1).unwrap();
    server.signal("-STOP");
    let there = store.clone();
    let session = ends("a call to a server that stands still", move || {
        assert_unavailable(there.read(session.id()), "read");
        let updated = there.update(&mut session);
        let unknown =
            matches!(updated, Err(Error::OutcomeUnknown { .. } | Error::Unavailable { .. }));
        assert!(unknown, "{updated:?}");
        let created = there.create(2);
        assert!(created.is_err(), "{created:?}");
        session
    });
    server.signal("-CONT");
    wait_until("the store", || store.read(session.id()).is_ok());
    let found = store.read(session.id()).unwrap().unwrap();
    assert_eq!(*found.content(), 1);
    assert!(store.len().unwrap() <= 3, "each was created once at the most");
    assert!(store.check().unwrap().is_sound());
}

#[cfg(feature = "redis")]
pub(crate) mod redis {
    use super::*;
    use crate::instances::redis_cli;

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
        // The first entry of the sweep is of the session that lives on.
        clock.advance(Duration::from_secs(50));
        let store = open();
        assert_eq!(store.clean_up_expired().unwrap(), 1);
        assert!(store.read(second.id()).unwrap().is_none());
        let checked = store.check().unwrap();
        assert!(checked.is_sound() && checked.sessions == 1, "{checked:?}");
        redis_cli(&server, &["config", "set", "maxmemory", "0"]).unwrap();
    }

    #[test]
    fn a_server_that_evicts_is_refused_unless_the_url_allows_it() {
        let server = instances::redis(&["--maxmemory-policy", "allkeys-lru"]);
        let refused = SessionStore::<u64>::connect(&url(&server)).map(drop).unwrap_err();
        assert!(matches!(refused, Error::UnsupportedServer { .. }), "{refused:?}");
        assert!(refused.to_string().contains("maxmemory-policy"), "{refused}");
        store(&format!("{}eviction=allow", url(&server))).create(1).unwrap();
    }

    #[test]
    fn a_server_that_became_a_replica_takes_no_writes_and_says_so() {
        let (server, other) = (instances::redis(&[]), instances::redis(&[]));
        let store = store(&format!("{}timeout_ms=500", url(&server)));
        let session = store.create(1).unwrap();
        redis_cli(&server, &["replicaof", "127.0.0.1", &other.port.to_string()]).unwrap();
        wait_until("the new primary", || store.create(2).is_ok());
        // It is followed to its primary, and there the session never was.
        assert!(store.read(session.id()).unwrap().is_none());
        assert_eq!(redis_cli(&other, &["zcard", "{sessile}:x"]).unwrap().trim(), "1");
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
    fn a_user_that_may_not_do_what_a_store_needs_is_not_named() {
        let server = instances::redis(&[]);
        let store = store(&url(&server));
        let session = store.create(1).unwrap();
        // In the first case it is the script that is refused, in the second what is in it.
        for denied in ["-evalsha", "-hset"] {
            let rules = ["acl", "setuser", "nobody", "reset", "on", ">hidden", "~*", "+@all"];
            redis_cli(&server, &[&rules[..], &[denied]].concat()).unwrap();
            let url = format!("redis://nobody:hidden@127.0.0.1:{}", server.port);
            let limited = SessionStore::<u64>::connect(&url).unwrap();
            assert_not_allowed(&limited.create(2).map(drop).unwrap_err());
            drop(limited);
        }
        assert!(store.read(session.id()).unwrap().is_some());
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

    /// Three primaries and three replicas, put together by hand.
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
            wait_until("the cluster", || {
                nodes.iter().all(|node| known(node, "cluster_known_nodes:6"))
            });
            for number in 0..3 {
                let id = redis_cli(&nodes[number], &["cluster", "myid"]).unwrap();
                wait_until("the replica", || {
                    let said = redis_cli(&nodes[number + 3], &["cluster", "replicate", id.trim()])
                        .unwrap();
                    said.trim() == "OK"
                });
            }
            wait_until("the cluster", || nodes.iter().all(|node| known(node, "cluster_state:ok")));
            wait_until("the replicas", || {
                nodes[3..].iter().all(|node| {
                    redis_cli(node, &["info", "replication"])
                        .unwrap()
                        .contains("master_link_status:up")
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
                    redis_cli(&self.nodes[*number], &["zcard", "{sessile}:x"]).unwrap().trim()
                        == "2"
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
        // The call in flight waits for the new primary, or says that there is none yet.
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
        ends(
            "a primary that stands still",
            move || {
                while !matches!(there.read(&id), Ok(Some(_))) {}
            },
        );
        cluster.nodes[holder].signal("-CONT");
        assert!(store.destroy(session.id()).is_ok());
    }
}

#[cfg(feature = "postgres")]
pub(crate) mod postgres {
    use super::*;
    use crate::instances::psql;

    fn url(server: &Instance) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?", server.port)
    }

    #[test]
    fn a_server_that_is_killed_is_used_again_once_it_is_started() {
        let mut server = instances::postgres(&[]);
        let url = url(&server);
        is_killed_and_started_again(&mut server, &url);
    }

    #[test]
    fn a_standby_takes_over_and_whoever_was_logged_in_still_is() {
        let mut primary = instances::postgres(&["synchronous_standby_names=*"]);
        // Nobody waits for a standby that is not there yet.
        psql(&primary, "alter system set synchronous_commit = local").unwrap();
        psql(&primary, "select pg_reload_conf()").unwrap();
        let standby = instances::standby_of(&primary);
        psql(&primary, "alter system set synchronous_commit = remote_apply").unwrap();
        psql(&primary, "select pg_reload_conf()").unwrap();
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port, primary.port);
        let store = store(&format!("postgres://postgres@{hosts}/postgres"));
        let session = store.create_for_user("ann", 1).unwrap();
        let ended = store.create_for_user("ann", 2).unwrap();
        assert!(store.destroy(ended.id()).unwrap());
        primary.kill();
        let promoting = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(700));
            psql(&standby, "select pg_promote()").unwrap();
            standby
        });
        // The call waits for the standby to be promoted, or says that none takes writes.
        let there = store.clone();
        ends("a standby that is promoted", move || {
            loop {
                match there.create_for_user("ann", 3) {
                    Ok(_) => break,
                    Err(Error::Unavailable { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
        assert!(store.read(ended.id()).unwrap().is_none(), "a logout is not undone");
        assert_eq!(store.len().unwrap(), 2);
        drop(promoting.join().unwrap());
    }

    #[test]
    fn a_server_that_takes_no_writes_says_so_and_nothing_changes() {
        let server = instances::postgres(&[]);
        let store = store(&format!("{}timeout_ms=500", url(&server)));
        let mut session = store.create_for_user("ann", 1).unwrap();
        psql(&server, "alter system set default_transaction_read_only = on").unwrap();
        psql(&server, "select pg_reload_conf()").unwrap();
        wait_until("the setting", || store.create(2).is_err());
        assert_unavailable(store.create(2), "create");
        assert_unavailable(store.update(&mut session), "update");
        assert_unavailable(store.destroy(session.id()), "destroy");
        // What is set there cannot be changed in a server that takes no writes.
        std::fs::remove_file(server.folder.path().join("data/postgresql.auto.conf")).unwrap();
        psql(&server, "select pg_reload_conf()").unwrap();
        wait_until("the setting", || store.create(2).is_ok());
        assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
    }

    #[test]
    fn connections_that_an_administrator_ends_are_made_again() {
        let server = instances::postgres(&[]);
        let store = store(&url(&server));
        let mut session = store.create(0).unwrap();
        for number in 1..5 {
            psql(
                &server,
                "select pg_terminate_backend(pid) from pg_stat_activity \
                 where application_name = 'sessile'",
            )
            .unwrap();
            *session.content_mut() = number;
            store.update(&mut session).unwrap();
            assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), number);
        }
    }

    #[test]
    fn a_login_that_is_refused_shows_neither_user_nor_password() {
        let server = instances::postgres(&[]);
        psql(&server, "create user shop password 'right'").unwrap();
        psql(&server, "create database shop owner shop").unwrap();
        let rules = server.folder.path().join("data/pg_hba.conf");
        for (method, encryption) in [("scram-sha-256", "scram-sha-256"), ("md5", "md5")] {
            let alter = format!(
                "set password_encryption = '{encryption}'; alter user shop password 'right'"
            );
            psql(&server, &alter).unwrap();
            let text = format!(
                "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 {method}\n"
            );
            std::fs::write(&rules, text).unwrap();
            psql(&server, "select pg_reload_conf()").unwrap();
            let url = |login: &str| format!("postgres://{login}@127.0.0.1:{}/shop", server.port);
            wait_until("the rules", || SessionStore::<u64>::connect(&url("shop")).is_err());
            for login in ["shop", "shop:hidden", "nobody:hidden"] {
                let error = SessionStore::<u64>::connect(&url(login)).map(drop).unwrap_err();
                let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
                assert!(matches!(error, Error::Unavailable { .. }), "{shown}");
                assert!(!shown.contains("hidden") && !shown.contains("nobody"), "{shown}");
            }
            let store = SessionStore::<u64>::connect(&url("shop:right")).unwrap();
            store.create(1).unwrap();
            assert!(!format!("{store:?}").contains("right"));
        }
    }

    #[test]
    fn a_user_that_may_not_do_what_a_store_needs_is_not_named() {
        let server = instances::postgres(&[]);
        store(&url(&server)).create(1).unwrap();
        psql(&server, "create user nobody; grant select on all tables in schema public to nobody")
            .unwrap();
        let url = format!("postgres://nobody@127.0.0.1:{}/postgres", server.port);
        let refused = SessionStore::<u64>::connect(&url).map(drop).unwrap_err();
        assert_not_allowed(&refused);
    }

    #[test]
    fn a_save_that_waits_for_others_until_its_time_is_over_changed_nothing() {
        let server = instances::postgres(&[]);
        waits_for_others(&format!("{}timeout_ms=2000", url(&server)), |until| {
            let text = "begin; select 1 from sessile_sessions for update; select pg_sleep(5)";
            let locks = "select count(*) from pg_locks where mode = 'RowShareLock' \
                and relation = 'sessile_sessions'::regclass";
            std::thread::scope(|scope| {
                let holding = scope.spawn(|| psql(&server, text).unwrap());
                wait_until("the lock", || psql(&server, locks).unwrap().trim() == "1");
                until();
                holding.join().unwrap();
            });
        });
    }

    #[test]
    fn the_servers_clock_decides_where_it_shows_another_time() {
        let server = instances::postgres(&[]);
        // An hour ahead of this machine's.
        psql(
            &server,
            "create schema ahead; create function ahead.clock_timestamp() returns timestamptz \
             language sql volatile as \
             'select pg_catalog.clock_timestamp() + interval ''1 hour'''; \
             alter role postgres set search_path = public, ahead, pg_catalog",
        )
        .unwrap();
        let here = std::time::SystemTime::now();
        let session = store(&url(&server)).create(1).unwrap();
        let ahead = session.created_at().duration_since(here).unwrap();
        assert!(ahead > Duration::from_secs(3_000), "{ahead:?}");
    }

    #[test]
    fn statements_without_names_do_as_well() {
        let server = instances::postgres(&[]);
        let url = format!("{}statements=unnamed", url(&server));
        let store = SessionStore::<u64>::builder()
            .max_sessions_per_user(1, UserLimit::EndLeastRecentlyActive)
            .manual_maintenance()
            .connect(&url)
            .unwrap();
        let first = store.create_for_user("ann", 1).unwrap();
        store.create_for_user("ann", 2).unwrap();
        assert!(store.read(first.id()).unwrap().is_none());
        assert_eq!((store.len().unwrap(), store.clean_up_expired().unwrap()), (1, 0));
    }
}

#[cfg(feature = "mysql")]
pub(crate) mod mysql {
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::instances::mariadb_said;

    fn url(server: &Instance) -> String {
        format!("mysql://root@127.0.0.1:{}/shop?", server.port)
    }

    fn does(server: &Instance, text: &str) -> String {
        mariadb_said(server, text).unwrap()
    }

    #[test]
    fn a_server_that_is_killed_is_used_again_once_it_is_started() {
        let mut server = instances::mariadb(&[]);
        let url = url(&server);
        is_killed_and_started_again(&mut server, &url);
    }

    #[test]
    fn a_server_that_stands_still_holds_nobody_up_for_long() {
        let server = instances::mariadb(&[]);
        stands_still(&server, &url(&server));
    }

    #[test]
    fn a_server_that_takes_no_writes_says_so_and_the_next_host_is_used() {
        let (server, other) = (instances::mariadb(&[]), instances::mariadb(&[]));
        let first = store(&format!("{}timeout_ms=2000", url(&server)));
        let session = first.create_for_user("ann", 1).unwrap();
        // The superuser may write even so; the store does not.
        does(&server, "set global read_only = 1");
        kill_connections(&server);
        assert_unavailable(first.create(2), "create");
        assert_unavailable(first.destroy(session.id()), "destroy");
        let both = format!("mysql://root@127.0.0.1:{},127.0.0.1:{}/shop", server.port, other.port);
        let second = store(&both);
        second.create(3).unwrap();
        assert!(second.read(session.id()).unwrap().is_none(), "it is another server");
        does(&server, "set global read_only = 0");
        assert_eq!(*first.read(session.id()).unwrap().unwrap().content(), 1);
    }

    fn kill_connections(server: &Instance) {
        let connections =
            does(server, "select id from information_schema.processlist where db = 'shop'");
        for number in connections.lines() {
            // It may have gone by itself.
            let _ = mariadb_said(server, &format!("kill {number}"));
        }
    }

    #[test]
    fn connections_that_an_administrator_ends_are_made_again() {
        let server = instances::mariadb(&[]);
        let store = store(&url(&server));
        let mut session = store.create(0).unwrap();
        for number in 1..5 {
            kill_connections(&server);
            *session.content_mut() = number;
            store.update(&mut session).unwrap();
            assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), number);
        }
    }

    #[test]
    fn a_login_that_is_refused_shows_neither_user_nor_password() {
        let server = instances::mariadb(&[]);
        does(&server, "create user shop identified by 'right'; grant all on shop.* to shop");
        let url = |login: &str| format!("mysql://{login}@127.0.0.1:{}/shop", server.port);
        for login in ["shop", "shop:hidden", "nobody:hidden"] {
            let error = SessionStore::<u64>::connect(&url(login)).map(drop).unwrap_err();
            let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
            assert!(matches!(error, Error::Unavailable { .. }), "{shown}");
            assert!(!shown.contains("hidden") && !shown.contains("nobody"), "{shown}");
        }
        let nowhere = format!("mysql://shop:right@127.0.0.1:{}/elsewhere", server.port);
        assert_unavailable(SessionStore::<u64>::connect(&nowhere).map(drop), "no such database");
        let store = SessionStore::<u64>::connect(&url("shop:right")).unwrap();
        store.create(1).unwrap();
        assert!(!format!("{store:?}").contains("right"));
    }

    #[test]
    fn a_user_that_may_not_do_what_a_store_needs_is_not_named() {
        let server = instances::mariadb(&[]);
        store(&url(&server)).create(1).unwrap();
        does(&server, "create user nobody; grant select on shop.* to nobody");
        let url = format!("mysql://nobody@127.0.0.1:{}/shop", server.port);
        let refused = SessionStore::<u64>::connect(&url).map(drop).unwrap_err();
        assert_not_allowed(&refused);
    }

    #[test]
    fn content_that_the_server_takes_no_packet_of_is_refused_and_nothing_else_is() {
        let server = instances::mariadb(&["--max-allowed-packet=1M"]);
        let store = SessionStore::<Vec<u8>>::builder().max_content_len(1 << 24);
        let store = store.manual_maintenance().connect(&url(&server)).unwrap();
        let kept = store.create(vec![7; 400_000]).unwrap();
        let refused = store.create(vec![7; 600_000]).map(drop).unwrap_err();
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        let words = std::error::Error::source(&refused).unwrap().to_string();
        assert!(words.contains("max_allowed_packet"), "{words}");
        assert_eq!(store.read(kept.id()).unwrap().unwrap().content().len(), 400_000);
        assert_eq!(store.len().unwrap(), 1);
    }

    #[test]
    fn a_save_that_waits_for_others_until_its_time_is_over_changed_nothing() {
        let server = instances::mariadb(&[]);
        waits_for_others(&format!("{}timeout_ms=5000", url(&server)), |until| {
            let text = "begin; select 1 from sessile_sessions for update; select sleep(8)";
            let locks =
                "select count(*) from information_schema.innodb_trx where trx_rows_locked > 0";
            std::thread::scope(|scope| {
                let holding = scope.spawn(|| does(&server, &format!("use shop; {text}")));
                wait_until("the lock", || does(&server, locks).trim() == "1");
                until();
                holding.join().unwrap();
            });
        });
    }

    #[test]
    fn what_follows_a_login_that_the_server_takes_no_packet_of_is_committed() {
        let server = instances::mariadb(&["--max-allowed-packet=1M"]);
        let open = || {
            SessionStore::<Vec<u8>>::builder()
                .max_content_len(1 << 24)
                .max_sessions_per_user(2, UserLimit::EndLeastRecentlyActive)
                .manual_maintenance()
                .connect(&url(&server))
                .unwrap()
        };
        let store = open();
        let mut session = store.create(vec![1]).unwrap();
        let refused = store.create_for_user("ann", vec![7; 600_000]).map(drop);
        assert_unavailable(refused, "a login with too much content");
        *session.content_mut() = vec![2];
        store.update(&mut session).unwrap();
        let seen = open().read(session.id()).unwrap().unwrap();
        assert_eq!(*seen.content(), [2], "another host sees what was answered");
        store.create_for_user("ann", vec![3]).unwrap();
    }

    /// A packet of so many bytes is full, and another follows it.
    const FULL: usize = 0xff_ffff;

    #[test]
    fn content_of_more_than_one_packet_is_kept() {
        let server = instances::mariadb(&[]);
        let limit =
            |bytes: usize| does(&server, &format!("set global max_allowed_packet = {bytes}"));
        let connect = |name: &str| {
            let store = SessionStore::<ByteBuf>::builder().max_content_len(1 << 24);
            let url = format!("{}timeout_ms=900000&name={name}", url(&server));
            store.manual_maintenance().connect(&url).unwrap()
        };
        // A letter more in the name is an odd number of bytes more in the request.
        for name in ["even", "uneven_"] {
            limit(1 << 20);
            let probe = connect(name);
            let refused = probe.create(ByteBuf::from(vec![0; 600_000])).map(drop).unwrap_err();
            let words = std::error::Error::source(&refused).unwrap().to_string();
            let request: usize = words.split(' ').find_map(|word| word.parse().ok()).unwrap();
            limit(1 << 26);
            let store = connect(name);
            let full = 600_000 + (FULL - 1 - request) / 2;
            for length in [full - 1, full, full + 1] {
                let content: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
                let session = store.create(ByteBuf::from(content.clone())).unwrap();
                let read = store.read(session.id()).unwrap().unwrap();
                assert!(read.into_content() == content, "{length}");
                assert!(store.destroy(session.id()).unwrap());
            }
        }
    }
}
