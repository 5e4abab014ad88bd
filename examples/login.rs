//! A login with a password: argon2, a CSRF token for the form, a new session with a new id.
//!
//! ```text
//! $ cargo run --example login
//! a wrong password: refused
//! the form of another site: refused
//! the right one: logged in as ann
//! the id from before the login: no session
//! after a second login: the first is no session
//! after the logout: no session
//! ```

use std::error::Error;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use sessile::web::csrf::{CsrfKey, StatelessCsrf};
use sessile::{Session, SessionId, SessionOptions, SessionStore};

/// A user, as the program stores it. The password itself is not stored.
struct Account {
    name: String,
    password_hash: String,
}

struct Site {
    account: Account,
    store: SessionStore<u32>,
    csrf: StatelessCsrf,
}

impl Site {
    /// POST /login: the id in the visitor's cookie, and the fields of the form.
    fn log_in(
        &self,
        visitor: &SessionId,
        form_token: &str,
        password: &str,
    ) -> Result<Option<Session<u32>>, Box<dyn Error>> {
        if !self.csrf.verify(visitor, form_token) {
            return Ok(None);
        }
        // The hash takes tens of milliseconds, and no session is held meanwhile.
        let hash = PasswordHash::new(&self.account.password_hash)?;
        if Argon2::default().verify_password(password.as_bytes(), &hash).is_err() {
            return Ok(None);
        }
        // The session is created at the login, so nobody can have planted its id.
        let options = SessionOptions::new().user(self.account.name.as_str()).csrf_token();
        // An earlier login of this visitor ends first, and so counts for no limit. An id without a
        // session costs no commit.
        self.store.destroy(visitor)?;
        Ok(Some(self.store.create_with(0, &options)?))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let password_hash = Argon2::default().hash_password(b"correct horse")?.to_string();
    let site = Site {
        account: Account { name: "ann".into(), password_hash },
        store: SessionStore::in_memory()?,
        csrf: StatelessCsrf::new(CsrfKey::generate()?),
    };

    // GET /login: the cookie gets an id without a session, and the form gets a token for that id.
    let visitor = SessionId::generate()?;
    let form_token = site.csrf.token(&visitor)?;

    if site.log_in(&visitor, &form_token, "guess")?.is_none() {
        println!("a wrong password: refused");
    }
    let stranger = site.csrf.token(&SessionId::generate()?)?;
    if site.log_in(&visitor, &stranger, "correct horse")?.is_none() {
        println!("the form of another site: refused");
    }
    let Some(session) = site.log_in(&visitor, &form_token, "correct horse")? else {
        return Err("the right password was refused".into());
    };
    let user = session.user().map(ToString::to_string).unwrap_or_default();
    println!("the right one: logged in as {user}");
    if site.store.read(&visitor)?.is_none() {
        println!("the id from before the login: no session");
    }

    // The same browser logs in again. Its cookie has the first session's id.
    let form_token = site.csrf.token(session.id())?;
    let Some(second) = site.log_in(session.id(), &form_token, "correct horse")? else {
        return Err("the right password was refused".into());
    };
    if site.store.read(session.id())?.is_none() {
        println!("after a second login: the first is no session");
    }

    site.store.destroy(second.id())?;
    if site.store.read(second.id())?.is_none() {
        println!("after the logout: no session");
    }
    Ok(())
}
