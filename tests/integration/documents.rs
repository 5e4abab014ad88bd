//! The pages stay true: the tests that they name exist, and their links lead to files.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` whose name ends with `.{extension}`.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|its| its == extension) {
            found.push(path);
        }
    }
    found
}

/// The names of all functions in `src/` and `tests/`.
fn functions() -> HashSet<String> {
    let mut sources = files(&root().join("src"), "rs");
    sources.extend(files(&root().join("tests"), "rs"));
    let mut names = HashSet::new();
    for source in sources {
        for line in fs::read_to_string(source).unwrap().lines() {
            let name = line.split_once("fn ").and_then(|(_, rest)| rest.split(['(', '<']).next());
            names.extend(name.map(str::to_owned));
        }
    }
    names
}

/// The text between the quotes of a line such as `"text",` or `key = "text"`.
fn quoted(line: &str) -> &str {
    let quote = line.find(['"', '\'']).unwrap_or_else(|| panic!("no text in {line}"));
    let mark = line[quote..].chars().next().unwrap();
    let rest = &line[quote + 1..];
    &rest[..rest.rfind(mark).unwrap_or_else(|| panic!("no end of the text in {line}"))]
}

/// An entry of tests/faults.toml; a claim has no line and no fault.
#[derive(Debug, Default)]
struct Entry {
    line: Option<u32>,
    texts: Vec<String>,
    tests: Vec<String>,
}

fn table() -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let text = fs::read_to_string(root().join("tests/faults.toml")).unwrap();
    for line in text.lines().map(str::trim) {
        let last = entries.last_mut();
        match (line, last) {
            ("[[fault]]" | "[[claim]]", _) => entries.push(Entry::default()),
            ("" | "tests = [" | "]", _) => {}
            (comment, _) if comment.starts_with('#') => {}
            (number, Some(entry)) if number.starts_with("line = ") => {
                entry.line = Some(number["line = ".len()..].parse().unwrap());
            }
            (test, Some(entry)) if test.starts_with('"') => {
                assert!(test.ends_with("\","), "not a test on a line of its own: {test}");
                entry.tests.push(quoted(test).to_owned());
            }
            (text, Some(entry)) if text.contains(" = ") => {
                entry.texts.push(quoted(text).to_owned())
            }
            (other, _) => {
                panic!("tests/faults.toml is read line by line, and this is none: {other}")
            }
        }
    }
    entries
}

#[test]
fn every_test_that_the_table_of_faults_names_exists() {
    let (functions, table) = (functions(), table());
    for entry in &table {
        assert!(!entry.tests.is_empty(), "no test shows it: {entry:?}");
        for test in &entry.tests {
            assert!(functions.contains(test), "there is no test `{test}`: {:?}", entry.texts);
        }
    }
    let named: usize = table.iter().map(|entry| entry.tests.len()).sum();
    assert!(named > 300, "the table is gone: {named} tests are named");
}

#[test]
fn every_line_of_the_table_of_faults_says_what_holds_and_stands_in_its_place() {
    let mut before = 0;
    for entry in table() {
        assert!(entry.texts.iter().all(|text| !text.is_empty()), "a text is empty: {entry:?}");
        let Some(line) = entry.line else {
            assert_eq!(entry.texts.len(), 1, "a claim is one text: {entry:?}");
            continue;
        };
        assert_eq!(entry.texts.len(), 2, "line {line} has a fault, and what holds");
        assert!(line > before, "line {line} stands behind line {before}");
        before = line;
    }
}

/// A page's links into this repository, without the part after `#`.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ']).next()?;
        let path = target.split('#').next()?;
        (!path.is_empty() && !path.contains("://")).then_some(path)
    })
}

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    let mut pages = files(&root().join("docs"), "md");
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page)));
    let mut seen = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let target = page.parent().unwrap().join(link);
            assert!(target.exists(), "{} links to {link}, and nothing is there", page.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} links");
}

/// The words between backquotes that look like a file or a folder.
fn paths_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| {
        let plain = |letter: char| letter.is_ascii_lowercase() || "_./-".contains(letter);
        word.chars().all(plain) && (word.ends_with(".rs") || word.ends_with('/'))
    })
}

#[test]
fn every_file_that_the_architecture_names_is_there() {
    let page = fs::read_to_string(root().join("docs/internals/architecture.md")).unwrap();
    let places = ["", "src", "src/engine", "src/engine/redb", "src/engine/redb/commit"];
    let mut seen = 0;
    for path in paths_in(&page) {
        let is_there = places.iter().any(|place| root().join(place).join(path).exists());
        assert!(is_there, "the architecture names {path}, which is nowhere");
        seen += 1;
    }
    assert!(seen > 60, "{seen} paths");
}

#[test]
fn no_comment_and_no_line_of_a_page_is_wider_than_a_hundred_columns() {
    let mut pages = files(&root().join("docs"), "md");
    pages.extend(files(&root().join("src"), "md"));
    // A script writes this page.
    pages.retain(|page| !page.ends_with("evidence.md"));
    pages.extend(files(&root().join("src"), "rs"));
    pages.extend(
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
            .map(|page| root().join(page)),
    );
    let (mut wide, mut seen) = (Vec::new(), 0);
    for file in pages {
        let is_source = file.extension().is_some_and(|end| end == "rs");
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().enumerate().filter(|(_, line)| {
            let said = line.trim_start();
            // A row of a table is one line, and so is the output of a program.
            let is_row = said.trim_start_matches(['/', '!', ' ']).starts_with('|');
            let is_output = line.starts_with(' ') && file.ends_with("operating.md");
            !is_row && !is_output && (!is_source || said.starts_with("//"))
        });
        for (number, line) in lines {
            seen += 1;
            if line.chars().count() > 100 {
                wide.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    assert!(seen > 10_000, "{seen} lines");
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}

/// The texts in backquotes that begin the items of a numbered list.
fn numbered(text: &str) -> Vec<&str> {
    let items = text.lines().filter_map(|line| line.split_once(". `"));
    let numbered = items.filter(|(number, _)| number.parse::<u8>().is_ok());
    numbered.filter_map(|(_, rest)| rest.split('`').next()).collect()
}

#[test]
fn each_line_of_the_exercise_is_in_the_folder_of_its_answer_and_nowhere_else() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let (lines, answers) = page.split_once("<summary>Answers</summary>").unwrap();
    let (lines, answers) = (numbered(lines), numbered(answers));
    assert_eq!((lines.len(), answers.len()), (10, 10));
    let sources = files(&root().join("src"), "rs");
    for (line, folder) in lines.into_iter().zip(answers) {
        let has_line = |file: &&PathBuf| {
            fs::read_to_string(file).unwrap().lines().any(|code| code.trim_start() == line)
        };
        let found: Vec<_> = sources.iter().filter(has_line).collect();
        assert_eq!(found.len(), 1, "{line} is in {found:?}");
        assert!(found[0].starts_with(root().join(folder)), "{line} is in {found:?}");
    }
}

#[test]
fn every_function_on_the_way_of_a_create_exists() {
    let functions = functions();
    let map = fs::read_to_string(root().join("src/engine/redb/mod.rs")).unwrap();
    let (_, way) = map.split_once("goes this way").unwrap();
    let (way, _) = way.split_once("\n\n").unwrap();
    let named: Vec<_> = way.split('`').filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 20, "{named:?}");
    for (owner, function) in named {
        assert!(functions.contains(function), "there is no {owner}::{function}");
    }
}

/// The sections of public items, in their required order.
const SECTIONS: [&str; 6] =
    ["Durability", "Concurrency", "Security", "Errors", "Panics", "Examples"];

#[test]
fn the_sections_of_an_item_stand_in_one_order() {
    let mut wrong = Vec::new();
    for file in files(&root().join("src"), "rs") {
        let text = fs::read_to_string(&file).unwrap();
        let mut last = 0;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if !line.starts_with("//") {
                last = 0;
                continue;
            }
            let title = line.strip_prefix("/// # ").or_else(|| line.strip_prefix("//! # "));
            let place = title.and_then(|title| SECTIONS.iter().position(|known| *known == title));
            if let Some(place) = place {
                if place < last {
                    wrong.push(format!("{}:{}", file.display(), number + 1));
                }
                last = place;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines of an item's or a page's examples that its reader sees, with their numbers.
fn visible_lines_of_examples(text: &str, is_page: bool) -> Vec<(usize, &str)> {
    let (mut visible, mut is_example) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(line) = (if is_page { Some(line) } else { comment }) else {
            is_example = false;
            continue;
        };
        let line = line.trim_start();
        if line.starts_with("```") {
            is_example = !is_example;
        } else if is_example && !line.starts_with("# ") {
            visible.push((number + 1, line));
        }
    }
    visible
}

#[test]
fn no_example_shows_a_call_that_panics() {
    const PANICKING: [&str; 4] = [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("];
    let (mut panicking, mut seen) = (Vec::new(), 0);
    for extension in ["rs", "md"] {
        for file in files(&root().join("src"), extension) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in visible_lines_of_examples(&text, extension == "md") {
                seen += 1;
                if PANICKING.iter().any(|call| line.contains(call)) {
                    panicking.push(format!("{}:{number}: {line}", file.display()));
                }
            }
        }
    }
    assert!(seen > 500, "{seen} lines of examples");
    assert!(panicking.is_empty(), "{}", panicking.join("\n"));
}
