//! HTML. Every text from a client is escaped.

use std::fmt::Write as _;
use std::time::SystemTime;

use sessile::{Json, Session, SessionByKey};

use crate::Notes;

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

fn page(body: &str) -> String {
    format!("<!doctype html><meta charset=utf-8><title>Notes</title>{body}")
}

/// A form with one button and the CSRF token that every form needs.
fn form(action: &str, token: &str, fields: &str, button: &str) -> String {
    let token = escaped(token);
    format!(
        "<form method=post action=\"{action}\"><input type=hidden name=token value=\"{token}\">\
         {fields}<button>{button}</button></form>"
    )
}

fn token_of(session: &Session<Json<Notes>>) -> String {
    session.csrf_token().map(|token| token.encode()).unwrap_or_default()
}

pub(crate) fn login(token: &str) -> String {
    page(&form("/login", token, "<input name=name required autofocus>", "Log in"))
}

pub(crate) fn home(session: &Session<Json<Notes>>) -> String {
    let name = session.user().map(ToString::to_string).unwrap_or_default();
    let token = token_of(session);
    let mut body =
        format!("<p>Hello, {}. <a href=/devices>Your devices</a></p><ul>", escaped(&name));
    for note in &session.content().notes {
        body += &format!("<li>{}</li>", escaped(note));
    }
    body += "</ul>";
    body += &form("/note", &token, "<input name=note required>", "Add");
    body += &form("/logout", &token, "", "Log out");
    page(&body)
}

pub(crate) fn devices(
    session: &Session<Json<Notes>>,
    all: &[SessionByKey<sessile::Result<Json<Notes>>>],
) -> String {
    let token = token_of(session);
    let mut body = String::from("<h1>Your devices</h1>");
    for device in all {
        let info = device.info();
        let content = device.content().as_ref();
        let browser = content.map_or("unknown".into(), |content| escaped(&content.browser));
        let address = content.ok().and_then(|content| content.address);
        let address = address.map(|from| format!(" from {from}")).unwrap_or_default();
        let idle = SystemTime::now().duration_since(info.last_active()).unwrap_or_default();
        let here = if info.key() == session.key() { " (this one)" } else { "" };
        let key = format!("<input type=hidden name=key value={}>", info.key());
        let _ = write!(body, "<p>{browser}{address}, active {} s ago{here}</p>", idle.as_secs());
        body += &form("/devices/end", &token, &key, "End");
    }
    page(&body)
}
