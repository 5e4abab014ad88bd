//! The verbs, one file each. A verb returns its exit code.

mod backup;
mod check;
mod compact;
mod completions;
mod copy;
mod export;
mod import;
mod list;
mod restore;
mod revoke;
mod salvage;
mod show;
mod stats;
mod sweep;
mod watch;

use std::path::Path;

use sessile::{SessionKey, UserId};

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::output::Output;
use crate::{output, target};

/// The verb is done.
const DONE: u8 = 0;
/// The verb is done and found something to look at.
const LOOK: u8 = 1;

type Done = Result<u8, Failure>;

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Done {
    for file in files_of(&arguments.command) {
        target::refuse_urls(file)?;
    }
    match &arguments.command {
        Command::Stats { target } => stats::run(target, output),
        Command::List(list) => list::run(list, output),
        Command::Show { target, key } => show::run(target, key, output),
        Command::Revoke(revoke) => revoke::run(revoke, output),
        Command::Sweep { target, inactivity, absolute } => {
            sweep::run(target, inactivity.zip(*absolute), output)
        }
        Command::Compact { target } => compact::run(target, output),
        Command::Check { target } => check::run(target, output),
        Command::Salvage { damaged, new, include_stale } => {
            salvage::run(damaged, new, *include_stale, output)
        }
        Command::Backup { target, file } => backup::run(target, file, output),
        Command::Restore { backup, file, replace, leave_out } => {
            restore::run(backup, file, *replace, leave_out, output)
        }
        Command::Export { target, archive, with_content, leave_out } => {
            export::run(target, archive.as_deref(), *with_content, leave_out, output)
        }
        Command::Import { archive, target, create, partial } => {
            import::run(archive, target, *create, *partial, output)
        }
        Command::Copy { from, to, create, exact } => copy::run(from, to, *create, *exact, output),
        Command::Watch { target } => watch::run(target, output),
        Command::Completions { shell } => completions::completions(*shell, output),
        Command::Man { folder } => completions::man(folder.as_deref(), output),
    }
}

/// No session has this key. The text leaves the target out, which may be a URL with a password.
fn missing(key: &SessionKey) -> Failure {
    Failure::new(format!("there is no session {key}")).hint("`sessile list` shows the keys")
}

/// Warns of a user who has no session, or no live one: the spelling may be wrong.
fn warn_of_unmatched(flag: &str, user: &UserId, missing: &str) {
    let user = output::user(Some(user));
    output::warn(format!("{flag}: {user} has no {missing}; see `sessile list --users`"));
}

/// The arguments that must be files. A URL in their place may hold a password, so it is refused
/// before any message shows it.
fn files_of(command: &Command) -> Vec<&Path> {
    match command {
        Command::Compact { target } => vec![target],
        Command::Salvage { damaged, new, .. } => vec![damaged, new],
        Command::Backup { file, .. } => vec![file],
        Command::Restore { backup, file, .. } => vec![backup, file],
        Command::Import { archive, .. } => vec![archive],
        Command::Man { folder: Some(folder) } => vec![folder],
        Command::Export { archive: Some(archive), .. } => vec![archive],
        _ => Vec::new(),
    }
}
