//! The command line: every verb and every flag, as `clap` reads them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sessile::{SessionKey, UserId};

use crate::when;

/// Look into a session store, end sessions, back it up, and put it back.
///
/// A TARGET is a store's file, the socket of a program that has one open, or the URL of a store on
/// a server. Where a program has the file, the tool goes through the socket beside it on its own.
/// No session id is ever shown or accepted: sessions are named by their keys, which give nobody a
/// login.
///
/// Exit codes: 0 done; 1 done, and something needs a look (problems, lost or differing sessions); 2
/// not done; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "sessile", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print JSON, for other programs to read
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print times in UTC, not in local time
    #[arg(long, global = true)]
    pub(crate) utc: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Numbers about a store
    Stats {
        /// The store's file
        target: PathBuf,
    },
    /// List sessions, the latest activity first
    List(List),
    /// Show one session
    Show {
        /// The store's file
        target: PathBuf,
        /// The session's key
        #[arg(value_parser = key)]
        key: SessionKey,
    },
    /// End sessions
    Revoke(Revoke),
    /// Delete what is expired, by the timeouts on record
    Sweep {
        /// The store's file
        target: PathBuf,
        /// Go by this inactivity timeout instead, for example `15m`
        #[arg(long, value_parser = when::duration, requires = "absolute")]
        inactivity: Option<Duration>,
        /// Go by this absolute timeout instead, for example `7d`
        #[arg(long, value_parser = when::duration, requires = "inactivity")]
        absolute: Option<Duration>,
    },
    /// Give back the space that a store's file does not need
    Compact {
        /// The store's file
        target: PathBuf,
    },
    /// Look for what is wrong: 0 sound, 1 problems, 2 cannot be opened
    Check {
        /// The store's file
        target: PathBuf,
    },
    /// Copy what is readable of a damaged file to a new one
    Salvage {
        /// The damaged file, which is not changed
        damaged: PathBuf,
        /// The new file
        new: PathBuf,
        /// Take what no intact tree leads to as well: ended sessions come back with it
        #[arg(long)]
        include_stale: bool,
    },
    /// Write a complete, verified copy of a store to a new file
    Backup {
        /// The store's file
        target: PathBuf,
        /// The new file
        file: PathBuf,
    },
    /// Make a store of a backup
    Restore {
        /// The backup, which is not changed
        backup: PathBuf,
        /// The store's file
        file: PathBuf,
        /// Put it in the place of the store that is there
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        leave_out: LeaveOutArguments,
    },
    /// Write a store as an archive of JSON lines
    Export {
        /// The store's file
        target: PathBuf,
        /// The archive; `-` or nothing for the standard output
        archive: Option<PathBuf>,
        /// With contents and CSRF tokens, as an import needs it. Keep it as you keep the store
        #[arg(long)]
        with_content: bool,
        #[command(flatten)]
        leave_out: LeaveOutArguments,
    },
    /// Read an archive into a store
    Import {
        /// The archive
        archive: PathBuf,
        /// The store's file
        target: PathBuf,
        /// Create the store if there is none
        #[arg(long)]
        create: bool,
        /// Import what comes before a fault
        #[arg(long)]
        partial: bool,
    },
    /// Bring the sessions of one store into another; one that was broken off is taken up by
    /// repeating it, with --exact where the second store holds nothing else
    Copy {
        /// The store's file to read
        from: PathBuf,
        /// The store's file to write
        to: PathBuf,
        /// Create the store to write if there is none
        #[arg(long)]
        create: bool,
        /// End in the second what the first does not have
        #[arg(long)]
        exact: bool,
    },
    /// Print a line for each session that is created, renewed or ended, until Ctrl-C
    #[cfg(unix)]
    Watch {
        /// The file of a store that a program has open, or the program's socket
        target: PathBuf,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The store's file
    pub(crate) target: PathBuf,
    /// Of this user: a number, or a text; `"42"` in double quotes is the text
    #[arg(long, value_parser = user)]
    pub(crate) user: Option<UserId>,
    /// Not active for so long, for example `15m` or `2d`
    #[arg(long, value_parser = when::duration)]
    pub(crate) idle_for: Option<Duration>,
    /// Expires within this time
    #[arg(long, value_parser = when::duration)]
    pub(crate) expires_within: Option<Duration>,
    /// Expired sessions as well, which wait for a sweep
    #[arg(long)]
    pub(crate) expired: bool,
    /// At most so many
    #[arg(long)]
    pub(crate) limit: Option<usize>,
    /// Those that come behind this one in the list
    #[arg(long, value_parser = key)]
    pub(crate) after: Option<SessionKey>,
    /// With content, where it describes itself
    #[arg(long)]
    pub(crate) content: bool,
    /// Users with the number of their sessions, instead of sessions
    #[arg(long, conflicts_with_all = ["idle_for", "expires_within", "after", "content", "user", "expired"])]
    pub(crate) users: bool,
}

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Revoke {
    /// The store's file
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Only say how many
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whom {
    /// The sessions with these keys
    #[arg(value_parser = key)]
    pub(crate) keys: Vec<SessionKey>,
    /// Every session of this user
    #[arg(long, value_parser = user)]
    pub(crate) user: Option<UserId>,
    /// Every other session of the user whose session this is
    #[arg(long, value_parser = key)]
    pub(crate) all_but: Option<SessionKey>,
    /// Every session that was not active for so long
    #[arg(long, value_parser = when::duration)]
    pub(crate) idle_for: Option<Duration>,
    /// Every session of every user
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LeaveOutArguments {
    /// Leave out the sessions of this user; may be repeated
    #[arg(long, value_parser = user)]
    pub(crate) without_user: Vec<UserId>,
    /// Leave out sessions created before: a time as in RFC 3339, or `2d` for two days ago
    #[arg(long, value_parser = when::moment)]
    pub(crate) created_before: Option<SystemTime>,
}

impl LeaveOutArguments {
    pub(crate) fn leave_out(&self) -> sessile::admin::LeaveOut {
        let nothing = sessile::admin::LeaveOut::nothing();
        let some = self.without_user.iter().fold(nothing, |some, user| some.user(user.clone()));
        match self.created_before {
            Some(moment) => some.created_before(moment),
            None => some,
        }
    }
}

fn key(text: &str) -> Result<SessionKey, String> {
    text.parse().map_err(|error: sessile::Error| error.to_string())
}

/// A number, or a text; in double quotes always a text.
fn user(text: &str) -> Result<UserId, String> {
    if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Ok(quoted.into());
    }
    Ok(match (text.parse::<i128>(), text.parse::<u128>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_what_clap_asks_for() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_user_is_a_number_or_a_text_and_in_quotes_a_text() {
        assert_eq!(user("42"), Ok(42.into()));
        assert_eq!(user("-1"), Ok((-1).into()));
        assert_eq!(user("18446744073709551616"), Ok((u128::from(u64::MAX) + 1).into()));
        assert_eq!(user(&i128::MIN.to_string()), Ok(i128::MIN.into()));
        assert_eq!(user(&u128::MAX.to_string()), Ok(u128::MAX.into()));
        assert_eq!(user("\"42\""), Ok("42".into()));
        assert_eq!(user("ann"), Ok("ann".into()));
    }
}
