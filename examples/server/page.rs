//! The pages, as HTML. Every text from a user goes through [`escaped`].

use std::time::SystemTime;

use jiff::Timestamp;
use sessile::{Session, SessionInfo, UserId};

use crate::site::Visit;

pub(crate) fn login(token: &str) -> String {
    let csrf = hidden_token(token);
    layout(
        "Log in",
        &format!(
            r#"<h1>Log in</h1>
<form method="post" action="/login" class="card">
{csrf}
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" maxlength="100" required autofocus>
<p class="hint">Any name will do: this is a demonstration, there are no passwords.</p>
<button class="primary">Log in</button>
</form>"#
        ),
    )
}

pub(crate) fn account(user: &UserId, session: &Session<Visit>, sessions: &[SessionInfo]) -> String {
    let name = escaped(&user.to_string());
    let csrf = csrf_field(session);
    let since = time(session.created_at());
    let until = time(session.expires_at());
    let clicks = session.content().clicks;
    let count = sessions.len();
    let items: String = sessions.iter().map(|info| item(info, session)).collect();
    let end_others = if count > 1 {
        format!(
            r#"<form method="post" action="/end-others">{csrf}
<button>Log out everywhere else</button></form>"#
        )
    } else {
        String::new()
    };
    layout(
        &format!("Logged in as {name}"),
        &format!(
            r#"<header>
<h1>Hello, <span id="user">{name}</span></h1>
<form method="post" action="/logout">{csrf}<button>Log out</button></form>
</header>
<dl class="card">
<div><dt>Session since</dt><dd>{since}</dd></div>
<div><dt>Ends, unless you return before</dt><dd>{until}</dd></div>
</dl>
<section class="card counter" aria-labelledby="counter">
<h2 id="counter">Your counter</h2>
<p><output id="clicks">{clicks}</output></p>
<form method="post" action="/click">{csrf}
<button class="primary">Add one</button></form>
<p class="hint">Kept in the session. It survives a killed server.</p>
</section>
<section aria-labelledby="sessions">
<h2 id="sessions">Where you are logged in</h2>
<ul class="sessions">
{items}</ul>
{end_others}
</section>"#
        ),
    )
}

pub(crate) fn message(title: &str, text: &str) -> String {
    layout(
        title,
        &format!(r#"<h1>{title}</h1><p>{text}</p><p><a href="/">Back to the start</a></p>"#),
    )
}

/// One line of the session list. The key is no secret: it names the session and gives no login.
fn item(info: &SessionInfo, session: &Session<Visit>) -> String {
    let csrf = csrf_field(session);
    let key = info.key();
    let created = time(info.created_at());
    let active = time(info.last_active());
    let this = if key == session.key() { r#"<strong>This browser</strong>"# } else { "" };
    format!(
        r#"<li class="card">
<div>{this}
<p>Created {created}</p>
<p>Last active {active}</p>
</div>
<form method="post" action="/end">{csrf}
<input type="hidden" name="key" value="{key}">
<button aria-label="End the session created {label}">End</button></form>
</li>
"#,
        label = utc(info.created_at()),
    )
}

/// The session's token as a hidden field. Every session of this server has a token; a form without
/// one is refused.
fn csrf_field(session: &Session<Visit>) -> String {
    hidden_token(&session.csrf_token().map(|token| token.encode()).unwrap_or_default())
}

/// A hidden field with a token. Tokens need no escaping.
fn hidden_token(token: &str) -> String {
    format!(r#"<input type="hidden" name="csrf" value="{token}">"#)
}

fn time(at: SystemTime) -> String {
    format!("<time>{}</time>", utc(at))
}

fn utc(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(
        |_| "later than the year 9999".into(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Escapes a text for HTML, between tags and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

fn layout(title: &str, main: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
{main}
</main>
</body>
</html>
"#
    )
}
