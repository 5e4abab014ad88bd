//! Calls of several hosts that meet on one user's sessions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sessile::{Error, SessionInfo, SessionStore};

use crate::hosts::Hosts;
use crate::places::Place;

macro_rules! tests {
    ($place:ty) => {
        crate::each! { races, $place;
            of_two_hosts_that_regenerate_an_id_one_wins
            no_session_escapes_the_end_of_all_of_its_user_by_a_new_id
            no_session_escapes_the_end_of_the_others_by_a_new_id
            no_session_keeps_a_name_that_is_given_up_by_a_new_id
            of_two_sessions_that_end_each_other_one_stays
        }
    };
}
pub(crate) use tests;

const ROUNDS: u64 = 5;

pub(crate) fn of_two_hosts_that_regenerate_an_id_one_wins<P: Place>() {
    let hosts = Hosts::<P>::new();
    let stores = [hosts.host(), hosts.host()];
    for round in 0..ROUNDS {
        let session = stores[0].create_for_user("ann", round).unwrap();
        let won: Vec<_> = thread::scope(|scope| {
            let racing: Vec<_> = stores
                .iter()
                .map(|store| {
                    let mut session = session.clone();
                    scope.spawn(move || store.regenerate_id(&mut session).map(|()| session))
                })
                .collect();
            racing.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let ids: Vec<_> = won.iter().filter_map(|one| one.as_ref().ok()).collect();
        assert_eq!(ids.len(), 1, "{won:?}");
        assert!(stores[0].read(session.id()).unwrap().is_none());
        assert!(stores[1].destroy(ids[0].id()).unwrap());
    }
}

/// Runs `act` on one host while the user's sessions get new ids on others, again and again; returns
/// the store. Once `act` has returned, no session that it concerned gets another id.
fn while_ids_change<P: Place>(
    hosts: &Hosts<P>,
    user: &'static str,
    act: impl Fn(&SessionStore<u64>) -> u64,
) -> SessionStore<u64> {
    const SESSIONS: u64 = 4;
    let (store, over, mut concerned) = (hosts.host(), AtomicBool::new(false), 0);
    thread::scope(|scope| {
        for number in 0..SESSIONS {
            let (mut session, host) = (store.create_for_user(user, number).unwrap(), hosts.host());
            let over = &over;
            scope.spawn(move || {
                loop {
                    let is_over = over.load(Ordering::SeqCst);
                    match host.regenerate_id(&mut session) {
                        Ok(()) => assert!(!is_over, "{} has escaped", session.key()),
                        Err(Error::Gone { .. } | Error::Conflict { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(5));
        concerned = act(&store);
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(concerned, SESSIONS);
    store
}

pub(crate) fn no_session_escapes_the_end_of_all_of_its_user_by_a_new_id<P: Place>() {
    let hosts = Hosts::<P>::new();
    for _ in 0..ROUNDS {
        let store = while_ids_change(&hosts, "ann", |store| store.destroy_all_of("ann").unwrap());
        assert_eq!(store.len().unwrap(), 0);
    }
}

pub(crate) fn no_session_escapes_the_end_of_the_others_by_a_new_id<P: Place>() {
    let hosts = Hosts::<P>::new();
    let kept = hosts.host().create_for_user("ann", 9).unwrap();
    for _ in 0..ROUNDS {
        let store = while_ids_change(&hosts, "ann", |store| store.destroy_others(&kept).unwrap());
        let left = store.sessions_of("ann").unwrap();
        assert_eq!(left.iter().map(SessionInfo::key).collect::<Vec<_>>(), [kept.key()]);
    }
}

pub(crate) fn no_session_keeps_a_name_that_is_given_up_by_a_new_id<P: Place>() {
    let hosts = Hosts::<P>::new();
    for _ in 0..ROUNDS {
        let rename = |store: &SessionStore<u64>| store.rename_user("ann", "eve").unwrap();
        let store = while_ids_change(&hosts, "ann", rename);
        assert!(store.sessions_of("ann").unwrap().is_empty());
        assert_eq!(store.destroy_all_of("eve").unwrap(), 4);
    }
}

pub(crate) fn of_two_sessions_that_end_each_other_one_stays<P: Place>() {
    let hosts = Hosts::<P>::new();
    let stores = [hosts.host(), hosts.host()];
    for round in 0..ROUNDS {
        let sessions = stores.each_ref().map(|store| store.create_for_user("ann", round).unwrap());
        let ended: Vec<_> = thread::scope(|scope| {
            let pairs = stores.iter().zip(&sessions);
            let racing: Vec<_> =
                pairs.map(|(one, session)| scope.spawn(|| one.destroy_others(session))).collect();
            racing.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let won = ended.iter().filter(|one| matches!(one, Ok(1))).count();
        let gone = ended.iter().filter(|one| matches!(one, Err(Error::Gone { .. }))).count();
        assert_eq!((won, gone), (1, 1), "{ended:?}");
        assert_eq!(stores[0].destroy_all_of("ann").unwrap(), 1);
    }
}
