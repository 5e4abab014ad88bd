//! The guarantees in the guide and on the front pages.

use std::fs;
use std::path::Path;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names that begin the lines of a type's definition, such as variants or fields.
fn members(path: &str, definition: &str, is_member: fn(&str) -> Option<&str>) -> Vec<String> {
    let source = text(path);
    let (_, body) = source.split_once(definition).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let members = lines.filter_map(is_member);
    members.map(|line| line.split([' ', ',', '(', ':']).next().unwrap().to_owned()).collect()
}

fn variant(line: &str) -> Option<&str> {
    line.starts_with(|letter: char| letter.is_ascii_uppercase()).then_some(line)
}

fn field(line: &str) -> Option<&str> {
    line.strip_prefix("pub ")
}

fn assert_named(page: &str, names: &[String], least: usize) {
    assert!(names.len() >= least, "the type is gone: {names:?}");
    let page_text = text(page);
    for name in names {
        let is_named =
            page_text.contains(&format!("`{name}`")) || page_text.contains(&format!("::{name}`"));
        assert!(is_named, "{page} does not name {name}");
    }
}

#[test]
fn the_guide_says_what_to_do_about_every_error() {
    let errors = members("src/error/mod.rs", "pub enum Error {", variant);
    assert_named("src/guide/errors.md", &errors, 30);
}

#[test]
fn the_page_for_operators_explains_every_error_number_and_event() {
    let page = "docs/operating.md";
    assert_named(page, &members("src/error/mod.rs", "pub enum Error {", variant), 30);
    assert_named(page, &members("src/store/listing.rs", "pub struct Stats {", field), 18);
    assert_named(page, &members("src/store/events/mod.rs", "pub enum Event {", variant), 13);
}

#[test]
fn every_page_of_the_guide_is_in_its_table_and_in_the_folder() {
    let index = text("src/guide/mod.rs");
    let (table, modules) = index.split_once("#[doc").unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide");
    let mut pages = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(page) = name.strip_suffix(".md") else { continue };
        // `async` is a keyword.
        let module = if page == "async" { "async_" } else { page };
        assert!(table.contains(&format!("[`{module}`]")), "{page} is not in the table");
        assert!(modules.contains(&format!("pub mod {module} ")), "{page} is no module");
        pages += 1;
    }
    assert!(pages >= 10, "the pages are gone: {pages}");
}

#[test]
fn the_first_page_stays_short() {
    let readme = text("README.md");
    assert!(readme.lines().count() <= 110, "{} lines", readme.lines().count());
    let (first_screen, _) = readme.split_once("\n## ").unwrap();
    for promised in ["Json<", "sessions_of_with", "destroy_of", "cargo test", "cargo run"] {
        assert!(first_screen.contains(promised), "{promised} is not in the first screen");
    }
    let (_, program) = first_screen.split_once("```rust\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let lines = program.lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(code <= 20, "{code} lines of code");
}
