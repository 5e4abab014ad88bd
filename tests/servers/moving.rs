//! Moves sessions from a file over every kind of server and back into a file, and compares the
//! bytes of every record at each step.
//!
//! `SESSILE_TEST_MOVED` sets the number of sessions; 100,000 take some minutes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sessile::engine::{Engine, MemoryEngine, RedbEngine};
use sessile::testing::{EngineFixture, NetworkFault, Proxy, Way};
use sessile::{Inspector, SessionKey, SessionOptions, SessionStore, admin};

#[cfg(feature = "mongodb")]
use crate::places::Mongodb;
use crate::places::{
    Mysql, On, Place as _, Postgres, Redis, address_of, behind, patient, with_parameter,
};

/// The bytes of every record, by key.
type Contents = BTreeMap<SessionKey, Vec<u8>>;

fn contents(engine: &dyn Engine) -> Contents {
    let mut contents = Contents::new();
    engine
        .scan(None, &mut |key, record| {
            contents.insert(key, record?.encode(&key));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    contents
}

/// Sessions of every kind: with and without a user, own timeouts, a token, a touch, a save, a new
/// id, a rename of their user.
fn filled(engine: Arc<impl Engine>, count: u64) -> SessionStore<String> {
    let store: SessionStore<String> =
        SessionStore::builder().engine(engine).manual_maintenance().build().unwrap();
    for number in 0..count {
        let mut options = SessionOptions::new();
        if number % 3 > 0 {
            options = options.user(format!("user {}", number / 7));
        }
        if number % 5 == 0 {
            options = options.csrf_token().inactivity(Duration::from_secs(600 + number % 6_000));
        }
        if number % 11 == 0 {
            options = options.absolute(Duration::from_secs(7_200));
        }
        let content = "content ".repeat((number % 40) as usize);
        let mut session = store.create_with(content, &options).unwrap();
        match number % 4 {
            0 => assert!(store.extend_lifetime(session.id()).unwrap()),
            1 => store.update(&mut session).unwrap(),
            2 => store.regenerate_id(&mut session).unwrap(),
            _ => {}
        }
    }
    store.rename_user("user 3", "somebody else").unwrap();
    store
}

fn moved(from: &Inspector, to: &Inspector, count: u64) {
    let report = admin::transfer(from, to, false, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.copied, report.updated, report.equal), (count, 0, count));
    assert_eq!((report.ended, report.differing.count(), report.damaged.count()), (0, 0, 0));
}

fn file(path: &Path) -> Arc<RedbEngine> {
    Arc::new(RedbEngine::open(path).unwrap())
}

#[test]
fn sessions_that_move_over_every_server_come_back_as_they_were() {
    let count = std::env::var("SESSILE_TEST_MOVED").map_or(2_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(MemoryEngine::new());
    let _open = filled(memory.clone(), count);
    let expected = contents(&memory);
    assert_eq!(expected.len() as u64, count);
    let (postgres, redis, mysql) = (On::<Postgres>::new(), On::<Redis>::new(), On::<Mysql>::new());
    let mut houses: Vec<(&str, Arc<dyn Engine>)> = vec![
        ("memory", memory),
        ("a file", file(&folder.path().join("first.redb"))),
        ("PostgreSQL", Arc::new(postgres.open())),
        ("Redis", Arc::new(redis.open())),
        ("MySQL", Arc::new(mysql.open())),
        ("another file", file(&folder.path().join("last.redb"))),
    ];
    #[cfg(feature = "mongodb")]
    let mongodb = std::env::var_os(Mongodb::VARIABLE).map(|_| On::<Mongodb>::new());
    #[cfg(feature = "mongodb")]
    if let Some(on) = &mongodb {
        houses.insert(5, ("MongoDB", Arc::new(on.open())));
    }
    for pair in houses.windows(2) {
        let [(_, from), (name, to)] = pair else { unreachable!("of two each") };
        let start = std::time::Instant::now();
        moved(&Inspector::on(from.clone()).unwrap(), &Inspector::on(to.clone()).unwrap(), count);
        assert!(contents(to) == expected, "{name} holds other bytes");
        println!("{count} sessions to {name}: {:.1?}", start.elapsed());
    }
    let last = Inspector::on(houses[houses.len() - 1].1.clone()).unwrap();
    assert!(last.check().unwrap().is_sound());
    assert_eq!(last.overview().unwrap().sessions, count);
}

#[test]
fn a_copy_whose_connection_is_cut_once_is_whole() {
    for at in [6_000, 10_000, 14_000] {
        let (memory, on) = (Arc::new(MemoryEngine::new()), On::<Postgres>::new());
        let _open = filled(memory.clone(), 100);
        let proxy = Proxy::start(address_of(&on.url));
        let target = Postgres::connect(&patient(&behind(&on.url, proxy.address()))).unwrap();
        let [from, to] = [Inspector::on(memory), Inspector::on(target)].map(Result::unwrap);
        proxy.arm(Way::Request, at, NetworkFault::Cut);
        moved(&from, &to, 100);
        assert!(proxy.is_disarmed());
    }
}

#[test]
fn an_exact_copy_needs_one_connection_to_its_target() {
    let (memory, on) = (Arc::new(MemoryEngine::new()), On::<Postgres>::new());
    let _open = filled(memory.clone(), 10);
    let url = with_parameter(&patient(&on.url), "connections=1");
    let target = Arc::new(Postgres::connect(&url).unwrap());
    let _there = filled(target.clone(), 10);
    let [from, to] = [Inspector::on(memory), Inspector::on(target)].map(Result::unwrap);
    let report = admin::transfer(&from, &to, true, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.copied, report.ended, report.equal), (10, 10, 10));
}
