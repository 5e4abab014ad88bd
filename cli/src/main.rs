//! `sessile`: inspect a session store, end sessions, back the store up and restore it.
//!
//! Each verb has one file under `command/` and returns its exit code. `output` prints results and
//! warnings; `failure` describes an error, which `main` reports.

mod arguments;
mod command;
mod drafts;
mod failure;
mod output;
mod progress;
mod secrets;
mod signals;
mod target;
mod when;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::failure::FAILED;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    progress::listen_for_interrupts();
    let mut output = Output::new(&arguments.common);
    let done = command::run(&arguments, &mut output).and_then(|code| {
        output.flush()?;
        Ok(code)
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.code)
        }
    }
}

/// Reports a wrong command line without its URLs, which may hold passwords, and without session ids.
/// A script may pass a stored user, so that this commands no terminal either: `clap` would print it
/// as it is.
fn refuse(error: &clap::Error) -> ExitCode {
    let told = error.render().to_string();
    let (shown, has_id) = secrets::hidden(&told);
    let is_plain = secrets::arguments().all(|argument| output::plain(&argument) == argument);
    if is_plain && shown == told || !error.use_stderr() {
        error.exit();
    }
    output::complain(output::plain_lines(shown.trim_end()));
    if has_id {
        output::complain("  hint: ID looks like a session id; `sessile list` shows the keys");
    }
    ExitCode::from(FAILED)
}
