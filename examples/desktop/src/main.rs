//! A program in a window whose user stays logged in: notes, and a list of the user's computers.
//!
//! ```text
//! cargo run --manifest-path examples/desktop/Cargo.toml     # log in as ann, "correct horse"
//! ```
//!
//! The library beside this file has everything but the window; see `lib.rs` and `README.md`.
//!
//! | file | holds |
//! |---|---|
//! | `main.rs` | the command line, the folder, the computer's name |
//! | `window/mod.rs` | the window: takes reports, draws the screen, hands on events |
//! | `window/entry.rs`, `home.rs`, `trouble.rs` | the screens |
//! | `window/parts.rs` | texts, buttons and fields, and their style |
//! | `window/script.rs` | the positions of everything on the screen, for the test that clicks |

mod window;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "desktop [--folder FOLDER] [--computer NAME] [--script FILE]";

/// The options of the command line.
#[derive(Default)]
struct Arguments {
    /// The store's folder. Default: the system's folder for the program's data.
    folder: Option<PathBuf>,
    /// This computer's name, in the list of computers.
    computer: Option<String>,
    /// The file for a record of the screen, which `tests/desktop/run` reads.
    script: Option<PathBuf>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut arguments = Self::default();
        while let Some(name) = given.next() {
            let value = given.next()?;
            match name.to_str()? {
                "--folder" => arguments.folder = Some(value.into()),
                "--computer" => arguments.computer = Some(value.into_string().ok()?),
                "--script" => arguments.script = Some(value.into()),
                _ => return None,
            }
        }
        Some(arguments)
    }
}

/// The system's name for this computer.
fn computer_name() -> String {
    let said = ["COMPUTERNAME", "HOSTNAME"].iter().find_map(|name| env::var(name).ok());
    let said = said.or_else(|| fs::read_to_string("/etc/hostname").ok());
    let name = said.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "this computer".into())
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(env::args_os().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let folder =
        arguments.folder.map_or_else(|| sessile::app_dir("org", "Example Ltd", "Notes"), Ok);
    let computer = arguments.computer.unwrap_or_else(computer_name);
    let shown = folder
        .map_err(|error| error.to_string())
        .and_then(|folder| window::show(&folder, computer, arguments.script.as_deref()));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("desktop: {message}");
            ExitCode::FAILURE
        }
    }
}
