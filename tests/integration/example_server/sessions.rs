//! A session once it is there: its clicks, its place in the list, and its end.

use std::time::Duration;

use sessile::SessionKey;

use super::{Server, example, scratch};

#[test]
fn concurrent_clicks_lose_none() {
    const THREADS: u64 = 8;
    const CLICKS: u64 = 10;
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let token = ann.account().token();

    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let (mut ann, token) = (ann.clone(), token.as_str());
            scope.spawn(move || {
                for _ in 0..CLICKS {
                    assert!(ann.post("/click", &[("csrf", token)]).goes_to("/"));
                }
            });
        }
    });

    assert_eq!(ann.account().clicks(), THREADS * CLICKS);
}

#[test]
fn one_session_ends_another_of_the_same_user() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut desktop = server.logged_in("ann");
    let mut phone = server.logged_in("ann");
    let key = phone.own_key();
    assert!(desktop.account().keys().contains(&key));

    assert!(desktop.submit("/end", &[("key", &key)]).goes_to("/"));

    assert!(!phone.is_logged_in());
    assert_eq!(desktop.account().keys().len(), 1);
    assert_eq!(desktop.submit("/end", &[("key", &key)]).status, 404);
}

#[test]
fn a_session_can_end_itself_from_the_list() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let mut copy = ann.clone();
    let key = ann.own_key();
    assert!(ann.submit("/end", &[("key", &key)]).goes_to("/login"));
    assert_eq!(ann.cookie, None);
    assert!(!copy.is_logged_in());
}

#[test]
fn somebody_elses_session_cannot_be_ended() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let mut eve = server.logged_in("eve");
    let key = ann.own_key();
    assert!(key.parse::<SessionKey>().is_ok());

    assert_eq!(eve.submit("/end", &[("key", &key)]).status, 404);
    assert_eq!(eve.submit("/end", &[("key", "nonsense")]).status, 404);
    assert_eq!(eve.submit("/end", &[]).status, 404);

    assert!(ann.is_logged_in());
    assert!(!eve.account().keys().contains(&key));
}

#[test]
fn logging_out_everywhere_else_spares_this_session_and_other_users() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut here = server.logged_in("ann");
    let mut elsewhere = [server.logged_in("ann"), server.logged_in("ann")];
    let mut bob = server.logged_in("bob");

    assert!(here.submit("/end-others", &[]).goes_to("/"));

    assert!(elsewhere.iter_mut().all(|client| !client.is_logged_in()));
    assert_eq!(here.account().keys().len(), 1);
    assert!(bob.is_logged_in());
}

#[test]
fn a_logout_is_final() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let mut copy = ann.clone();
    let token = ann.account().token();

    let reply = ann.submit("/logout", &[]);

    assert!(reply.goes_to("/login"));
    assert!(reply.header("Set-Cookie").unwrap().ends_with("; Max-Age=0"));
    assert!(!copy.is_logged_in());
    assert_eq!(copy.post("/click", &[("csrf", &token)]).status, 403);
    drop(server);
    let server = Server::start(&file);
    copy.address.clone_from(&server.address);
    assert!(!copy.is_logged_in());
}

#[test]
fn an_idle_session_is_shown_the_login_form() {
    let (_folder, file) = scratch();
    let mut command = example();
    command.arg("0").arg(&file).env("SESSILE_INACTIVITY_SECONDS", "2");
    let server = Server::spawn(&mut command);
    let mut ann = server.logged_in("ann");
    assert!(ann.is_logged_in());
    std::thread::sleep(Duration::from_millis(2_100));
    assert!(!ann.is_logged_in());
}
