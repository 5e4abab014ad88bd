//! "Remember me": a box at the login that gives one session its own timeouts.
//!
//! ```text
//! $ cargo run --example remember_me
//! before the login: 15 minutes
//! with the box ticked: 30 days, the cookie until then
//! at the next request: 30 days, the cookie until then
//! without it: 15 minutes, the cookie until the browser ends
//! ```

use std::error::Error;
use std::time::Duration;

use sessile::web::cookie::{CookieLifetime, SessionCookie};
use sessile::{Session, SessionStore};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Logs a user in: the session keeps its content and gets a new id, a user and, if the box is
/// ticked, its own timeouts.
fn log_in(store: &SessionStore<u32>, user: &str, remember: bool) -> sessile::Result<Session<u32>> {
    let mut session = store.create(0)?; // the visitor's, from before the login
    session.set_user(user);
    if remember {
        session.set_timeouts(30 * DAY, 30 * DAY)?;
    }
    store.regenerate_id(&mut session)?;
    Ok(session)
}

fn life(session: &Session<u32>) -> Result<String, Box<dyn Error>> {
    let life = session.expires_at().duration_since(session.created_at())?;
    Ok(match life >= DAY {
        true => format!("{} days", life.as_secs() / DAY.as_secs()),
        false => format!("{} minutes", life.as_secs() / 60),
    })
}

/// The cookie that the login and every later request set: with the box ticked, the session has its
/// own timeouts.
fn cookie(session: &Session<u32>) -> &'static str {
    let lifetime = match session.own_inactivity() {
        Some(_) => CookieLifetime::UntilExpiry,
        None => CookieLifetime::BrowserSession,
    };
    let set_cookie = SessionCookie::default().with_lifetime(lifetime).set(session);
    if set_cookie.contains("Max-Age") { "until then" } else { "until the browser ends" }
}

fn main() -> Result<(), Box<dyn Error>> {
    let store = SessionStore::in_memory()?;
    println!("before the login: {}", life(&store.create(0)?)?);

    let ticked = log_in(&store, "ann", true)?;
    println!("with the box ticked: {}, the cookie {}", life(&ticked)?, cookie(&ticked));
    let later = store.read_and_extend(ticked.id())?.ok_or("the session has ended")?;
    println!("at the next request: {}, the cookie {}", life(&later)?, cookie(&later));

    let plain = log_in(&store, "bob", false)?;
    println!("without it: {}, the cookie {}", life(&plain)?, cookie(&plain));
    Ok(())
}
