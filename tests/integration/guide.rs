//! What the guide and the front pages promise to hold.

use std::fs;
use std::path::Path;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_guide_says_what_to_do_about_every_error() {
    let source = text("src/error/mod.rs");
    let (_, variants) = source.split_once("pub enum Error {").unwrap();
    let (variants, _) = variants.split_once("\n}").unwrap();
    let guide = text("src/guide/errors.md");
    let mut found = 0;
    for line in variants.lines().filter_map(|line| line.strip_prefix("    ")) {
        if !line.starts_with(|letter: char| letter.is_ascii_uppercase()) {
            continue;
        }
        let name = line.split([' ', ',', '(']).next().unwrap();
        assert!(guide.contains(&format!("`{name}`")), "the guide does not name {name}");
        found += 1;
    }
    assert!(found > 30, "the enum is gone: {found} variants");
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
        // `async` is a word of the language.
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
}
