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
mod signals;
mod target;
mod when;

use std::cmp::Reverse;
use std::io::Write;
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

/// Reports a wrong command line without its URLs, which may hold passwords.
fn refuse(error: &clap::Error) -> ExitCode {
    let arguments = std::env::args_os().map(|it| it.to_string_lossy().into_owned());
    let values = arguments.map(|it| match it.split_once('=') {
        Some((flag, value)) if flag.starts_with('-') => value.to_owned(),
        _ => it,
    });
    let mut urls: Vec<_> = values.filter(|value| target::is_url(value)).collect();
    // One may begin with another, which must not be replaced in it.
    urls.sort_by_key(|url| Reverse(url.len()));
    if urls.is_empty() || !error.use_stderr() {
        error.exit();
    }
    let told = error.render().to_string();
    let _ = write!(
        std::io::stderr(),
        "{}",
        urls.iter().fold(told, |told, url| told.replace(url, "URL"))
    );
    ExitCode::from(FAILED)
}
