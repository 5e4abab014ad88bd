//! Owns the names of a store's content: which name opens the store, and how a new name replaces
//! another.
//!
//! Invariant: every name that the content ever had opens the store, until the names are removed. So
//! no later release locks an earlier one out. A file without records also takes any name: nothing
//! can be misread there, and no name may lock a program out. An empty store on a server keeps its
//! name, because other hosts may be about to create sessions. The shape in each record keeps
//! content of one type from being read as another; a name tells stores apart before anything is
//! read.

use std::ops::ControlFlow;

use crate::engine::contract::Engine;
use crate::error::{Error, Result};
use crate::store::core::meta::{CONTENT_NAME, SEPARATOR, rule_broken_by};

/// How many names a store keeps, the current one included.
const REMEMBERED: usize = 16;

/// The names of the content that a program gives.
pub(super) struct Names<'n> {
    pub(super) given: Option<&'n str>,
    pub(super) renamed: &'n [String],
    pub(super) users: Users,
}

/// The programs that may use the records while names are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Users {
    /// This program alone, which has locked the file.
    This,
    /// Other programs too, as on a server, where a store may stop being empty at any moment.
    PerhapsOthers,
}

/// Compares the program's name with the store's names, and stores a new one.
pub(super) fn agree_on_name(engine: &dyn Engine, names: &Names<'_>) -> Result<()> {
    let stored = match (engine.load_meta(CONTENT_NAME)?, names.given) {
        (Some(stored), _) => stored,
        // Another program may set a name at this moment: both go by the name that was stored first.
        (None, Some(name)) => engine.init_meta(CONTENT_NAME, name.as_bytes())?,
        (None, None) => return Ok(()),
    };
    let stored = String::from_utf8_lossy(&stored);
    let held: Vec<&str> = stored.split(SEPARATOR).filter(|name| !name.is_empty()).collect();
    let is_renamed = names.renamed.iter().any(|name| held.contains(&name.as_str()));
    let names = match names.given {
        Some(name) if held.contains(&name) => return Ok(()),
        Some(name) if held.is_empty() || is_renamed || is_vacant(engine, names.users)? => {
            [&[name], held.as_slice()].concat()
        }
        Some(name) => return Err(mismatch(name, &held)),
        None if is_renamed => Vec::new(),
        None => return Ok(()),
    };
    let kept = names.get(..REMEMBERED).unwrap_or(&names);
    engine.store_meta(CONTENT_NAME, kept.join("\0").as_bytes())
}

/// Whether there is no record, expired or damaged ones included, and nobody else can store one.
fn is_vacant(engine: &dyn Engine, users: Users) -> Result<bool> {
    let mut vacant = users == Users::This;
    if vacant {
        engine.scan(None, &mut |_, _| {
            vacant = false;
            Ok(ControlFlow::Break(()))
        })?;
    }
    Ok(vacant)
}

#[cold]
fn mismatch(name: &str, held: &[&str]) -> Error {
    let held = held.join("`, before that `");
    Error::ContentMismatch {
        detail: format!(
            "the store holds content named `{held}`, and `content_name` is `{name}`; if it is the \
             same content under a new name, say so with `rename_content`"
        ),
        source: None,
    }
}

/// Checks that a name can be stored.
pub(super) fn check(setting: &'static str, name: &str) -> Result<()> {
    rule_broken_by(name).map_or(Ok(()), |reason| Err(Error::setting(setting, reason)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::MemoryEngine;

    fn agree_on_name(engine: &MemoryEngine, given: Option<&str>, renamed: &[String]) -> Result<()> {
        super::agree_on_name(engine, &Names { given, renamed, users: Users::PerhapsOthers })
    }

    fn names(engine: &MemoryEngine) -> String {
        String::from_utf8(engine.load_meta(CONTENT_NAME).unwrap().unwrap_or_default()).unwrap()
    }

    fn renamed(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_opens_its_store_and_no_other_name_does() {
        let engine = MemoryEngine::new();
        agree_on_name(&engine, None, &[]).unwrap();
        assert_eq!(engine.load_meta(CONTENT_NAME).unwrap(), None, "nothing was named");
        agree_on_name(&engine, Some("cart"), &[]).unwrap();
        agree_on_name(&engine, Some("cart"), &[]).unwrap();
        for other in ["card", "car", "cart2"] {
            let refused = agree_on_name(&engine, Some(other), &renamed(&["cars"])).unwrap_err();
            assert!(matches!(refused, Error::ContentMismatch { .. }));
            let text = refused.to_string();
            assert!(text.contains("`cart`") && text.contains("rename_content"), "{text}");
        }
        assert_eq!(names(&engine), "cart");
    }

    /// An engine on which another program sets the name just after this one has looked.
    #[derive(Debug, Default)]
    struct Raced {
        inner: MemoryEngine,
        is_named: std::sync::atomic::AtomicBool,
    }

    impl Engine for Raced {
        fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
            let found = self.inner.load_meta(name)?;
            if !self.is_named.swap(true, std::sync::atomic::Ordering::SeqCst) {
                self.inner.store_meta(CONTENT_NAME, b"theirs")?;
            }
            Ok(found)
        }

        crate::forward_engine!(inner, but load_meta);
    }

    #[test]
    fn of_two_programs_that_name_a_new_store_one_is_refused() {
        for users in [Users::PerhapsOthers, Users::This] {
            let engine = Raced::default();
            engine.inner.scan(None, &mut |_, _| unreachable!("it is new")).unwrap();
            let names = Names { given: Some("ours"), renamed: &[], users };
            let agreed = super::agree_on_name(&engine, &names);
            let named = engine.inner.load_meta(CONTENT_NAME).unwrap().unwrap();
            match users {
                Users::PerhapsOthers => {
                    assert!(matches!(agreed, Err(Error::ContentMismatch { .. })), "{agreed:?}");
                    assert_eq!(named, b"theirs");
                }
                // Nobody else has the file, and it is empty, so it takes any name.
                Users::This => assert_eq!((agreed.is_ok(), named), (true, b"ours\0theirs".into())),
            }
        }
    }

    #[test]
    fn every_release_opens_a_store_that_later_ones_have_renamed() {
        let engine = MemoryEngine::new();
        agree_on_name(&engine, Some("first"), &[]).unwrap();
        agree_on_name(&engine, Some("second"), &renamed(&["first"])).unwrap();
        agree_on_name(&engine, Some("third"), &renamed(&["first", "second"])).unwrap();
        assert_eq!(names(&engine), "third\0second\0first");
        for release in [None, Some("first"), Some("second"), Some("third")] {
            agree_on_name(&engine, release, &[]).unwrap();
        }
        assert_eq!(names(&engine), "third\0second\0first", "a rollback renames nothing");
    }

    #[test]
    fn a_name_can_be_taken_off_and_another_one_given() {
        let engine = MemoryEngine::new();
        agree_on_name(&engine, Some("mistaken"), &[]).unwrap();
        agree_on_name(&engine, None, &renamed(&["another"])).unwrap();
        assert_eq!(names(&engine), "mistaken", "it was not the one that is there");
        agree_on_name(&engine, None, &renamed(&["mistaken"])).unwrap();
        assert_eq!(names(&engine), "");
        agree_on_name(&engine, Some("right"), &[]).unwrap();
        assert_eq!(names(&engine), "right");
    }

    #[test]
    fn no_more_than_sixteen_names_are_kept_and_the_oldest_goes() {
        let engine = MemoryEngine::new();
        let name = |number: usize| format!("name {number}");
        agree_on_name(&engine, Some(&name(0)), &[]).unwrap();
        for number in 1..=REMEMBERED {
            agree_on_name(&engine, Some(&name(number)), &[name(number - 1)]).unwrap();
        }
        assert!(agree_on_name(&engine, Some(&name(0)), &[]).is_err());
        agree_on_name(&engine, Some(&name(1)), &[]).unwrap();
        assert_eq!(names(&engine).split('\0').count(), REMEMBERED);
    }

    #[test]
    fn a_name_has_1_to_255_bytes_and_no_nul() {
        assert!(check("content_name", "a").is_ok());
        assert!(check("content_name", &"a".repeat(255)).is_ok());
        for refused in ["", &"a".repeat(256), "a\0b"] {
            let error = check("content_name", refused).unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { name: "content_name", .. }));
        }
    }
}
