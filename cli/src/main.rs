//! `sessile`: look into a session store, end sessions, back it up, and put it back.
//!
//! One verb, one file under `command/`. Everything that is printed goes through `output`, every
//! failure through `failure`; a verb answers with its exit code and knows neither.

mod arguments;
mod command;
mod failure;
mod output;
mod progress;
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

/// Says what is wrong with the command line, without the URLs in it: they may hold passwords.
fn refuse(error: &clap::Error) -> ExitCode {
    let arguments = std::env::args_os().map(|it| it.to_string_lossy().into_owned());
    let values = arguments.map(|it| match it.split_once('=') {
        Some((flag, value)) if flag.starts_with('-') => value.to_owned(),
        _ => it,
    });
    let urls: Vec<_> = values.filter(|value| target::is_url(value)).collect();
    if urls.is_empty() || !error.use_stderr() {
        error.exit();
    }
    let told = error.render().to_string();
    eprint!("{}", urls.iter().fold(told, |told, url| told.replace(url, "URL")));
    ExitCode::from(FAILED)
}
