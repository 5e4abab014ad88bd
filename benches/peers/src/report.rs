//! The table for the terminal and the list for `target/peers.json`.

use std::path::Path;

use serde::Serialize;

use crate::session::Outcome;

/// One result. A result that is not a time, as of lines l and m, has only `ratio` and its two ends.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub operation: String,
    pub sessions: u64,
    pub threads: usize,
    pub ours_ns: Option<f64>,
    pub peer: Option<String>,
    pub peer_ns: Option<f64>,
    pub ratio: Option<f64>,
    pub ratio_min: Option<f64>,
    pub ratio_max: Option<f64>,
    pub line: Option<char>,
}

/// A time in the unit that gives a short number.
pub fn time_in_words(nanoseconds: f64) -> String {
    match nanoseconds {
        time if time < 1e3 => format!("{time:.0} ns"),
        time if time < 1e6 => format!("{:.2} us", time / 1e3),
        time if time < 1e9 => format!("{:.2} ms", time / 1e6),
        time => format!("{:.2} s", time / 1e9),
    }
}

impl Row {
    /// The row as a line of the table.
    pub fn line_of_text(&self) -> String {
        let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), time_in_words);
        let number = |number: Option<f64>| match number {
            None => "-".to_owned(),
            Some(number) if number < 0.1 => format!("{number:.5}"),
            Some(number) if number < 100.0 => format!("{number:.2}"),
            Some(number) => format!("{number:.0}"),
        };
        format!(
            "{:4} {:46} {:>10} {:>3} {:>11} {:>11} {:>9} {:>9} {:>9}  {}",
            self.line.map_or_else(String::new, String::from),
            self.operation,
            self.sessions,
            self.threads,
            time(self.ours_ns),
            time(self.peer_ns),
            number(self.ratio),
            number(self.ratio_min),
            number(self.ratio_max),
            self.peer.as_deref().unwrap_or("-"),
        )
    }
}

/// Prints all rows: first the rows with a letter, in the order of the letters.
pub fn print_table(rows: &[Row]) {
    println!(
        "{:4} {:46} {:>10} {:>3} {:>11} {:>11} {:>9} {:>9} {:>9}  peer",
        "line", "operation", "sessions", "thr", "ours", "peer", "ratio", "min", "max"
    );
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| row.line.unwrap_or('~'));
    for row in sorted {
        println!("{}", row.line_of_text());
    }
}

/// Writes the rows as one JSON list.
pub fn write_json(rows: &[Row], path: &Path) -> Outcome<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut text = serde_json::to_string_pretty(rows)?;
    text.push('\n');
    Ok(std::fs::write(path, text)?)
}
