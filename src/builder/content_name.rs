//! Owns the names of a store's content: which one opens it, and how one takes the place of another.
//!
//! Invariant: every name that the content ever had opens it, until the names are taken off. So no
//! release is locked out by a later one. A file in which nothing is stored takes any name besides:
//! nothing can be misread there, and nobody is to be locked out by a name. What keeps content of
//! one type from being read as another is the shape in each record; a name tells stores apart
//! before anything is read.

use std::ops::ControlFlow;

use crate::engine::contract::Engine;
use crate::error::{Error, Result};
use crate::store::core::meta::CONTENT_NAME;

/// Between two names; so no name may contain it.
const SEPARATOR: char = '\0';

/// How many names a store remembers, the current one included.
const REMEMBERED: usize = 16;

/// The longest name, in bytes.
const MAX_LEN: usize = 255;

/// The names of the content, as a program gives them.
pub(super) struct Names<'n> {
    pub(super) given: Option<&'n str>,
    pub(super) renamed: &'n [String],
    pub(super) users: Users,
}

/// Who may be at the records while names are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Users {
    /// Whoever opens alone: a file is locked.
    This,
    /// Others as well, as on a server, whose store is empty for a moment only.
    PerhapsOthers,
}

/// Compares the program's name with those that the store holds, and notes down what is new.
pub(super) fn settle(engine: &dyn Engine, names: &Names<'_>) -> Result<()> {
    let stored = match (engine.load_meta(CONTENT_NAME)?, names.given) {
        (Some(stored), _) => stored,
        // Another program may name it just now: both go by the name that is there then.
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

/// Whether not one record is there, expired or damaged ones included, and nobody is about to store
/// one.
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

/// Whether a name can be kept.
pub(super) fn check(setting: &'static str, name: &str) -> Result<()> {
    match name {
        "" => Err(Error::setting(setting, "must have 1 to 255 bytes")),
        name if name.len() > MAX_LEN => Err(Error::setting(setting, "must have 1 to 255 bytes")),
        name if name.contains(SEPARATOR) => Err(Error::setting(setting, "must not contain NUL")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::MemoryEngine;

    fn settle(engine: &MemoryEngine, given: Option<&str>, renamed: &[String]) -> Result<()> {
        super::settle(engine, &Names { given, renamed, users: Users::PerhapsOthers })
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
        settle(&engine, None, &[]).unwrap();
        assert_eq!(engine.load_meta(CONTENT_NAME).unwrap(), None, "nothing was named");
        settle(&engine, Some("cart"), &[]).unwrap();
        settle(&engine, Some("cart"), &[]).unwrap();
        for other in ["card", "car", "cart2"] {
            let refused = settle(&engine, Some(other), &renamed(&["cars"])).unwrap_err();
            assert!(matches!(refused, Error::ContentMismatch { .. }));
            let text = refused.to_string();
            assert!(text.contains("`cart`") && text.contains("rename_content"), "{text}");
        }
        assert_eq!(names(&engine), "cart");
    }

    /// An engine on which another program names the content just after this one has looked.
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
            let settled = super::settle(&engine, &names);
            let named = engine.inner.load_meta(CONTENT_NAME).unwrap().unwrap();
            match users {
                Users::PerhapsOthers => {
                    assert!(matches!(settled, Err(Error::ContentMismatch { .. })), "{settled:?}");
                    assert_eq!(named, b"theirs");
                }
                // Nobody else has the file, and it is empty: any name will do.
                Users::This => assert_eq!((settled.is_ok(), named), (true, b"ours\0theirs".into())),
            }
        }
    }

    #[test]
    fn every_release_opens_a_store_that_later_ones_have_renamed() {
        let engine = MemoryEngine::new();
        settle(&engine, Some("first"), &[]).unwrap();
        settle(&engine, Some("second"), &renamed(&["first"])).unwrap();
        settle(&engine, Some("third"), &renamed(&["first", "second"])).unwrap();
        assert_eq!(names(&engine), "third\0second\0first");
        for release in [None, Some("first"), Some("second"), Some("third")] {
            settle(&engine, release, &[]).unwrap();
        }
        assert_eq!(names(&engine), "third\0second\0first", "a rollback renames nothing");
    }

    #[test]
    fn a_name_can_be_taken_off_and_another_one_given() {
        let engine = MemoryEngine::new();
        settle(&engine, Some("mistaken"), &[]).unwrap();
        settle(&engine, None, &renamed(&["another"])).unwrap();
        assert_eq!(names(&engine), "mistaken", "it was not the one that is there");
        settle(&engine, None, &renamed(&["mistaken"])).unwrap();
        assert_eq!(names(&engine), "");
        settle(&engine, Some("right"), &[]).unwrap();
        assert_eq!(names(&engine), "right");
    }

    #[test]
    fn no_more_than_sixteen_names_are_kept_and_the_oldest_goes() {
        let engine = MemoryEngine::new();
        let name = |number: usize| format!("name {number}");
        settle(&engine, Some(&name(0)), &[]).unwrap();
        for number in 1..=REMEMBERED {
            settle(&engine, Some(&name(number)), &[name(number - 1)]).unwrap();
        }
        assert!(settle(&engine, Some(&name(0)), &[]).is_err());
        settle(&engine, Some(&name(1)), &[]).unwrap();
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
