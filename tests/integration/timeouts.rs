//! Timeouts from code, from a configuration file, and from the environment.

use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use sessile::{Error, InvalidTimeouts, Timeouts};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn refused(result: sessile::Result<Timeouts>) -> InvalidTimeouts {
    match result {
        Err(Error::InvalidTimeouts(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_default_is_fifteen_minutes_and_seven_days() {
    let default = Timeouts::default();
    assert_eq!(default.inactivity(), seconds(15 * 60));
    assert_eq!(default.absolute(), seconds(7 * 24 * 60 * 60));
    let store: sessile::SessionStore = sessile::SessionStore::in_memory().unwrap();
    assert_eq!(store.timeouts(), default);
}

#[test]
fn code_gives_durations_or_seconds() {
    let timeouts = Timeouts::new(seconds(60), seconds(3_600)).unwrap();
    assert_eq!(timeouts, Timeouts::from_seconds(60, 3_600).unwrap());
    assert_eq!((timeouts.inactivity(), timeouts.absolute()), (seconds(60), seconds(3_600)));
    let cut = Timeouts::new(Duration::from_nanos(1_999_999), seconds(1)).unwrap();
    assert_eq!(cut.inactivity(), Duration::from_millis(1));
    assert!(Timeouts::new(seconds(60), seconds(60)).is_ok(), "equal is not greater");
}

#[test]
fn a_timeout_of_nothing_is_refused_wherever_it_comes_from() {
    let (nothing, less) = (Duration::ZERO, Duration::from_micros(999));
    for (inactivity, absolute) in [(nothing, nothing), (nothing, seconds(1)), (less, seconds(1))] {
        let why = refused(Timeouts::new(inactivity, absolute));
        assert!(matches!(why, InvalidTimeouts::Zero { .. }), "{why:?}");
    }
    assert!(matches!(refused(Timeouts::from_seconds(0, 60)), InvalidTimeouts::Zero { .. }));
    assert!(matches!(refused(Timeouts::from_seconds(0, 0)), InvalidTimeouts::Zero { .. }));
    assert!(toml::from_str::<Timeouts>("inactivity = 0").is_err());
    let store: sessile::SessionStore = sessile::SessionStore::in_memory().unwrap();
    let own = sessile::SessionOptions::new().inactivity(nothing);
    assert!(matches!(store.create_with(Default::default(), &own), Err(Error::InvalidTimeouts(_))));
}

#[test]
fn each_mistake_in_code_has_its_own_error() {
    assert_eq!(
        refused(Timeouts::from_seconds(-1, 60)),
        InvalidTimeouts::NegativeInactivity { seconds: -1 }
    );
    assert_eq!(
        refused(Timeouts::from_seconds(0, i64::MIN)),
        InvalidTimeouts::NegativeAbsolute { seconds: i64::MIN }
    );
    let reversed = InvalidTimeouts::InactivityExceedsAbsolute {
        inactivity: seconds(61),
        absolute: seconds(60),
    };
    assert_eq!(refused(Timeouts::from_seconds(61, 60)), reversed);
    assert_eq!(refused(Timeouts::new(seconds(61), seconds(60))), reversed);
    for endless in [
        Timeouts::new(seconds(1), Duration::MAX),
        Timeouts::new(Duration::MAX, Duration::MAX),
        Timeouts::from_seconds(1, i64::MAX),
    ] {
        assert!(matches!(refused(endless), InvalidTimeouts::PastTheEndOfTime { .. }));
    }
}

#[derive(Debug, Deserialize)]
struct Configuration {
    sessions: Timeouts,
}

fn from_toml(table: &str) -> Result<Timeouts, String> {
    let text = format!("[sessions]\n{table}\n");
    let parsed = toml::from_str(&text).map(|Configuration { sessions }| sessions);
    parsed.map_err(|error| error.to_string())
}

#[test]
fn a_configuration_file_gives_seconds() {
    let expected = Timeouts::from_seconds(1_800, 86_400).unwrap();
    assert_eq!(from_toml("inactivity = 1800\nabsolute = 86400"), Ok(expected));
    assert_eq!(from_toml(""), Ok(Timeouts::default()));
    let one = Timeouts::from_seconds(60, 7 * 86_400).unwrap();
    assert_eq!(from_toml("inactivity = 60"), Ok(one));
    let short = Timeouts::new(Duration::from_millis(1_500), seconds(60)).unwrap();
    assert_eq!(from_toml("inactivity = 1.5\nabsolute = 60"), Ok(short));
}

#[test]
fn each_mistake_in_a_configuration_file_is_named() {
    for (table, says) in [
        ("inactivity = -1", "inactivity timeout is -1 s"),
        ("absolute = -60", "absolute timeout is -60 s"),
        ("inactivity = 61\nabsolute = 60", "greater than the absolute timeout"),
        ("absolute = 60", "greater than the absolute timeout"),
        ("absolute = 9223372036854775807", "past the last moment"),
        ("inactivity = 1.0005", "seconds, with up to three decimals"),
        ("inactivity = -1.5", "inactivity timeout is -2 s"),
        ("inactivity = \"60\"", "invalid type: string"),
        ("inactivty = 60", "unknown field `inactivty`"),
    ] {
        let error = from_toml(table).unwrap_err();
        assert!(error.contains(says), "`{table}` says: {error}");
    }
}

/// The variable that tells a child process to print the timeouts of its environment.
const CHILD: &str = "SESSILE_TEST_PRINT_TIMEOUTS";
const PRINTED: &str = "timeouts from the environment: ";

/// Does its work in the child processes of the tests below. In the parent, whose environment sets
/// no timeouts, it tests the defaults.
#[test]
fn an_environment_without_timeouts_gives_the_defaults() {
    let timeouts = Timeouts::from_env();
    if std::env::var_os(CHILD).is_some() {
        println!("{PRINTED}{timeouts:?}");
    } else {
        assert_eq!(timeouts.unwrap(), Timeouts::default());
    }
}

/// The result of `Timeouts::from_env`, or its error, with the variables set like this.
fn with_environment(inactivity: Option<&str>, absolute: Option<&str>) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "timeouts::an_environment_without_timeouts_gives_the_defaults"]);
    child.args(["--nocapture"]).env(CHILD, "1");
    for (name, value) in
        [(Timeouts::INACTIVITY_VARIABLE, inactivity), (Timeouts::ABSOLUTE_VARIABLE, absolute)]
    {
        match value {
            Some(value) => child.env(name, value),
            None => child.env_remove(name),
        };
    }
    let output = child.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, printed) = text.split_once(PRINTED).expect("the child prints its timeouts");
    printed.lines().next().unwrap().into()
}

#[test]
fn the_environment_gives_seconds() {
    let shown = |inactivity, absolute| {
        format!("{:?}", Ok::<_, Error>(Timeouts::from_seconds(inactivity, absolute).unwrap()))
    };
    assert_eq!(Timeouts::INACTIVITY_VARIABLE, "SESSILE_INACTIVITY_SECONDS");
    assert_eq!(Timeouts::ABSOLUTE_VARIABLE, "SESSILE_ABSOLUTE_SECONDS");
    assert_eq!(with_environment(None, None), shown(900, 604_800));
    assert_eq!(with_environment(Some("60"), None), shown(60, 604_800));
    assert_eq!(with_environment(None, Some(" 900 ")), shown(900, 900));
    assert_eq!(with_environment(Some("1"), Some("3600")), shown(1, 3_600));
    assert!(with_environment(Some("0"), Some("3600")).contains("Zero"));
}

#[test]
fn each_mistake_in_the_environment_is_named() {
    for (inactivity, absolute, name, detail) in [
        (Some("-1"), None, "NegativeInactivity", "-1"),
        (None, Some("-2"), "NegativeAbsolute", "-2"),
        (Some("61"), Some("60"), "InactivityExceedsAbsolute", "61"),
        (None, Some("60"), "InactivityExceedsAbsolute", "900"),
        (Some("15m"), None, "NotANumber", "SESSILE_INACTIVITY_SECONDS"),
        (Some(""), None, "NotANumber", "SESSILE_INACTIVITY_SECONDS"),
        (None, Some("1e3"), "NotANumber", "SESSILE_ABSOLUTE_SECONDS"),
        (None, Some("9223372036854775808"), "NotANumber", "SESSILE_ABSOLUTE_SECONDS"),
        (None, Some("9223372036854775807"), "PastTheEndOfTime", "timeout"),
    ] {
        let printed = with_environment(inactivity, absolute);
        assert!(printed.starts_with("Err("), "{printed}");
        assert!(printed.contains(name) && printed.contains(detail), "{printed}");
    }
}

#[test]
fn a_session_tells_its_own_timeouts_at_every_read_and_none_of_the_stores() {
    let store = sessile::SessionStore::<u32>::in_memory().unwrap();
    let options = sessile::SessionOptions::new().inactivity(seconds(60));
    let mut session = store.create_with(1, &options).unwrap();
    let own = |session: &sessile::Session<u32>| (session.own_inactivity(), session.own_absolute());
    assert_eq!(own(&session), (Some(seconds(60)), None));
    session.set_timeouts(seconds(1), seconds(2)).unwrap();
    assert_eq!(own(&session), (Some(seconds(1)), Some(seconds(2))));
    assert_eq!(own(&store.read(session.id()).unwrap().unwrap()), (Some(seconds(60)), None));
    store.regenerate_id(&mut session).unwrap();
    let read = store.read_and_extend(session.id()).unwrap().unwrap();
    assert_eq!(own(&read), (Some(seconds(1)), Some(seconds(2))));
    session.clear_timeouts();
    store.update(&mut session).unwrap();
    assert_eq!(own(&store.read(session.id()).unwrap().unwrap()), (None, None));
}
