//! Tests that need the engine's internals: maps that contradict one another.

use super::*;
use crate::record::Parts;
use crate::session::user::UserId;
use crate::time::timeouts::OwnTimeouts;

fn record_of(user: &str) -> Record {
    let user = UserId::from(user).to_key().unwrap();
    let parts = Parts {
        user: Some(&user),
        csrf_token: None,
        own_timeouts: OwnTimeouts::default(),
        revision: 1,
        created_at: Timestamp::from_millis(1),
        last_active: Timestamp::from_millis(1),
        content_version: 0,
        content: &[],
    };
    Record::new(&parts, &Timeouts::default()).unwrap()
}

#[test]
fn a_check_names_each_way_in_which_the_maps_can_disagree() {
    let engine = MemoryEngine::default();
    let key = |number| SessionKey::from_bytes([number; 16]);
    let (ann, bob) = (UserId::from("ann"), UserId::from("bob"));
    let ann_key = ann.to_key().unwrap();
    let deadline = record_of("ann").index_deadline();
    let late = Timestamp::from_millis(deadline.as_millis() + 1);
    for number in 1..=4 {
        let inserted =
            engine.insert(&key(number), record_of("ann"), Moment::BEGINNING, Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    }
    engine
        .write(|tables| {
            tables.expiry.remove(&(deadline, key(1)));
            tables.users.remove(&(ann_key.clone(), key(2)));
            tables.put(key(3), record_of("ann").indexed_under(late));
            // Three stray entries: one without a session, one under another deadline, one under
            // another user.
            tables.expiry.insert((deadline, key(9)));
            tables.expiry.insert((late, key(4)));
            tables.users.insert((bob.to_key().unwrap(), key(4)));
        })
        .unwrap();

    let (mut found, mut records) = (Vec::new(), 0);
    let checked = engine
        .check(&Timeouts::default(), &mut |finding| {
            match finding {
                Finding::Problem(problem) => found.push(problem),
                Finding::Record(..) => records += 1,
            }
            Ok(())
        })
        .unwrap();
    let expected = [
        Problem::StrayInExpiry { key: key(9), deadline },
        Problem::StrayInExpiry { key: key(4), deadline: late },
        Problem::StrayInUsers { key: key(4), user: Some(bob) },
        Problem::NotInExpiry { key: key(1), deadline },
        Problem::NotInUsers { key: key(2), user: ann },
        Problem::LateInExpiry { key: key(3), indexed_under: late, deadline },
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(expected.iter().all(|problem| found.contains(problem)), "{found:#?}");
    assert_eq!((records, checked.expiry_entries, checked.user_entries), (4, 5, 4));
    // An entry without a session does not count as an expired session.
    assert_eq!(engine.count(Moment { now: deadline, timeouts: Timeouts::default() }).unwrap(), 2);
}
