//! The text forms of a store, for a status page or a configuration file.

use std::time::Duration;

use serde_json::json;
use sessile::admin::{BackupReport, ExportReport, ImportReport, TransferReport};
use sessile::engine::Timestamp;
use sessile::{
    CheckReport, Durability, EndReason, Error, Event, MaintenanceTask, Problem, SalvageReport,
    SessionKey, SessionStore, Timeouts, UserLimit,
};

fn written(value: impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn a_check_is_a_line_for_a_machine_as_well() {
    let store = SessionStore::<u32>::in_memory().unwrap();
    store.create_for_user("ann", 1).unwrap();
    let expected = json!({
        "sessions": 1, "expired": 0, "expiry_entries": 1, "user_entries": 1,
        "problems": [], "problem_count": 0,
    });
    assert_eq!(written(store.check().unwrap()), expected);
    assert_eq!(written(CheckReport::default())["problem_count"], 0);
    assert_eq!(written(SalvageReport::default())["lost"], json!([]));
    assert!(written(store.stats().unwrap())["sessions"] == 1);
}

#[test]
fn a_line_of_a_listing_tells_everything_but_the_id_and_the_content() {
    let store = SessionStore::<String>::in_memory().unwrap();
    let session = store.create_for_user("ann", "hidden".into()).unwrap();
    let [line] = &store.sessions_of("ann").unwrap()[..] else { panic!("one session") };
    let millis = |at: std::time::SystemTime| {
        u64::try_from(at.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
    };
    let expected = json!({
        "key": session.key().to_string(),
        "user": "ann",
        "created_at_ms": millis(session.created_at()),
        "last_active_ms": millis(session.last_active()),
        "expires_at_ms": millis(session.expires_at()),
    });
    assert_eq!(written(line), expected);
}

#[test]
fn every_problem_names_its_kind_its_key_and_its_times() {
    let key = SessionKey::from_bytes([7; 16]);
    let (deadline, indexed_under) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
    let user = Some(u128::MAX.into());
    let problems = [
        (Problem::DamagedRecord { key, reason: "short" }, "damaged_record"),
        (Problem::UnreadableContent { key, detail: "d".into() }, "unreadable_content"),
        (Problem::NotInExpiry { key, deadline }, "not_in_expiry"),
        (Problem::LateInExpiry { key, indexed_under, deadline }, "late_in_expiry"),
        (Problem::StrayInExpiry { key, deadline }, "stray_in_expiry"),
        (Problem::NotInUsers { key, user: "ann".into() }, "not_in_users"),
        (Problem::StrayInUsers { key, user }, "stray_in_users"),
    ];
    for (problem, kind) in problems {
        let line = serde_json::to_string(&problem).unwrap();
        assert!(line.starts_with(&format!("{{\"problem\":\"{kind}\"")), "{line}");
        assert!(line.contains(&format!("\"key\":\"{key}\"")), "{line}");
        assert_eq!(line.contains("\"deadline_ms\":5"), kind.ends_with("expiry"), "{line}");
        assert_eq!(line.contains("\"indexed_under_ms\":9"), kind == "late_in_expiry", "{line}");
    }
}

#[test]
fn durability_and_limits_stand_in_configuration_files() {
    let interval = Duration::from_millis(200);
    for (value, text) in [
        (Durability::Immediate, json!("immediate")),
        (Durability::TwoPhase, json!("two_phase")),
        (Durability::Deferred { interval }, json!({ "deferred": { "interval_ms": 200 } })),
    ] {
        assert_eq!(written(value), text);
        assert_eq!(serde_json::from_value::<Durability>(text).unwrap(), value);
    }
    for (value, text) in [
        (UserLimit::Refuse, json!("refuse")),
        (UserLimit::EndLeastRecentlyActive, json!("end_least_recently_active")),
    ] {
        assert_eq!(written(value), text);
        assert_eq!(serde_json::from_value::<UserLimit>(text).unwrap(), value);
    }
    assert!(serde_json::from_value::<Durability>(json!("none")).is_err());
}

#[test]
fn an_event_is_its_name_and_its_fields_for_a_machine() {
    let (key, user) = (SessionKey::from_bytes([7; 16]), Some("ann".into()));
    let text = key.to_string();
    let (task, error) = (MaintenanceTask::Flush, Error::engine(std::io::Error::other("worn out")));
    let on_record = Timeouts::from_seconds(60, 3_600).unwrap();
    let (promised, waited) = (Duration::from_millis(5), Duration::from_millis(7));
    for (event, expected) in [
        (Event::Cleared, json!({ "event": "cleared" })),
        (
            Event::Ended { key, user, reason: EndReason::AllOfUser },
            json!({ "event": "ended", "key": text, "user": "ann", "reason": "all_of_user" }),
        ),
        (
            Event::PromiseMissed { promised, waited },
            json!({ "event": "promise_missed", "promised_ms": 5, "waited_ms": 7 }),
        ),
        (
            Event::LongerTimeoutsOnRecord { on_record },
            json!({
                "event": "longer_timeouts_on_record",
                "on_record": { "inactivity": 60, "absolute": 3_600 },
            }),
        ),
    ] {
        assert_eq!(written(event), expected);
    }
    let failed = written(Event::MaintenanceFailed { task, error });
    assert_eq!(
        (&failed["event"], &failed["task"]),
        (&json!("maintenance_failed"), &json!("flush"))
    );
    assert!(failed["error"].as_str().unwrap().ends_with(": worn out"), "{failed}");
}

#[test]
fn a_reason_and_a_task_are_written_as_their_names() {
    let reasons = [
        EndReason::Destroyed,
        EndReason::AllOfUser,
        EndReason::Others,
        EndReason::Expired,
        EndReason::OverUserLimit,
    ];
    for reason in reasons {
        assert_eq!((written(reason), &*reason.to_string()), (json!(reason.name()), reason.name()));
    }
    for task in [MaintenanceTask::Flush, MaintenanceTask::Sweep, MaintenanceTask::Engine] {
        assert_eq!((written(task), &*task.to_string()), (json!(task.name()), task.name()));
    }
}

#[test]
fn the_report_of_a_copy_is_a_line_for_a_machine() {
    let no_keys = json!({ "first": [], "count": 0 });
    assert_eq!(
        written(BackupReport::default()),
        json!({
            "sessions": 0, "left_out": 0, "unmatched_users": [], "damaged": no_keys, "bytes": 0,
        })
    );
    assert_eq!(written(ExportReport::default())["damaged"], no_keys);
    assert_eq!(written(TransferReport::default())["differing"], no_keys);
    let mut imported = ImportReport::default();
    assert_eq!(written(&imported)["fault"], json!(null));
    imported.fault = Some(Error::Closed);
    assert_eq!(written(&imported)["fault"], json!(Error::Closed.to_string()));
}
