//! Extensions beside a close: an answer holds after the next opening.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;

use crate::engine::contract::Engine;
use crate::engine::durability::Durability;
use crate::engine::limits::Limits;
use crate::engine::outcome::Insert;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::tests::interleavings::engine::{
    EXECUTIONS, at, folder, key, moment_of, new_file, path, record,
};
use crate::engine::redb::tests::interleavings::explore;
use crate::error::Error;
use crate::time::moment::Moment;

#[test]
fn an_extension_that_a_closing_engine_answered_is_there_after_the_next_opening() {
    for durability in
        [Durability::Immediate, Durability::Deferred { interval: Duration::from_secs(60) }]
    {
        explore(EXECUTIONS, move || answered_while_closing(durability));
    }
}

fn answered_while_closing(durability: Durability) {
    let options = RedbOptions::new().durability(durability).verify_on_open(false);
    let folder = folder();
    new_file(&path(&folder));
    let engine = Arc::new(RedbEngine::open_with(path(&folder), &options).unwrap());
    let inserted = engine.insert(&key(1), record(1), Moment::BEGINNING, Limits::NONE).unwrap();
    assert_eq!(inserted, Insert::Done(vec![]));
    let created = engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap().last_active();
    let extending = Arc::clone(&engine);
    let extend = thread::spawn(move || {
        let mut last = created;
        for later in 1..4 {
            let now = at(created.as_millis() + later);
            match extending.extend(&key(1), moment_of(now), Duration::ZERO) {
                Ok(record) => last = record.expect("it is live").last_active(),
                Err(Error::Closed) => break,
                Err(other) => panic!("{other}"),
            }
        }
        last
    });
    let closing = Arc::clone(&engine);
    let close = thread::spawn(move || closing.close().unwrap());
    let answered = extend.join().unwrap();
    close.join().unwrap();
    drop(engine);
    let engine = RedbEngine::open_with(path(&folder), &options).unwrap();
    let left = engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap();
    assert_eq!(left.last_active(), answered, "answered, and lost");
}
