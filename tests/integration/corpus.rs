//! Replays the committed corpora of the fuzz targets, so that past findings stay covered.

use std::fs;
use std::path::Path;

#[cfg(unix)]
#[path = "../../fuzz/checks/admin_request.rs"]
mod admin_request;
#[path = "../../fuzz/checks/archive_import.rs"]
mod archive_import;
#[path = "../../fuzz/checks/content_json.rs"]
mod content_json;
#[path = "../../fuzz/checks/cookie_header.rs"]
mod cookie_header;
#[path = "../../fuzz/checks/open_damaged.rs"]
mod open_damaged;
#[path = "../../fuzz/checks/record_decode.rs"]
mod record_decode;
#[path = "../../fuzz/checks/session_id_parse.rs"]
mod session_id_parse;
#[path = "../../fuzz/checks/store_operations.rs"]
mod store_operations;

fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "the corpus in {} is gone", folder.display());
}

#[cfg(unix)]
#[test]
fn the_corpus_of_admin_request_passes() {
    replay("admin_request", admin_request::check);
}

#[test]
fn the_corpus_of_archive_import_passes() {
    replay("archive_import", archive_import::check);
}

#[test]
fn the_corpus_of_content_json_passes() {
    replay("content_json", content_json::check);
}

#[test]
fn the_corpus_of_cookie_header_passes() {
    replay("cookie_header", cookie_header::check);
}

#[test]
fn the_corpus_of_open_damaged_passes() {
    replay("open_damaged", open_damaged::check);
}

#[test]
fn the_corpus_of_record_decode_passes() {
    replay("record_decode", record_decode::check);
}

#[test]
fn the_corpus_of_session_id_parse_passes() {
    replay("session_id_parse", session_id_parse::check);
}

#[test]
fn the_corpus_of_store_operations_passes() {
    replay("store_operations", store_operations::check);
}
