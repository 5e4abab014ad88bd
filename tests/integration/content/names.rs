//! `content_name` over releases: it can be changed, taken off and rolled back.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sessile::{Builder, Error, SessionId, SessionStore};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cart {
    items: u32,
}

fn release() -> Builder<Cart> {
    SessionStore::builder().manual_maintenance()
}

/// Shows that a release opens the file and reads what is in it.
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
