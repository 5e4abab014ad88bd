//! Shows a path on one line of a log, whatever characters it has.

use std::fmt;
use std::fmt::Write;
use std::path::Path;

/// A path, as error texts show it: line breaks and other control characters are escaped.
pub(super) struct OneLine<'a>(pub(super) &'a Path);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.to_string_lossy().chars() {
            match letter.is_control() {
                true => write!(formatter, "{}", letter.escape_default())?,
                false => formatter.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_line_breaks_is_shown_on_one_line_and_any_other_as_it_is() {
        let shown = |path: &str| OneLine(Path::new(path)).to_string();
        assert_eq!(shown("/two\nlines\u{1b}[0m"), "/two\\nlines\\u{1b}[0m");
        assert_eq!(shown("/a b/\u{e9}\u{4e2d}.redb"), "/a b/\u{e9}\u{4e2d}.redb");
    }
}
