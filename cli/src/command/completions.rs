//! The completions for shells, and the manual page.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::command::{DONE, Done};
use crate::failure::Failure;
use crate::output::Output;

pub(super) fn completions(shell: Shell, out: &mut Output) -> Done {
    // `generate` panics if a write fails, so its target is memory.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sessile", &mut text);
    printed(&text, out)
}

/// Prints the first page, or writes the pages of the tool and of each verb into a folder.
pub(super) fn man(folder: Option<&Path>, out: &mut Output) -> Done {
    match folder {
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
            return printed(&text, out);
        }
        Some(folder) => {
            let written = fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder));
            written.map_err(|error| {
                let what = format!("could not write the manual pages into {}", folder.display());
                Failure::of_file(what, &error)
            })?;
        }
    }
    Ok(DONE)
}

fn printed(text: &[u8], out: &mut Output) -> Done {
    out.line(String::from_utf8_lossy(text).trim_end())?;
    Ok(DONE)
}
