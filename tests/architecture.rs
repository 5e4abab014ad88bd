//! Checks the rules of the layers: which folder may not know which. A failure names each line that
//! breaks one.
//!
//! A rule is a folder or file of `src/`, and the prefixes that no `use` or path in it may have.
//! Comments and doc links do not count. The crate's own unit tests, from `mod tests {` on, do not
//! count either. Planted lines show that each rule is checked.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test reports by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate, above the errors and keys that all of them use.
const ABOVE_BASE: &str = "crate::{engine,record,session,store,builder,admin,web}";
/// The modules above the engines.
const ABOVE_ENGINES: &str = "crate::{store,builder,admin,web}";
const ENGINES: &str = "crate::engine::{redb,redis,sql,mongodb,memory,network}";
/// The folders of the redb engine, up to `commit/`.
const REDB_ROOMS: &str = "crate::engine::redb::{pages,storage,log,database,file,view,commit}";
/// The modules above `commit/` in the redb engine.
const ABOVE_COMMIT: &str = "crate::engine::redb::{background,salvage,engine,calls,listings}";
/// The folders whose modules have rules. A list in braces after one of them, or the folder's bare
/// name, would hide which module is meant.
const SHARED_ROOTS: [&str; 3] = ["crate", "crate::engine", "crate::engine::redb"];
/// Where the code of each package is.
const PACKAGES: [&str; 6] = [
    "src",
    "cli/src",
    "adapters/actix-session/src",
    "adapters/tower-sessions/src",
    "examples/desktop/src",
    "benches/peers/src",
];

/// The folder or file, and the prefixes that it must not know.
const RULES: &[(&str, &[&str])] = &[
    // Everything that is no test.
    ("", &["crate::testing"]),
    // The base of all other modules.
    ("key.rs", &["crate::"]),
    ("caught.rs", &["crate::"]),
    ("descriptors.rs", &["crate::"]),
    ("error", &[ABOVE_BASE, "crate::time"]),
    ("process.rs", &[ABOVE_BASE, "crate::time"]),
    ("random.rs", &[ABOVE_BASE, "crate::time"]),
    ("sync", &[ABOVE_BASE, "crate::time"]),
    ("time", &[ABOVE_BASE]),
    ("session", &["crate::{engine,record}", ABOVE_ENGINES]),
    ("record", &["crate::engine", ABOVE_ENGINES]),
    ("engine", &[ABOVE_ENGINES, "crate::session::id"]),
    // The contract knows no engine.
    ("engine/*.rs", &[ENGINES]),
    ("store", &["crate::{builder,admin,web}", ENGINES]),
    // Code that speaks HTTP gets its sessions from the caller, and needs no store.
    ("web", &["crate::{engine,record,store,builder,admin}"]),
    ("builder", &["crate::web"]),
    ("admin", &["crate::{builder,web}", "crate::engine::{redis,sql,mongodb,memory,network}"]),
    // The engines on servers know their common code, and not one another.
    ("engine/network", &["crate::engine::{redb,redis,sql,mongodb,memory}"]),
    ("engine/redis", &["crate::engine::{redb,sql,mongodb,memory}"]),
    ("engine/sql", &["crate::engine::{redb,redis,mongodb,memory}"]),
    ("engine/mongodb", &["crate::engine::{redb,redis,sql,memory}"]),
    ("engine/memory", &["crate::engine::{redb,redis,sql,mongodb,network}"]),
    ("engine/redb", &["crate::engine::{redis,sql,mongodb,memory,network}"]),
    // Inside the redb engine, from the bottom up.
    ("engine/redb/digest.rs", &[REDB_ROOMS, ABOVE_COMMIT]),
    ("engine/redb/error.rs", &[REDB_ROOMS, ABOVE_COMMIT]),
    ("engine/redb/keyed.rs", &[REDB_ROOMS, ABOVE_COMMIT]),
    ("engine/redb/memory.rs", &[REDB_ROOMS, ABOVE_COMMIT]),
    ("engine/redb/recovery.rs", &[REDB_ROOMS, ABOVE_COMMIT]),
    ("engine/redb/options.rs", &[REDB_ROOMS, ABOVE_COMMIT]),
    (
        "engine/redb/pages",
        &["crate::engine::redb::{storage,log,database,file,view,commit}", ABOVE_COMMIT],
    ),
    (
        "engine/redb/storage",
        &["crate::engine::redb::{log,database,file,view,commit}", ABOVE_COMMIT],
    ),
    (
        "engine/redb/log",
        &["crate::engine::redb::{database,file,view,commit}", ABOVE_COMMIT, "redb::"],
    ),
    ("engine/redb/database", &["crate::engine::redb::{log,file,view,commit}", ABOVE_COMMIT]),
    ("engine/redb/file", &["crate::engine::redb::{view,commit}", ABOVE_COMMIT]),
    ("engine/redb/view", &["crate::engine::redb::{commit}", ABOVE_COMMIT]),
    ("engine/redb/commit", &[ABOVE_COMMIT]),
    ("engine/redb/background", &["crate::engine::redb::{salvage,engine,calls,listings}"]),
    ("engine/redb/salvage", &["crate::engine::redb::{view,commit,background,calls,listings}"]),
    ("engine/redb/engine.rs", &["crate::engine::redb::{salvage,calls}"]),
    ("engine/redb/listings.rs", &["crate::engine::redb::{commit,background,salvage,calls}"]),
];

/// A file, and a line that breaks a rule there: one for each rule, in their order.
const PLANTED: &[(&str, &str)] = &[
    ("store/planted.rs", "use crate::testing::ManualClock;"),
    ("key.rs", "use crate::error::Error;"),
    ("caught.rs", "use crate::key::SessionKey;"),
    ("descriptors.rs", "use crate::error::Error;"),
    ("error/planted.rs", "use crate::admin::backup::Backup;"),
    ("process.rs", "use crate::web::cookie::SessionCookie;"),
    ("random.rs", "fn planted(builder: crate::builder::Builder<u8>) {}"),
    ("sync/planted.rs", "use crate::time::clock::Clock;"),
    ("time/planted.rs", "use crate::store::SessionStore;"),
    ("session/planted.rs", "use crate::record::Record;"),
    ("record/content/planted.rs", "use crate::admin::inspector::Inspector;"),
    ("engine/network/planted.rs", "use crate::session::id::SessionId;"),
    ("engine/limits.rs", "use crate::engine::memory::MemoryEngine;"),
    ("store/planted.rs", "use crate::engine::mongodb::MongodbEngine;"),
    ("web/planted.rs", "use crate::store::SessionStore;"),
    ("builder/planted.rs", "use crate::web::cookie::SessionCookie;"),
    ("admin/planted.rs", "use crate::engine::network::server::Server;"),
    ("engine/network/planted.rs", "use crate::engine::sql::Sql;"),
    ("engine/redis/planted.rs", "use crate::engine::sql::Sql;"),
    ("engine/sql/planted.rs", "use crate::engine::redb::engine::RedbEngine;"),
    ("engine/mongodb/planted.rs", "use crate::engine::redis::RedisEngine;"),
    ("engine/memory/planted.rs", "use crate::engine::mongodb::MongodbEngine;"),
    ("engine/redb/planted.rs", "use crate::engine::mongodb::MongodbEngine;"),
    ("engine/redb/digest.rs", "use crate::engine::redb::log::entry::Entry;"),
    ("engine/redb/error.rs", "use crate::engine::redb::pages::layout::Page;"),
    ("engine/redb/keyed.rs", "use crate::engine::redb::view::View;"),
    ("engine/redb/memory.rs", "use crate::engine::redb::storage::Storage;"),
    ("engine/redb/recovery.rs", "use crate::engine::redb::engine::RedbEngine;"),
    ("engine/redb/options.rs", "use crate::engine::redb::file::StoreFile;"),
    ("engine/redb/pages/planted.rs", "use crate::engine::redb::storage::Storage;"),
    ("engine/redb/storage/planted.rs", "use crate::engine::redb::log::entry::Entry;"),
    ("engine/redb/log/planted.rs", "use redb::Database;"),
    ("engine/redb/database/planted.rs", "use crate::engine::redb::log::entry::Entry;"),
    ("engine/redb/file/planted.rs", "use crate::engine::redb::view::View;"),
    ("engine/redb/view/planted.rs", "use crate::engine::redb::commit::Writer;"),
    ("engine/redb/commit/planted.rs", "use crate::engine::redb::background::sweep::Sweep;"),
    ("engine/redb/background/planted.rs", "use crate::engine::redb::calls::Calls;"),
    ("engine/redb/salvage/planted.rs", "use crate::engine::redb::view::View;"),
    ("engine/redb/engine.rs", "use crate::engine::redb::salvage::Salvage;"),
    ("engine/redb/listings.rs", "use crate::engine::redb::commit::Writer;"),
];

/// Ways to write a line that breaks a rule in `engine/redb/log/mod.rs`.
const SPELLINGS: &[&str] = &[
    "use super::view;",
    "use super::view::View;",
    "use super::{entry, view::View};",
    "pub(super) fn planted(view: &super::view::View) {}",
    "let planted = $crate::engine::redb::view::View::new;",
    "#[cfg(test)]\nmod tests;\n\nuse crate::engine::redb::view::View;",
    "pub(in crate::engine::redb) use crate::engine::redb::view::View;",
];

/// Lines of `engine/redb/log/mod.rs` that break no rule.
const ALLOWED: &[&str] = &[
    "// use super::view;",
    "/// As [`View`](crate::engine::redb::view::View).",
    "use super::viewer::Viewer;",
    "use super::pages::layout::Page;",
    "#[cfg(test)]\nmod tests {\n    use crate::engine::redb::view::View;\n}",
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
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|entry| entry.is_dir() || entry.extension().is_some_and(|end| end == "rs"))
        .flat_map(|entry| if entry.is_dir() { rust_files(&entry) } else { vec![entry] })
        .collect()
}

/// The lines of the crate's code, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_own = |line: &str| line.starts_with(' ') || !line.ends_with("mod tests {");
    let own = text.lines().enumerate().take_while(move |(_, line)| is_own(line));
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

/// The line with the whole path of each name after `super::`, also of each in braces.
fn resolved(file: &str, line: &str) -> String {
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let parent = module.rsplit_once('/').map_or("", |(parent, _)| parent);
    let parent = format!("crate::{parent}").trim_end_matches(':').replace('/', "::");
    let mut whole = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("super::") {
        whole.push_str(before);
        let list = after.strip_prefix('{').and_then(|list| list.split_once('}'));
        let (list, after) = list.unwrap_or(("", after));
        let list = list.split(',').map(|name| format!("{parent}::{} ", name.trim()));
        whole.extend(list);
        whole.truncate(whole.trim_end().len());
        rest = after;
    }
    whole + rest
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn is_test(file: &str) -> bool {
    file.ends_with("tests.rs") || file.split('/').any(|part| part == "tests")
}

/// The files of `src/` without tests: their names below it, and their texts.
fn sources() -> Vec<(String, String)> {
    let text = |file: PathBuf| {
        let name = file.strip_prefix(source()).unwrap().to_string_lossy().replace('\\', "/");
        (name, fs::read_to_string(file).unwrap())
    };
    rust_files(&source()).into_iter().map(text).filter(|(name, _)| !is_test(name)).collect()
}

/// Whether the file is in the folder or is the file that a rule names.
fn is_in(place: &str, file: &str) -> bool {
    match place {
        "" => !file.starts_with("testing/"),
        "engine/*.rs" => file.matches('/').count() == 1 && file.starts_with("engine/"),
        place => {
            file.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

/// The lines of a file that break a rule, each with the number of the rule.
fn broken(file: &str, text: &str) -> Vec<(usize, String)> {
    let mut broken = Vec::new();
    for (rule, (_, forbidden)) in RULES.iter().enumerate().filter(|(_, (at, _))| is_in(at, file)) {
        let forbidden: Vec<_> = forbidden.iter().flat_map(|rule| expanded(rule)).collect();
        for (number, line) in code(text) {
            let whole = resolved(file, line);
            let found = forbidden.iter().find(|prefix| names(&whole, prefix));
            broken.extend(
                found.map(|prefix| {
                    (rule, format!("{file}:{number} knows {prefix}: {}", line.trim()))
                }),
            );
        }
    }
    broken
}

#[test]
fn no_room_knows_what_stands_above_it() {
    let broken: Vec<_> = sources().iter().flat_map(|(file, text)| broken(file, text)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_rule_finds_the_line_that_is_planted_for_it() {
    assert_eq!(PLANTED.len(), RULES.len());
    for (rule, (file, line)) in PLANTED.iter().enumerate() {
        let found = broken(file, line);
        assert!(found.iter().any(|(by, _)| *by == rule), "{file}, {line}: {found:?}");
    }
}

#[test]
fn a_line_breaks_a_rule_however_it_is_spelled() {
    for line in SPELLINGS {
        assert_eq!(broken("engine/redb/log/mod.rs", line).len(), 1, "{line}");
    }
    for line in ALLOWED {
        assert!(broken("engine/redb/log/mod.rs", line).is_empty(), "{line}");
    }
}

#[test]
fn every_place_of_a_rule_is_there() {
    for (place, _) in RULES.iter().filter(|(place, _)| !place.contains('*')) {
        assert!(source().join(place).exists(), "{place}");
    }
}

/// Whether the line imports a whole folder, or a list from it, whose modules have rules.
fn hides_the_room(line: &str) -> bool {
    // What `resolved` would not see: a list in a list, or on more lines than one.
    let is_nested = |(at, list): (usize, &str)| match line[at + list.len()..].split_once('}') {
        Some((names, _)) => names.contains('{'),
        None => true,
    };
    line.contains("super::super::")
        || line.match_indices("super::{").any(is_nested)
        || SHARED_ROOTS.into_iter().any(|root| {
            let is_hidden = |(at, _): (usize, &str)| {
                let rest = &line[at + root.len()..];
                let is_bare = line.trim_start().contains("use ") && rest.starts_with([';', ' ']);
                !line[..at].ends_with(['$', ':']) && (rest.starts_with("::{") || is_bare)
            };
            line.match_indices(root).any(is_hidden)
        })
}

#[test]
fn every_import_names_the_room_that_it_is_from() {
    for line in [
        "use crate::{error, key};",
        "use crate::engine::redb;",
        "use crate::engine as e;",
        "use super::{a::{b, c}, view};",
        "use super::{",
    ] {
        assert!(hides_the_room(line), "{line}");
    }
    let mut hidden = Vec::new();
    for (file, text) in sources() {
        let lines = code(&text).filter(|(_, line)| hides_the_room(line));
        hidden.extend(lines.map(|(number, line)| format!("{file}:{number}: {}", line.trim())));
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
fn files_and_folders_are_synced_in_one_place() {
    let mut elsewhere = Vec::new();
    for (file, text) in sources() {
        if file == "engine/redb/storage/platform/sync.rs" {
            continue;
        }
        // An engine's file has a `sync_data` too, which leads to that place.
        let has_files = code(&text).any(|(_, line)| line.contains("std::fs"));
        for (number, line) in code(&text) {
            if line.contains(".sync_all(") || (has_files && line.contains(".sync_data(")) {
                elsewhere.push(format!("{file}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(elsewhere.is_empty(), "{}", elsewhere.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    const MOST: usize = 400;
    let packages = PACKAGES.map(|package| Path::new(env!("CARGO_MANIFEST_DIR")).join(package));
    let long: Vec<_> = packages
        .iter()
        .flat_map(|package| rust_files(package))
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
