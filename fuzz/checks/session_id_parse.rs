//! What holds for any text that is read as an id or a key: each has one spelling, and there are two
//! errors, which hold no part of the text. Shared by the fuzz target and the test that replays its
//! corpus.

use sessile::{SessionId, SessionKey};

/// Bytes that are not UTF-8 are read as the text a careless program would make of them.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match SessionId::parse(&text) {
        Ok(id) => {
            assert_eq!(id.encode(), text, "an id has one spelling");
            assert!(!format!("{id:?}").contains(&*text), "Debug shows the id");
            assert_ne!(id.key().to_string(), text);
        }
        Err(error) => {
            // One of the two errors there are, whatever the text: nothing of it is repeated.
            let shown = |error: sessile::Error| format!("{error} {error:?}");
            let of = |text: &str| shown(SessionId::parse(text).expect_err("malformed"));
            let error = shown(error);
            assert!(error == of("") || error == of("AAAAAAAAAAAAAAAAAAAAAB"), "{error}");
        }
    }
    if let Ok(key) = text.parse::<SessionKey>() {
        assert_eq!(key.to_string(), text, "a key has one spelling");
        assert!(SessionId::parse(&text).is_err(), "a key is taken for an id");
    }
}
