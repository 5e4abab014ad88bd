//! Checks the rules of the layers: which folder may not know which. A failure names each line that
//! breaks one.
//!
//! A rule is a folder or file of `src/`, and the prefixes that no `use` or path in it may have.
//! Comments and doc links do not count. The crate's own unit tests, from `mod tests` on, do not
//! count either.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test reports by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

const STORE_ROOM: &str = "crate::store";
/// The modules above `commit/` in the redb engine.
const ABOVE_COMMIT: &str = "crate::engine::redb::{background,salvage,engine,calls}";
/// The folders whose modules have rules. A list in braces after one of them would hide which module
/// is meant.
const SHARED_ROOTS: [&str; 3] = ["crate::{", "crate::engine::{", "crate::engine::redb::{"];

/// The folder or file, and the prefixes that it must not know.
const RULES: &[(&str, &[&str])] = &[
    // The base of all other modules.
    ("key.rs", &["crate::"]),
    ("error", &["crate::engine", "crate::record", "crate::session", STORE_ROOM, "crate::time"]),
    (
        "process.rs",
        &["crate::engine", "crate::record", "crate::session", STORE_ROOM, "crate::time"],
    ),
    ("random.rs", &["crate::engine", "crate::record", "crate::session", STORE_ROOM]),
    ("sync", &["crate::engine", "crate::record", "crate::session", STORE_ROOM]),
    ("time", &["crate::engine", "crate::record", "crate::session", STORE_ROOM, "crate::builder"]),
    ("session", &["crate::engine", "crate::record", STORE_ROOM, "crate::builder"]),
    ("record", &["crate::engine", STORE_ROOM, "crate::builder"]),
    ("engine", &[STORE_ROOM, "crate::builder", "crate::admin", "crate::web", "crate::session::id"]),
    (
        "store",
        &[
            "crate::builder",
            "crate::admin",
            "crate::web",
            "crate::engine::{redb,redis,sql,memory,network}",
        ],
    ),
    // Code that speaks HTTP gets its sessions from the caller, and needs no store.
    ("web", &["crate::engine", "crate::record", STORE_ROOM, "crate::builder", "crate::admin"]),
    // The engines on servers know their common code, and not one another.
    ("engine/network", &["crate::engine::{redb,redis,sql,mongodb,memory}"]),
    ("engine/redis", &["crate::engine::{redb,sql,mongodb,memory}"]),
    ("engine/sql", &["crate::engine::{redb,redis,mongodb,memory}"]),
    ("engine/mongodb", &["crate::engine::{redb,redis,sql,memory}"]),
    ("engine/memory", &["crate::engine::{redb,redis,sql,network}"]),
    ("engine/redb", &["crate::engine::{redis,sql,memory,network}"]),
    ("admin", &["crate::builder", "crate::web"]),
    // Inside the redb engine, from the bottom up.
    (
        "engine/redb/error.rs",
        &["crate::engine::redb::{commit,view,log,storage,database,file,pages}", ABOVE_COMMIT],
    ),
    (
        "engine/redb/pages",
        &["crate::engine::redb::{commit,view,log,storage,database,file}", ABOVE_COMMIT],
    ),
    (
        "engine/redb/storage",
        &["crate::engine::redb::{commit,view,log,database,file}", ABOVE_COMMIT],
    ),
    (
        "engine/redb/log",
        &["crate::engine::redb::{commit,view,database,file}", ABOVE_COMMIT, "redb::"],
    ),
    ("engine/redb/database", &["crate::engine::redb::{commit,view,log,file}", ABOVE_COMMIT]),
    ("engine/redb/file", &["crate::engine::redb::{commit,view}", ABOVE_COMMIT]),
    ("engine/redb/view", &["crate::engine::redb::{commit}", ABOVE_COMMIT]),
    ("engine/redb/commit", &[ABOVE_COMMIT]),
    ("engine/redb/background", &["crate::engine::redb::{salvage,engine,calls}"]),
];

/// `prefix::{a,b}` stands for `prefix::a` and `prefix::b`.
fn expanded(rule: &str) -> Vec<String> {
    match rule.split_once('{') {
        None => vec![rule.into()],
        Some((head, names)) => {
            names.trim_end_matches('}').split(',').map(|name| format!("{head}{name}")).collect()
        }
    }
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.into()];
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|entry| entry.is_dir() || entry.extension().is_some_and(|end| end == "rs"))
        .flat_map(|entry| rust_files(&entry))
        .collect()
}

/// The lines of the crate's code, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let own = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("mod tests"));
    own.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(at, line)| (at + 1, line))
}

/// Whether the line names the prefix itself, and not a longer name.
fn names(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + prefix.len()..].chars().next();
        let begins =
            before.is_none_or(|letter| !(letter.is_alphanumeric() || "_:".contains(letter)));
        let ends = after.is_none_or(|letter| !(letter.is_alphanumeric() || letter == '_'));
        begins && (ends || prefix.ends_with("::"))
    })
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn no_room_knows_what_stands_above_it() {
    let mut broken = Vec::new();
    for (place, forbidden) in RULES {
        let forbidden: Vec<_> = forbidden.iter().flat_map(|rule| expanded(rule)).collect();
        let files = rust_files(&source().join(place));
        let own = files.iter().filter(|file| !file.ends_with("tests.rs"));
        for file in own {
            let text = fs::read_to_string(file).unwrap();
            for (number, line) in code(&text) {
                let found = forbidden.iter().find(|prefix| names(line, prefix));
                broken.extend(found.map(|prefix| {
                    let file = file.strip_prefix(source()).unwrap().display();
                    format!("{file}:{number} knows {prefix}: {}", line.trim())
                }));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_import_names_the_room_that_it_is_from() {
    let mut hidden = Vec::new();
    let is_test =
        |file: &Path| file.ends_with("tests.rs") || file.parent().unwrap().ends_with("tests");
    for file in rust_files(&source()).into_iter().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            let is_list = |root: &str| {
                line.match_indices(root).any(|(at, _)| !line[..at].ends_with(['$', ':']))
            };
            if SHARED_ROOTS.into_iter().any(is_list) || line.contains("super::super::") {
                hidden.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(hidden.is_empty(), "{}", hidden.join("\n"));
}

#[test]
fn nobody_imports_the_front_page() {
    let mut broken = Vec::new();
    for file in rust_files(&source()) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            let upper = |at: usize| line[at + 7..].starts_with(|c: char| c.is_ascii_uppercase());
            if line.match_indices("crate::").any(|(at, _)| upper(at) && !line[..at].ends_with('$'))
            {
                broken.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    const MOST: usize = 400;
    let long: Vec<_> = rust_files(&source())
        .into_iter()
        .map(|file| (fs::read_to_string(&file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > MOST)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn no_folder_is_too_full_to_overlook() {
    const MOST: usize = 10;
    // All steps of a commit are in one folder.
    const FULLER: &[&str] = &["engine/redb/commit"];
    let mut folders = vec![source()];
    let mut full = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        let is_code = |entry: &&PathBuf| entry.extension().is_some_and(|end| end == "rs");
        let files = entries.iter().filter(is_code).count();
        let name = folder.strip_prefix(source()).unwrap().to_string_lossy().replace('\\', "/");
        if files > MOST && !FULLER.contains(&name.as_str()) {
            full.push(format!("{name}: {files} files"));
        }
        folders.extend(entries.into_iter().filter(|entry| entry.is_dir()));
    }
    assert!(full.is_empty(), "{}", full.join("\n"));
}
