//! Extensions beside a login at the limit on a user's sessions.

use std::sync::Arc;

use shuttle::thread;

use crate::engine::contract::Engine;
use crate::engine::limits::{Limits, PerUser, UserLimit};
use crate::engine::outcome::Insert;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::tests::interleavings::engine::{
    EXECUTIONS, at, folder, key, moment_of, new_file, path, timeouts, touched,
};
use crate::engine::redb::tests::interleavings::explore;
use crate::record::{Parts, Record};
use crate::session::user::UserId;
use crate::time::moment::Moment;
use crate::time::timeouts::OwnTimeouts;

fn record_of_ann(millis: u64) -> Record {
    let user = UserId::from("ann").to_key().unwrap();
    let parts = Parts {
        user: Some(&user),
        csrf_token: None,
        own_timeouts: OwnTimeouts::default(),
        revision: 1,
        created_at: at(millis),
        last_active: at(millis),
        content_version: 0,
        content: &[],
    };
    Record::new(&parts, &timeouts()).unwrap()
}

#[test]
fn a_login_at_the_limit_ends_no_session_whose_extension_made_another_the_least_active() {
    explore(EXECUTIONS, || {
        let folder = folder();
        new_file(&path(&folder));
        let options = RedbOptions::new().verify_on_open(false);
        let engine = Arc::new(RedbEngine::open_with(path(&folder), &options).unwrap());
        let insert = |engine: &RedbEngine, number: u8, millis| {
            let policy = UserLimit::EndLeastRecentlyActive;
            let limits = Limits { per_user: Some(PerUser { max: 2, policy }), ..Limits::NONE };
            let record = record_of_ann(millis);
            match engine.insert(&key(number), record, moment_of(at(millis)), limits).unwrap() {
                Insert::Done(ended) => ended.len(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((insert(&engine, 1, 10), insert(&engine, 2, 20)), (0, 0));
        let creating = Arc::clone(&engine);
        let create = thread::spawn(move || insert(&creating, 3, 30));
        let extending = Arc::clone(&engine);
        let extend = thread::spawn(move || touched(&extending, &key(1), at(31)));
        assert_eq!(create.join().unwrap(), 1);
        let extended = extend.join().unwrap();
        let lives = |number| engine.load(&key(number), Moment::BEGINNING).unwrap().is_some();
        assert_eq!([lives(1), lives(2), lives(3)], [extended, !extended, true]);
    });
}
