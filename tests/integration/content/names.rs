//! `content_name` over several releases: it can be changed, removed and rolled back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sessile::testing::ManualClock;
use sessile::{Builder, Error, MemoryEngine, SessionId, SessionStore};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cart {
    items: u32,
}

fn release() -> Builder<Cart> {
    SessionStore::builder().manual_maintenance()
}

/// Checks that a release opens the file and reads its session.
fn opens(release: Builder<Cart>, path: &Path, id: &SessionId) {
    let store = release.open(path).unwrap();
    assert_eq!(store.read(id).unwrap().unwrap().content(), &Cart { items: 1 });
    store.close().unwrap();
}

fn created(release: Builder<Cart>, path: &Path) -> SessionId {
    release.open(path).unwrap().create(Cart { items: 1 }).unwrap().id().clone()
}

#[test]
fn rolling_back_the_release_that_named_its_content_opens_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let id = created(release(), &path);
    opens(release().content_name("shop.cart"), &path, &id);
    opens(release(), &path, &id);
    opens(release().content_name("shop.cart"), &path, &id);
}

#[test]
fn a_program_that_is_renamed_can_rename_its_content_and_be_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let id = created(release().content_name("oldco.cart"), &path);
    let refused = release().content_name("newco.cart").open(&path).unwrap_err();
    assert!(matches!(refused, Error::ContentMismatch { .. }));
    let text = refused.to_string();
    assert!(text.contains("oldco.cart") && text.contains("rename_content"), "{text}");

    let renamed = || release().content_name("newco.cart").rename_content("oldco.cart");
    opens(renamed(), &path, &id);
    opens(renamed(), &path, &id);
    opens(release().content_name("newco.cart"), &path, &id);
    opens(release().content_name("oldco.cart"), &path, &id);
    assert!(release().content_name("another.cart").open(&path).is_err());
}

#[test]
fn a_file_that_holds_no_session_takes_another_name_and_keeps_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    release().content_name("oldco.cart").open(&path).unwrap().close().unwrap();
    let id = created(release().content_name("newco.cart"), &path);
    // An earlier release, with its name and its sessions, counts as the same program.
    opens(release().content_name("oldco.cart"), &path, &id);
    opens(release().content_name("newco.cart"), &path, &id);
    let other = release().content_name("blog.draft").open(&path).unwrap_err();
    assert!(matches!(other, Error::ContentMismatch { .. }), "there is a session in it");
    let store = release().open(&path).unwrap();
    assert!(store.destroy(&id).unwrap());
    store.close().unwrap();
    release().content_name("blog.draft").open(&path).unwrap();
}

#[test]
fn a_session_that_has_expired_and_was_not_swept_keeps_another_name_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let clock = ManualClock::new();
    let named = |name: &str| release().clock(clock.clone()).content_name(name);
    created(named("shop.cart"), &path);
    clock.advance(Duration::from_secs(365 * 86_400));
    assert!(named("blog.draft").open(&path).is_err());
    let store = named("shop.cart").open(&path).unwrap();
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    store.close().unwrap();
    named("blog.draft").open(&path).unwrap();
}

#[test]
fn a_store_that_others_may_use_keeps_its_name_though_it_is_empty() {
    let engine = Arc::new(MemoryEngine::new());
    let build = |name: &str| release().content_name(name).engine(Arc::clone(&engine)).build();
    let store = build("shop.cart").unwrap();
    let refused = build("blog.draft").unwrap_err();
    assert!(matches!(refused, Error::ContentMismatch { .. }), "{refused}");
    store.create(Cart { items: 1 }).unwrap();
}

#[test]
fn a_mistaken_name_can_be_mended_and_taken_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let id = created(release().content_name("shop.crat"), &path);
    opens(release().content_name("shop.cart").rename_content("shop.crat"), &path, &id);
    opens(release().rename_content("shop.cart"), &path, &id);
    opens(release().content_name("blog.draft"), &path, &id);
}

#[test]
fn a_name_that_cannot_be_kept_is_refused() {
    for name in ["", "a\0b", &"x".repeat(256)] {
        for (setting, builder) in [
            ("content_name", release().content_name(name)),
            ("rename_content", release().rename_content(name)),
        ] {
            let refused = builder.in_memory().unwrap_err();
            assert!(
                matches!(refused, Error::InvalidSetting { name, .. } if name == setting),
                "{refused}"
            );
        }
    }
}
