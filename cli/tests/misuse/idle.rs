//! Sessions are chosen by how long they have been idle.

use sessile::{SessionStore, Timeouts};

use crate::{Store, TwoHoursAgo};

#[test]
fn idle_sessions_are_listed_and_end_and_others_stay() {
    let store = Store::of(0);
    let day = Timeouts::from_seconds(86_400, 86_400).unwrap();
    let builder = || SessionStore::<u64>::builder().timeouts(day).manual_maintenance();
    let path = store.path("both.redb");
    let earlier = builder().clock(TwoHoursAgo).open(&path).unwrap();
    let idle: Vec<_> = (0..3).map(|it| earlier.create(it).unwrap().key().to_string()).collect();
    earlier.close().unwrap();
    let later = builder().open(&path).unwrap();
    later.create(4).unwrap();
    later.close().unwrap();

    let listed = |least: &str| {
        let arguments = ["list", "both.redb", "--json", "--idle-for", least];
        let (out, _) = store.prints(0, &arguments);
        let key = |line: &str| {
            let session: serde_json::Value = serde_json::from_str(line).unwrap();
            session["key"].as_str().unwrap().to_owned()
        };
        let mut keys: Vec<_> = out.lines().map(key).collect();
        keys.sort();
        keys
    };
    let mut expected = idle;
    expected.sort();
    assert_eq!(listed("1h"), expected);
    assert_eq!(listed("3h"), Vec::<String>::new());
    assert_eq!(listed("0s").len(), 4);

    let revoke = |least: &str, more: &str| {
        let arguments = ["revoke", "both.redb", "--json", "--idle-for", least, more];
        store.json(0, &arguments)
    };
    assert_eq!(revoke("1h", "--dry-run")["would_end"], 3);
    assert_eq!(revoke("3h", "--yes")["ended"], 0);
    assert_eq!(revoke("1h", "--yes")["ended"], 3);
    assert_eq!(store.json(0, &["stats", "both.redb", "--json"])["sessions"], 1);
}
