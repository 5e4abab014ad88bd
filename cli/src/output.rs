//! What the tool prints: text for people, JSON for programs, and from stored data no character that
//! a terminal obeys or does not show.

use std::io;
use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::path::Path;
use std::time::SystemTime;

use sessile::UserId;

use crate::arguments::{Common, number};
use crate::failure::Failure;
use crate::progress::{at_once, ensure_not_interrupted};
use crate::{secrets, when};

pub(crate) struct Output {
    out: BufWriter<Stdout>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    utc: bool,
    is_closed: bool,
}

impl Output {
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            json: common.json,
            quiet: common.quiet,
            utc: common.utc,
            is_closed: false,
        }
    }

    /// Prints a line. Nothing is printed any more once the reader has closed the output, which is no
    /// failure: the verb goes on to its exit code.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.unless_closed(|out| writeln!(out, "{}", text.as_ref()))
    }

    /// Prints one JSON document on one line.
    pub(crate) fn document(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        let document = serde_json::to_string(value)?;
        self.line(plain_json(&document))
    }

    /// Prints the document with `--json`, else the text.
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
        self.unless_closed(Write::flush)
    }

    /// Whether the reader has closed the output, so that an endless or long listing may end.
    pub(crate) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Notices that the reader has closed the output, also while there is nothing to print.
    pub(crate) fn look_for_reader(&mut self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let mut asked = [PollFd::new(self.out.get_ref(), PollFlags::empty())];
            let has_told = poll(&mut asked, Some(&Timespec::default())).is_ok();
            let gone = PollFlags::ERR | PollFlags::HUP;
            self.is_closed |= has_told && asked.iter().any(|it| it.revents().intersects(gone));
        }
    }

    fn unless_closed(
        &mut self,
        print: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        match print(&mut self.out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            printed => printed,
        }
    }

    pub(crate) fn time(&self, time: SystemTime) -> String {
        when::shown(time, self.utc).unwrap_or_else(|| "after the year 9999".into())
    }

    /// A time in RFC 3339, which has none after the year 9999.
    pub(crate) fn time_as_json(&self, time: SystemTime) -> Option<String> {
        when::shown(time, self.utc)
    }
}

/// For an archive, which is worth nothing if a part of it is missing: here a closed output is an
/// error.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Prints a line to the standard error, without session ids. Nobody can be told if that fails.
pub(crate) fn complain(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", secrets::without_ids(text.as_ref()));
}

/// Warns of a finding; the verb goes on.
pub(crate) fn warn(text: impl AsRef<str>) {
    complain(format!("sessile: {}", plain(text.as_ref())));
}

/// Asks on the terminal; `None` without a terminal. Ctrl-C ends the tool meanwhile.
pub(crate) fn ask(question: &str) -> Result<Option<bool>, Failure> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(None);
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    // A read that a signal interrupts begins again, so the handler itself ends the tool.
    let read = at_once(|| io::stdin().read_line(&mut answer))?;
    ensure_not_interrupted()?;
    Ok(read.ok().map(|_| matches!(answer.trim(), "y" | "Y" | "yes")))
}

/// A user as `--user` takes it: a text that looks like something else, or that a terminal would not
/// show as it is, is a JSON string.
pub(crate) fn user(user: Option<&UserId>) -> String {
    match user.map(|user| (user.as_text(), user)) {
        None => "-".into(),
        Some((None, number)) => number.to_string(),
        Some((Some(text), user)) => {
            let looks_like_another =
                text.is_empty() || text == "-" || text.starts_with('"') || number(text).is_some();
            match looks_like_another || text.trim() != text || plain(text) != text {
                true => plain_json(&user_as_json(Some(user)).to_string()),
                false => text.to_owned(),
            }
        }
    }
}

/// Adds a user to a JSON object: as it is, which a reader of JSON may round, and as `--user` takes
/// it. Without a user the second field is missing, so that no script names the user `null`.
pub(crate) fn add_user(user: Option<&UserId>, object: &mut serde_json::Value) {
    let Some(object) = object.as_object_mut() else { return };
    object.insert("user".into(), user_as_json(user));
    if user.is_some() {
        object.insert("user_argument".into(), self::user(user).into());
    }
}

/// A user as a JSON number or text; null for no user.
fn user_as_json(user: Option<&UserId>) -> serde_json::Value {
    match user.map(|user| (user.as_text(), user)) {
        None => serde_json::Value::Null,
        Some((Some(text), _)) => text.into(),
        Some((None, number)) => number_as_json(&number.to_string()),
    }
}

/// A number of up to 64 bits as a JSON number, a larger one as a text of its digits, since readers
/// of JSON would round it.
fn number_as_json(digits: &str) -> serde_json::Value {
    match (digits.parse::<u64>(), digits.parse::<i64>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) => number.into(),
        _ => digits.into(),
    }
}

/// A text from outside the tool, such as a path or stored data, with what is unseen escaped.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|letter| match is_unseen(letter) {
            true => letter.escape_unicode().collect::<Vec<_>>(),
            false => vec![letter],
        })
        .collect()
}

/// A JSON document with the same meaning, whose texts have what is unseen escaped. The document is
/// on one line: a line break between values becomes a space.
pub(crate) fn plain_json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for letter in document.chars() {
        match is_unseen(letter) {
            true if !in_text => shown.push(' '),
            true => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    shown.push_str(&format!("\\u{unit:04x}"));
                }
            }
            false => shown.push(letter),
        }
        in_text ^= letter == '"' && !is_escaped;
        is_escaped = in_text && letter == '\\' && !is_escaped;
    }
    shown
}

/// A text of several lines, each as [`plain`] shows it.
pub(crate) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// A path as the tool shows it, without session ids, with which a mistyped argument may be named.
pub(crate) fn path(path: &Path) -> String {
    secrets::without_ids(&plain(&path.display().to_string()))
}

/// Whether a terminal obeys a character, or shows nothing for it: a control character, a separator
/// of lines, or one that Unicode calls default ignorable. Such a one reorders the text around it,
/// or makes two users look the same.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// `1 page`, `2 pages`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

pub(crate) fn sessions(count: u64) -> String {
    counted(count, "session")
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
        "bytes" => counted(count, "byte"),
        _ => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_counted_as_one() {
        assert_eq!(counted(0, "unreadable page"), "0 unreadable pages");
        assert_eq!(counted(1, "unreadable page"), "1 unreadable page");
        assert_eq!(sessions(2), "2 sessions");
        assert_eq!([bytes(1), bytes(2), bytes(1_024)], ["1 byte", "2 bytes", "1.0 KiB"]);
    }

    #[test]
    fn users_are_told_apart_and_command_no_terminal() {
        let shown = |it: &UserId| user(Some(it));
        assert_eq!(shown(&42.into()), "42");
        assert_eq!(shown(&"42".into()), "\"42\"");
        for text in ["ann", "+4917612345", "007", "-0"] {
            assert_eq!(shown(&text.into()), text);
        }
        for text in ["ann smith", r"dom\ann", "a\"b"] {
            assert_eq!(shown(&text.into()), text);
        }
        assert_eq!(
            [" x", "x\u{a0}", "", "-"].map(|it| shown(&it.into())),
            ["\" x\"", "\"x\u{a0}\"", "\"\"", "\"-\""]
        );
        assert_eq!(shown(&"\"x".into()), r#""\"x""#);
        assert_eq!(shown(&"\u{1b}[2J\n".into()), r#""\u001b[2J\n""#);
        assert_eq!(user_as_json(Some(&u64::MAX.into())), u64::MAX);
        assert_eq!(user_as_json(Some(&(-1).into())), -1);
        assert_eq!(user_as_json(Some(&"42".into())), "42");
        let (above, below) = (u128::from(u64::MAX) + 1, i128::from(i64::MIN) - 1);
        assert_eq!(shown(&above.to_string().into()), "\"18446744073709551616\"");
        assert_eq!(shown(&u128::MAX.to_string().into()), format!("\"{}\"", u128::MAX));
        assert_eq!(user_as_json(Some(&above.into())), "18446744073709551616");
        assert_eq!(user_as_json(Some(&below.into())), "-9223372036854775809");
        assert_eq!(user_as_json(Some(&u128::MAX.into())), u128::MAX.to_string());
        assert_eq!(shown(&"\u{61c}\u{202e}".into()), r#""\u061c\u202e""#);
    }

    #[test]
    fn users_that_a_terminal_shows_alike_are_told_apart() {
        let shown = |it: &str| user(Some(&it.into()));
        for (text, expected) in [
            ("ann\u{200b}", r#""ann\u200b""#),
            ("\u{feff}ann", r#""\ufeffann""#),
            ("a\u{ad}n\u{200d}n", r#""a\u00adn\u200dn""#),
            ("ann\u{e0061}", r#""ann\udb40\udc61""#),
            ("ann\u{2028}bob", r#""ann\u2028bob""#),
        ] {
            assert_eq!(shown(text), expected);
            assert_eq!(serde_json::from_str::<String>(&shown(text)).unwrap(), text);
        }
        for text in ["änne", "安娜", "an\u{301}n", "\u{1f600}"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn json_commands_no_terminal_and_means_the_same() {
        let text = "ann \u{1b}\u{7f}\u{9b}\u{61c}\u{2066}\n\u{1f600}";
        let shown = plain_json(&serde_json::to_string(text).unwrap());
        assert_eq!(shown, "\"ann \\u001b\\u007f\\u009b\\u061c\\u2066\\n\u{1f600}\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        let shown = plain_json("{\n\t\"a\\\\\":\r\n\"\\\"\u{9b}\"}");
        assert_eq!(shown, "{  \"a\\\\\":  \"\\\"\\u009b\"}");
        assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok());
    }
}
