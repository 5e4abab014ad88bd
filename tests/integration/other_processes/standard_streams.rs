//! A program without standard streams, whose numbers are free for the next files that it opens.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use sessile::SessionStore;
use sessile::admin::AdminSocket;

use crate::child;

const FILE: &str = "SESSILE_TEST_STREAMS";

/// Prints more than a pipe would hold back, to whatever has the number.
fn print() {
    for _ in 0..100 {
        let _ = std::io::stdout().write_all(b"the program goes on\n");
    }
}

/// Whether a number is free. The standard library opens `/dev/null` at the start of a program for a
/// stream that is closed, so the numbers are free only from here on.
fn is_free(number: i32) -> bool {
    !Path::new(&format!("/proc/self/fd/{number}")).exists()
}

/// The child's part.
fn print_without_streams(path: &Path) {
    nix::unistd::close(0).and_then(|()| nix::unistd::close(1)).unwrap();
    let store = SessionStore::<String>::open(path).unwrap();
    print();
    store.create("ann".into()).unwrap();
    print();
    let socket = path.with_extension("door");
    store.serve_admin(AdminSocket::at(&socket)).unwrap();
    assert!(is_free(0) && is_free(1), "they are no stream of the store's");
    // The client's end takes the first number, and the program's end the next one.
    let mut client = BufReader::new(UnixStream::connect(&socket).unwrap());
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    assert!(line.contains("hello"), "{line}");
    assert!(is_free(1), "it is the connection's");
    print();
    store.backup(path.with_extension("backup")).unwrap();
    store.create("bob".into()).unwrap();
    store.close().unwrap();
}

#[test]
fn what_a_program_without_standard_streams_prints_goes_to_no_store() {
    if let Some(path) = std::env::var_os(FILE) {
        return print_without_streams(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let test = "other_processes::standard_streams::\
                what_a_program_without_standard_streams_prints_goes_to_no_store";
    let output = child::running(test).env(FILE, &path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(SessionStore::<String>::open(&path).unwrap().len().unwrap(), 2);
}
