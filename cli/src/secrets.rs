//! What the command line may hold and no message shows: the passwords in URLs, and session ids.

use std::cmp::Reverse;

use sessile::SessionId;

use crate::target::is_url;

/// What a message has in the place of a session id.
pub(crate) const ID: &str = "ID";

/// A message about a wrong command line without its URLs, and without what is nearly an id; and
/// whether it had such an id.
pub(crate) fn hidden(message: &str) -> (String, bool) {
    without(message, &arguments().collect::<Vec<_>>())
}

/// Any other message, which may name files, without what is a session id in the arguments.
pub(crate) fn without_ids(message: &str) -> String {
    arguments().fold(message.to_owned(), |message, argument| without_ids_of(&argument, message))
}

fn without_ids_of(argument: &str, message: String) -> String {
    let ids = runs(argument).filter(|run| SessionId::parse(run).is_ok());
    ids.fold(message, |message, id| message.replace(id, ID))
}

pub(crate) fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned())
}

/// The argument, or the value of a flag that has it behind `=`.
fn value(argument: &str) -> &str {
    match argument.split_once('=') {
        Some((flag, value)) if flag.starts_with('-') => value,
        _ => argument,
    }
}

fn without(message: &str, arguments: &[String]) -> (String, bool) {
    let mut secrets: Vec<_> = arguments.iter().flat_map(|argument| secrets(argument)).collect();
    // One may begin with another, which must not be replaced in it.
    secrets.sort_by_key(|(secret, _)| Reverse(secret.len()));
    let hide = |(shown, has_id): (String, bool), (secret, name): &(&str, &'static str)| {
        let is_there = *name == ID && shown.contains(secret);
        (shown.replace(secret, name), has_id || is_there)
    };
    secrets.iter().fold((message.to_owned(), false), hide)
}

/// The secrets in an argument, each with what stands in its place.
fn secrets(argument: &str) -> Vec<(&str, &'static str)> {
    let value = value(argument);
    match is_url(value) {
        true => vec![(value, "URL")],
        false => runs(argument).filter(|run| is_like_id(run)).map(|run| (run, ID)).collect(),
    }
}

/// The parts that consist of the characters of an id. A pair of a cookie has two.
fn runs(argument: &str) -> impl Iterator<Item = &str> {
    argument.split(|letter: char| !letter.is_ascii_alphanumeric() && !"-_".contains(letter))
}

/// Whether it is a session id, or may be one with a few characters too many or too few.
fn is_like_id(run: &str) -> bool {
    const MISSED: usize = 2;
    let has = |is: fn(&u8) -> bool| run.as_bytes().iter().any(is);
    let mixes_cases = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    SessionId::parse(run).is_ok() || mixes_cases && run.len() + MISSED >= SessionId::ENCODED_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_hidden_in_whatever_it_stands_and_a_key_a_flag_and_a_word_are_not() {
        let id = "q0Ykbz7Qm3rUXdVn-4f_Tg";
        let shown = |argument: &str| without(&format!("of '{argument}'"), &[argument.into()]);
        for (argument, expected) in [
            (id.into(), "of 'ID'"),
            (format!(" {id} "), "of ' ID '"),
            (format!("\"{id}\""), "of '\"ID\"'"),
            (format!("--after={id}"), "of '--after=ID'"),
            (format!("__Host-id={id}; Path=/"), "of '__Host-id=ID; Path=/'"),
            (format!("{id}x"), "of 'ID'"),
            (id[2..].into(), "of 'ID'"),
        ] {
            assert_eq!(shown(&argument), (expected.into(), true), "{argument}");
        }
        for argument in [id.into(), format!("--user={id}"), format!("__Host-id={id}; Path=/")] {
            let expected = argument.replace(id, "ID");
            assert_eq!(without_ids_of(&argument, argument.clone()), expected);
        }
        // A file may have a name of an id's letters and of another length.
        let file = format!("{id}x.redb");
        assert_eq!(without_ids_of(&file, file.clone()), file);
        let url = "redis://ann:hidden@127.0.0.1/IDS";
        assert_eq!(shown(url), ("of 'URL'".into(), false));
        let key = SessionId::parse(id).unwrap().key().to_string();
        for argument in [&key, "--with-content-and-everything", "sessions.redb", "Sessions"] {
            assert_eq!(shown(argument), (format!("of '{argument}'"), false));
        }
    }
}
