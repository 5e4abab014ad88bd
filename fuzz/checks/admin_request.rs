//! What holds for any bytes that a client sends through the door: the store goes on, every line of an
//! answer is JSON, and a session that nobody named lives.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use sessile::SessionStore;
use sessile::admin::AdminSocket;

struct World {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    store: SessionStore<String>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("door");
        let builder = SessionStore::<String>::builder().manual_maintenance();
        let store = builder.in_memory().expect("a store in memory");
        store.serve_admin(AdminSocket::at(&socket)).expect("a socket");
        World { _folder: folder, socket, store }
    })
}

pub(crate) fn check(bytes: &[u8]) {
    let world = world();
    let session = world.store.create_for_user("ann", "x".into()).expect("a store in memory");
    let stream = UnixStream::connect(&world.socket).expect("a door");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    // The store may have ended the connection before it has read everything.
    let _ = (&stream).write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let first = lines.next().expect("a client is greeted");
    for line in std::iter::once(first).chain(lines) {
        let value: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        // Whoever watches would hear of this for ever.
        if value.get("alive").is_some() {
            break;
        }
    }
    let names = |name: &[u8]| bytes.windows(name.len()).any(|it| it == name);
    if !names(b"clear") && !names(b"remove") {
        let read = world.store.read(session.id()).expect("a store in memory");
        assert!(read.is_some(), "it was ended, and nobody said so");
    }
    world.store.clear().expect("a store in memory");
}
