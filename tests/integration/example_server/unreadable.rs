//! A session whose content the server cannot read.

use sessile::SessionStore;

use super::{Server, scratch};

#[test]
fn a_browser_whose_session_cannot_be_read_logs_in_and_ends_it() {
    let (_folder, file) = scratch();
    let other = SessionStore::<u32>::open(&file).unwrap();
    let unreadable = other.create_for_user("ann", 7).unwrap();
    other.close().unwrap();
    let server = Server::start(&file);
    let mut ann = server.client();
    ann.cookie = Some(format!("sessile={}", unreadable.id().encode()));

    assert!(ann.get("/").goes_to("/login"));
    assert_eq!(ann.post("/click", &[("csrf", "a guess")]).status, 403);
    assert_eq!(ann.post("/login", &[("name", "eve"), ("csrf", "a guess")]).status, 403);
    let form = ann.get("/login").token();
    assert!(ann.post("/logout", &[("csrf", &form)]).goes_to("/login"));
    ann.log_in("ann");

    assert!(ann.is_logged_in());
    assert_eq!(ann.account().keys().len(), 1, "the login has ended the other session");
    drop(server);
    let store = SessionStore::<u32>::open(&file).unwrap();
    assert!(store.read(unreadable.id()).unwrap().is_none());
}
