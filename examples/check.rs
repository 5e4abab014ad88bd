//! Checks a store, and salvages a damaged one: a small tool to copy.
//!
//! ```sh
//! cargo run --example check -- sessions.redb
//! cargo run --example check -- sessions.redb --salvage rescued.redb
//! cargo run --example check -- sessions.redb --salvage rescued.redb --include-stale
//! ```
//!
//! It knows nothing of the program's content type, so it checks everything but that; a program that
//! checks its own store does it with `SessionStore::check`, which decodes the content too. The exit
//! code is 0 if the store is sound, 1 if something is wrong in it, 2 if it cannot be opened.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use sessile::engine::{Engine, Finding, RedbOptions};
use sessile::{RedbEngine, Salvage, Timeouts};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [path] => check(Path::new(path)),
        [path, "--salvage", new] => salvage(path, new, false),
        [path, "--salvage", new, "--include-stale"] => salvage(path, new, true),
        _ => Err("usage: check <store> [--salvage <new file> [--include-stale]]".into()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            eprintln!("  because {error}");
            cause = error.source();
        }
        ExitCode::from(2)
    })
}

fn check(path: &Path) -> Result<ExitCode, Box<dyn Error>> {
    if !path.exists() {
        return Err(format!("{} does not exist", path.display()).into());
    }
    let options = RedbOptions::new()
        .compact_on_open(false)
        .on_recovery(|recovery| eprintln!("recovering: {:.0} %", recovery.progress() * 100.0));
    let engine = RedbEngine::open_with(path, &options)?;
    let (mut records, mut problems) = (0_u64, 0_u64);
    // Sessions without timeouts of their own go by the program's, which are not known here.
    let checked = engine.check(&Timeouts::default(), &mut |finding| {
        match finding {
            Finding::Record(..) => records += 1,
            Finding::Problem(sessile::Problem::LateInExpiry { .. }) => {}
            Finding::Problem(problem) => {
                problems += 1;
                println!("{problem}");
            }
        }
        Ok(())
    })?;
    println!("{records} sessions, {} of them with a user", checked.user_entries);
    println!("{problems} problems");
    engine.close()?;
    Ok(ExitCode::from(u8::from(problems > 0)))
}

fn salvage(damaged: &str, new: &str, stale: bool) -> Result<ExitCode, Box<dyn Error>> {
    let report = Salvage::new().include_stale(stale).run(damaged, new)?;
    println!("{} sessions are in {new}", report.kept);
    if !report.opened {
        println!("{damaged} cannot be opened; it was read page by page:");
        println!("  {} pages are not what was written", report.unreadable_pages);
        println!("  {} records are damaged", report.damaged_records);
        let became = if stale { "kept" } else { "left out; --include-stale keeps them" };
        println!("  {} sessions lie outside of what is intact: {became}", report.stale);
        println!("  some of these may have been ended by their users");
    }
    println!("{} sessions are lost", report.lost_count);
    for key in &report.lost {
        println!("  {key}");
    }
    let is_whole = report.lost_count == 0 && report.unreadable_pages == 0;
    Ok(ExitCode::from(u8::from(!is_whole)))
}
