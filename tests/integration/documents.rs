//! What the documents say of the tests stays true.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_test_that_the_table_of_faults_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests"), &mut files);
    let functions: HashSet<String> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(file).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines
        })
        .filter_map(|line| {
            let name = line.split_once("fn ")?.1.split(['(', '<']).next()?;
            Some(name.to_owned())
        })
        .collect();
    let table = fs::read_to_string(root.join("docs/durability.md")).unwrap();
    let mut named = 0;
    for row in table.lines().filter(|line| line.split('|').count() == 5) {
        let tests = row.split('|').nth(3).unwrap();
        for test in tests.split('`').skip(1).step_by(2).filter(|name| name.contains('_')) {
            assert!(functions.contains(test), "there is no test `{test}`: {row}");
            named += 1;
        }
    }
    assert!(named > 80, "the table is gone: {named} tests are named");
}
