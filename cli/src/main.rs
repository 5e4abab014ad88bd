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
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
