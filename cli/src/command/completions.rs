//! What shells and `man` read about the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::command::{DONE, Done};
use crate::output::Output;

pub(super) fn completions(shell: Shell, out: &mut Output) -> Done {
    // It panics where it cannot write; memory takes it all.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sessile", &mut text);
    std::io::Write::write_all(out, &text)?;
    Ok(DONE)
}

pub(super) fn man(out: &mut Output) -> Done {
    clap_mangen::Man::new(Arguments::command()).render(out)?;
    Ok(DONE)
}
