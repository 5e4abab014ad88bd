//! Forms and logins: whose session a form belongs to, and when a session begins.

use std::path::Path;

use sessile::SessionStore;

use super::{Server, scratch};

/// The number of sessions in the server's file, which the test opens once the server has ended.
fn sessions_in(file: &Path) -> u64 {
    let store = SessionStore::<u64>::builder().content_name("sessile's example server");
    store.open(file).unwrap().len().unwrap()
}

#[test]
fn login_shows_the_name() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let page = server.logged_in("Ann Ång").account();
    assert!(page.body.contains(r#"<span id="user">Ann Ång</span>"#));
    assert!(page.body.contains(" UTC</time>"));
    assert_eq!(page.keys().len(), 1);
}

#[test]
fn login_changes_the_cookie_and_the_old_one_is_dead() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut victim = server.client();
    let form = victim.get("/login");
    let mut attacker = victim.clone();

    assert!(victim.post("/login", &[("name", "ann"), ("csrf", &form.token())]).goes_to("/"));

    assert_ne!(victim.cookie, attacker.cookie);
    assert!(!attacker.is_logged_in());
    assert!(victim.is_logged_in());
    // The token from before the login is also invalid.
    assert_eq!(victim.post("/click", &[("csrf", &form.token())]).status, 403);
}

#[test]
fn a_form_without_its_sessions_token_is_refused_and_changes_nothing() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let mut other = server.logged_in("ann");
    let before = ann.account();
    let foreign = other.account().token();
    let key = other.own_key();
    let garbled = before.token().to_lowercase();

    for path in ["/click", "/end", "/end-others", "/logout", "/login"] {
        let name_and_key = [("name", "eve"), ("key", key.as_str())];
        assert_eq!(ann.post(path, &name_and_key).status, 403, "{path} without a token");
        for wrong in ["", "AAAAAAAAAAAAAAAAAAAAAA", &foreign, &garbled] {
            let fields = [&name_and_key[..], &[("csrf", wrong)]].concat();
            assert_eq!(ann.post(path, &fields).status, 403, "{path} with {wrong:?}");
            let without_session = server.client().post(path, &fields);
            assert_eq!(without_session.status, 403, "{path} with {wrong:?} and no cookie");
        }
    }

    let mut anonymous = server.client();
    anonymous.get("/login");
    assert_eq!(anonymous.post("/login", &[("name", "eve"), ("csrf", &foreign)]).status, 403);
    assert!(!anonymous.is_logged_in());

    let after = ann.account();
    assert!(after.body.contains(r#"<span id="user">ann</span>"#));
    assert_eq!((after.clicks(), after.token()), (0, before.token()));
    assert!(other.is_logged_in());
}

#[test]
fn a_second_login_does_not_take_over_a_session() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    assert!(ann.get("/login").goes_to("/"));
    assert!(ann.submit("/login", &[("name", "eve")]).goes_to("/"));
    assert!(ann.account().body.contains(r#"<span id="user">ann</span>"#));
}

#[test]
fn a_form_of_a_session_without_a_user_does_nothing_but_log_in() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut anonymous = server.client();
    let token = anonymous.get("/login").token();
    for path in ["/click", "/end", "/end-others", "/logout"] {
        assert!(anonymous.post(path, &[("csrf", &token)]).goes_to("/login"), "{path}");
    }
    for name in ["", "  ", &"x".repeat(256)] {
        let reply = anonymous.post("/login", &[("name", name), ("csrf", &token)]);
        assert_eq!(reply.status, 400, "{name:?}");
    }
    assert!(anonymous.post("/login", &[("name", "ann"), ("csrf", &token)]).goes_to("/"));
}

#[test]
fn only_a_login_creates_a_session() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    for (method, path) in
        [("GET", "/"), ("GET", "/style.css"), ("GET", "/nowhere"), ("POST", "/login")]
    {
        assert_eq!(server.client().send(method, path, "").header("Set-Cookie"), None);
    }
    let mut client = server.client();
    assert!(client.get("/login").header("Set-Cookie").is_some());
    let again = client.get("/login");
    assert_eq!(again.header("Set-Cookie"), None, "it is kept");
    for wrong in [&[("name", "ann")][..], &[("name", ""), ("csrf", &again.token())]] {
        assert!(matches!(client.post("/login", wrong).status, 400 | 403));
    }
    server.kill();
    assert_eq!(sessions_in(&file), 0, "the form is shown for nothing");

    let server = Server::start(&file);
    server.logged_in("ann");
    server.kill();
    assert_eq!(sessions_in(&file), 1);
}

#[test]
fn login_forms_in_two_tabs_both_work_and_are_nobody_elses() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.client();
    let (first, second) = (ann.get("/login").token(), ann.get("/login").token());
    // A token that another site obtained fits only its own cookie.
    let eves = server.client().get("/login").token();
    assert_eq!(ann.post("/login", &[("name", "eve"), ("csrf", &eves)]).status, 403);
    for token in [&first, &second] {
        assert!(ann.clone().post("/login", &[("name", "ann"), ("csrf", token)]).goes_to("/"));
    }
    // The token of the login form is not valid in the new session.
    assert!(ann.post("/login", &[("name", "ann"), ("csrf", &first)]).goes_to("/"));
    assert_eq!(ann.post("/click", &[("csrf", &second)]).status, 403);
}

#[test]
fn a_login_form_from_before_a_restart_is_loaded_again_and_works() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.client();
    let stale = ann.get("/login").token();
    assert_eq!(server.kill(), "");

    let server = Server::start(&file);
    ann.address.clone_from(&server.address);
    assert_eq!(ann.post("/login", &[("name", "ann"), ("csrf", &stale)]).status, 403);
    ann.log_in("ann");
    assert!(ann.is_logged_in());
}
