//! The lifetime of the cookie in the browser.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::testing::ManualClock;
use sessile::web::cookie::{CookieLifetime, SessionCookie};
use sessile::{Clock, Session, SessionOptions, SessionStore};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Setup {
    clock: ManualClock,
    cookie: SessionCookie,
}

impl Setup {
    fn new() -> Self {
        let clock = ManualClock::new();
        let cookie = SessionCookie::builder()
            .lifetime(CookieLifetime::UntilExpiry)
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { clock, cookie }
    }

    fn store(&self) -> SessionStore<u32> {
        let builder = SessionStore::builder().clock(self.clock.clone());
        builder.manual_maintenance().in_memory().unwrap()
    }

    /// A session with this lifetime.
    fn session(&self, lifetime: Duration) -> Session<u32> {
        let options = SessionOptions::new().inactivity(lifetime).absolute(lifetime);
        self.store().create_with(1, &options).unwrap()
    }

    /// The part of `Set-Cookie` about the lifetime.
    fn lifetime_of(&self, session: &Session<u32>) -> String {
        let set = self.cookie.set(session);
        set.split_once("; Path=/").unwrap().1.trim_start_matches("; ").into()
    }
}

#[test]
fn a_cookie_for_a_browser_session_has_no_end() {
    let setup = Setup::new();
    let session = setup.session(DAY);
    let cookie = setup.cookie.clone().with_lifetime(CookieLifetime::BrowserSession);
    for set in
        [cookie.set(&session), cookie.set_id(session.id()), setup.cookie.set_id(session.id())]
    {
        assert!(!set.contains("Max-Age") && !set.contains("Expires"), "{set}");
    }
    // Whatever the clock shows: the store checks the session's end.
    setup.clock.advance(2 * DAY);
    assert!(cookie.set(&session).contains(&session.id().encode()));
}

#[test]
fn a_cookie_lives_as_long_as_its_session_and_no_shorter() {
    let setup = Setup::new();
    let session = setup.session(DAY);
    assert_eq!(setup.lifetime_of(&session), "Max-Age=86400");
    setup.clock.advance(Duration::from_secs(60));
    assert_eq!(setup.lifetime_of(&session), "Max-Age=86340");

    // Parts of a second are rounded up.
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!(setup.lifetime_of(&session), "Max-Age=86340");
    setup.clock.advance(Duration::from_millis(999));
    assert_eq!(setup.lifetime_of(&session), "Max-Age=86339");
    assert_eq!(setup.lifetime_of(&setup.session(Duration::from_millis(500))), "Max-Age=1");
}

#[test]
fn an_extension_shows_once_the_cookie_is_set_again() {
    let setup = Setup::new();
    let store = setup.store();
    let session = store.create(1).unwrap();
    assert_eq!(setup.lifetime_of(&session), "Max-Age=900");
    setup.clock.advance(Duration::from_secs(300));
    assert_eq!(setup.lifetime_of(&session), "Max-Age=600");
    let session = store.read_and_extend(session.id()).unwrap().unwrap();
    assert_eq!(setup.lifetime_of(&session), "Max-Age=900");
}

#[test]
fn an_expired_session_gives_no_cookie_but_takes_it_away() {
    let setup = Setup::new();
    let session = setup.session(DAY);
    setup.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(setup.lifetime_of(&session), "Max-Age=1");
    for _ in 0..2 {
        setup.clock.advance(Duration::from_millis(1));
        assert_eq!(setup.cookie.set(&session), setup.cookie.clear());
    }
    assert!(!setup.cookie.set(&session).contains(&session.id().encode()));
}

#[test]
fn no_cookie_is_kept_longer_than_400_days() {
    let setup = Setup::new();
    let most = Duration::from_secs(SessionCookie::MAX_AGE_SECONDS);
    assert_eq!(most, 400 * DAY);
    for lifetime in [most, most + Duration::from_millis(1), 100_000 * DAY, (1 << 30) * DAY] {
        let session = setup.session(lifetime);
        assert_eq!(setup.lifetime_of(&session), "Max-Age=34560000", "{lifetime:?}");
    }
    let shorter = setup.session(most - Duration::from_secs(1));
    assert_eq!(setup.lifetime_of(&shorter), "Max-Age=34559999");
}

/// A clock that shows one moment, of any value that the operating system can give.
#[derive(Clone, Copy, Debug)]
struct Fixed(SystemTime);

impl Clock for Fixed {
    fn now(&self) -> SystemTime {
        self.0
    }
}

#[test]
fn a_clock_out_of_range_makes_no_panic() {
    let setup = Setup::new();
    let session = setup.session(DAY);
    let at = |now| {
        let builder = SessionCookie::builder().lifetime(CookieLifetime::UntilExpiry);
        builder.clock(Fixed(now)).build().unwrap().set(&session)
    };
    let furthest = |step: fn(SystemTime, Duration) -> Option<SystemTime>| {
        let seconds = (0..63).rev().map(|shift| Duration::from_secs(1 << shift));
        seconds.fold(UNIX_EPOCH, |at, by| step(at, by).unwrap_or(at))
    };
    for early in [UNIX_EPOCH - 500 * DAY, furthest(|at, by| at.checked_sub(by))] {
        assert!(at(early).ends_with("; Max-Age=34560000"));
    }
    for late in [UNIX_EPOCH + 3_663_000 * DAY, furthest(|at, by| at.checked_add(by))] {
        assert_eq!(at(late), setup.cookie.clear());
    }
    // The year 11476.
    setup.clock.set_millis(300_000_000_000_000);
    assert_eq!(setup.lifetime_of(&setup.session(DAY)), "Max-Age=86400");
}
