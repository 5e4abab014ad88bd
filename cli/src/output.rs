//! Everything that is printed: text for people, JSON for programs, and nothing that a terminal
//! obeys.

use std::io;
use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::time::SystemTime;

use sessile::UserId;

use crate::arguments::Common;
use crate::when;

pub(crate) struct Output {
    out: BufWriter<Stdout>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    utc: bool,
}

impl Output {
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            json: common.json,
            quiet: common.quiet,
            utc: common.utc,
        }
    }

    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text.as_ref())
    }

    /// One document, on one line.
    pub(crate) fn document(&mut self, value: &serde_json::Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }

    /// The document where JSON is asked for, and else the text.
    pub(crate) fn either(
        &mut self,
        value: &serde_json::Value,
        text: impl AsRef<str>,
    ) -> io::Result<()> {
        match self.json {
            true => self.document(value),
            false => self.line(text),
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(crate) fn time(&self, time: SystemTime) -> String {
        when::shown(time, self.utc)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Something that is worth a look though the verb goes on.
pub(crate) fn warn(text: impl AsRef<str>) {
    eprintln!("sessile: {}", text.as_ref());
}

/// Asks on the terminal; `None` where there is none.
pub(crate) fn ask(question: &str) -> Option<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return None;
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// As it was given, in quotes where it could be taken for a number, and without what a terminal
/// obeys.
pub(crate) fn user(user: Option<&UserId>) -> String {
    match user.map(|user| (user.as_text(), user)) {
        None => "-".into(),
        Some((None, number)) => number.to_string(),
        Some((Some(text), _)) => {
            let looks_like_another = text.is_empty()
                || text == "-"
                || text.starts_with('"')
                || text.parse::<i128>().is_ok();
            match looks_like_another {
                true => format!("\"{}\"", plain(text)),
                false => plain(text),
            }
        }
    }
}

/// A number or a text.
pub(crate) fn user_as_json(user: Option<&UserId>) -> serde_json::Value {
    let Some(user) = user else { return serde_json::Value::Null };
    match (user.as_text(), user.to_string().parse::<u64>(), user.to_string().parse::<i64>()) {
        (Some(text), ..) => text.into(),
        (None, Ok(number), _) => number.into(),
        (None, _, Ok(number)) => number.into(),
        (None, ..) => serde_json::Value::Null,
    }
}

/// Text from a store, with every control character escaped.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|letter| match letter.is_control() || is_direction(letter) {
            true => letter.escape_unicode().collect::<Vec<_>>(),
            false => vec![letter],
        })
        .collect()
}

/// What makes a terminal show text in another order than it has.
const fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `1 session`, `2 sessions`.
pub(crate) fn sessions(count: u64) -> String {
    format!("{count} session{}", if count == 1 { "" } else { "s" })
}

pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, "bytes");
    for next in UNITS {
        if value < 1_024.0 {
            break;
        }
        (value, unit) = (value / 1_024.0, next);
    }
    match unit {
        "bytes" => format!("{count} bytes"),
        _ => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_apart_and_command_no_terminal() {
        let shown = |it: &UserId| user(Some(it));
        assert_eq!(shown(&42.into()), "42");
        assert_eq!(shown(&"42".into()), "\"42\"");
        assert_eq!(shown(&"ann".into()), "ann");
        assert_eq!(shown(&"\u{1b}[2J\n".into()), "\\u{1b}[2J\\u{a}");
        assert_eq!(user_as_json(Some(&u64::MAX.into())), u64::MAX);
        assert_eq!(user_as_json(Some(&(-1).into())), -1);
        assert_eq!(user_as_json(Some(&"42".into())), "42");
    }
}
