//! How a program depends on the adapters before they are on crates.io.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Cargo counts whatever lies in the folder of a workspace's member as a member, excluded or not. A
/// program that names the crate as well has the crate's workspace loaded first.
#[test]
fn a_program_depends_by_path_on_the_crate_and_on_both_adapters() {
    let adapters = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = |of: &str| adapters.join(of).display().to_string().replace('\\', "/");
    let program = tempfile::tempdir().unwrap();
    let manifest = format!(
        "[package]\nname = 'shop'\nedition = '2024'\n[workspace]\n[lib]\npath = 'shop.rs'\n\
         [dependencies]\nsessile.path = '{}'\nsessile-actix-session.path = '{}'\n\
         sessile-tower-sessions.path = '{}'\n",
        path(".."),
        path("actix-session"),
        path("tower-sessions")
    );
    fs::write(program.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(program.path().join("shop.rs"), "").unwrap();
    // The versions that this test was built with, for this system alone: nothing is downloaded.
    fs::copy(adapters.join("Cargo.lock"), program.path().join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline"]).current_dir(program.path());
    let loaded = cargo.output().unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
}
