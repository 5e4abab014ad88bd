//! Sessions that had expired when an operator ended them.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::admin::{AdminSocket, RunningStore};
use sessile::testing::ManualClock;
use sessile::{EndReason, Event, Inspector, SessionKey, SessionOptions, SessionStore, Timeouts};

use super::by_hand::ByHand;
use super::folder;

type Told = Arc<Mutex<Vec<(SessionKey, EndReason)>>>;

#[test]
fn an_expired_session_is_told_and_not_counted_when_an_operator_ends_it() {
    let (_folder, path) = folder();
    let told = Told::default();
    let to = Arc::clone(&told);
    let observer = move |event: &Event| {
        if let Event::Ended { key, reason, .. } = event {
            to.lock().unwrap().push((*key, *reason));
        }
    };
    let clock = ManualClock::new();
    let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
    let store = builder.clock(clock.clone()).open(&path).unwrap();
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    let short = |user: &str| {
        let options = SessionOptions::new().user(user).inactivity(Duration::from_secs(1));
        store.create_with(1, &options).unwrap().key()
    };
    let own = store.create_for_user("ann", 1).unwrap();
    let live = store.create_for_user("ann", 1).unwrap();
    let anns = [short("ann"), short("ann")];
    let [bobs, eves] = ["bob", "eve"].map(short);
    clock.advance(Duration::from_secs(2));
    let gone = || std::mem::take(&mut *told.lock().unwrap());
    let expired = |key| (key, EndReason::Expired);

    let inspector = Inspector::on(RunningStore::beside(&path).unwrap()).unwrap();
    assert!(!inspector.revoke(&anns[0]).unwrap());
    assert_eq!(gone(), [expired(anns[0])]);
    assert_eq!(inspector.revoke_others(&own.key()).unwrap(), Some(1));
    let mut ended = gone();
    ended.sort_by_key(|(key, _)| *key == anns[1]);
    assert_eq!(ended, [(live.key(), EndReason::Others), expired(anns[1])]);
    assert_eq!(inspector.revoke_user("bob").unwrap(), 0);
    assert_eq!(gone(), [expired(bobs)]);

    let mut client = ByHand::connect(&AdminSocket::path_beside(&path));
    client.send(b"{\"call\":\"remove_user\",\"user\":{\"text\":\"eve\"}}\n");
    assert!(client.line().contains("hello"));
    let line = format!(r#"{{"ended":{{"key":"{eves}","user":{{"text":"eve"}},"expired":true}}}}"#);
    assert_eq!(client.line().trim_end(), line);
    assert_eq!(client.line().trim_end(), r#"{"done":{"ended":0}}"#);
    assert_eq!(gone(), [expired(eves)]);

    let anns = short("ann");
    clock.advance(Duration::from_secs(2));
    assert_eq!(store.clean_up_expired().unwrap(), 1, "only the last one is left");
    assert_eq!(gone(), [expired(anns)]);
}

#[test]
fn what_the_running_program_calls_absent_is_expired_through_the_door() {
    let (_folder, path) = folder();
    let clock = ManualClock::new();
    let open = |seconds| {
        let builder = SessionStore::<u32>::builder().manual_maintenance().clock(clock.clone());
        let timeouts = Timeouts::from_seconds(seconds, seconds).unwrap();
        builder.timeouts(timeouts).open(&path).unwrap()
    };
    let before = open(30 * 86_400);
    let key = before.create_for_user("ann", 1).unwrap().key();
    let on_record = before.timeouts();
    before.close().unwrap();

    let store = open(1);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    clock.advance(Duration::from_secs(2));
    let inspector = Inspector::on(RunningStore::beside(&path).unwrap()).unwrap();
    let overview = inspector.overview().unwrap();
    assert_eq!((overview.sessions, overview.expired), (store.len().unwrap(), 1));
    assert!(inspector.session(&key).unwrap().unwrap().is_expired());
    assert_eq!(inspector.timeouts_on_record(), Some(on_record), "shorter ones are adopted later");
    assert_eq!(inspector.sweep(&mut |_| ControlFlow::Continue(())).unwrap(), 0);
    assert!(inspector.session(&key).unwrap().is_some(), "and swept by later");
}

#[test]
fn an_expired_session_is_not_counted_when_an_operator_ends_it_in_the_file() {
    let (_folder, path) = folder();
    let builder = SessionStore::<u32>::builder().manual_maintenance();
    let store = builder.open(&path).unwrap();
    let short = || {
        let options = SessionOptions::new().user("ann").inactivity(Duration::from_millis(1));
        store.create_with(1, &options).unwrap().key()
    };
    let own = store.create_for_user("ann", 1).unwrap().key();
    let (one, _other) = (short(), short());
    store.close().unwrap();
    std::thread::sleep(Duration::from_millis(5));
    let inspector = Inspector::open(&path).unwrap();
    assert!(!inspector.revoke(&one).unwrap());
    assert_eq!(inspector.revoke_others(&own).unwrap(), Some(0));
    assert_eq!(inspector.overview().unwrap().expired, 0, "both are removed");
    assert_eq!(inspector.revoke_user("ann").unwrap(), 1);
}
