//! PostgreSQL, whose deadlocks hold everybody up for a second each: calls that lock many rows lock
//! them in one order.

use std::thread;
use std::time::{Duration, Instant};

use sessile::{Error, SessionStore, Timeouts, UserLimit};

use crate::instances::{self, psql, wait_until};
use crate::places::patient;

/// Takes an answer that another caller's change may give.
fn may_meet<T>(answer: sessile::Result<T>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::Gone { .. } | Error::Conflict { .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn logins_logouts_of_all_renames_and_sweeps_of_a_few_users_wait_in_one_order() {
    const CALLERS: u32 = 16;
    const LONG: Duration = Duration::from_secs(4);
    let server = instances::postgres(&[]);
    let url = patient(&format!("postgres://postgres@127.0.0.1:{}/postgres", server.port));
    let host = |seconds| {
        SessionStore::<u32>::builder()
            .max_sessions_per_user(4, UserLimit::EndLeastRecentlyActive)
            .timeouts(Timeouts::from_seconds(seconds, seconds * 10).unwrap())
            .manual_maintenance()
            .connect(&url)
            .unwrap()
    };
    let (store, until) = (host(3_600), Instant::now() + LONG);
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let store = store.clone();
            scope.spawn(move || {
                let mut round = caller;
                while Instant::now() < until {
                    let user = |number: u32| format!("user {}", number % 3);
                    let session = store.create_for_user(user(round), round).unwrap();
                    match round % 4 {
                        0 => drop(store.destroy_all_of(user(round)).unwrap()),
                        1 => drop(may_meet(store.destroy_others(&session))),
                        2 => drop(store.rename_user(user(round), user(round + 1)).unwrap()),
                        _ => drop(store.clean_up_expired().unwrap()),
                    }
                    round = round.wrapping_mul(1_664_525).wrapping_add(1_013_904_223 + caller);
                }
            });
        }
    });
    drop(store);
    let deadlocks = "select sum(deadlocks) from pg_stat_database";
    // The server tells the numbers of a connection once it has ended.
    let open = "select count(*) from pg_stat_activity where application_name = 'sessile'";
    wait_until("the end of the connections", || psql(&server, open).unwrap().trim() == "0");
    assert_eq!(psql(&server, deadlocks).unwrap().trim(), "0");
}
