//! The command line: every verb and every flag, as `clap` reads them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sessile::{SessionKey, UserId};

use crate::when;

/// Inspect a session store, end sessions, back the store up and restore it.
///
/// A TARGET is a store's file, the socket of a program that has the file open, or the URL of a
/// store on a server. If a program has the file open, the tool connects to the program's socket
/// beside the file. The tool never shows or accepts a session id: it names sessions by their keys,
/// which give nobody a login.
///
/// Exit codes: 0 done; 1 done with findings (problems, lost or differing sessions); 2 failed; 130
/// interrupted.
#[derive(Debug, Parser)]
#[command(name = "sessile", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The heading of the options of every verb, which clap would mix with those of the verb.
const EVERY_VERB: &str = "Options of every verb";

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print JSON for other programs
    #[arg(long, global = true, help_heading = EVERY_VERB)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short, global = true, help_heading = EVERY_VERB)]
    pub(crate) quiet: bool,
    /// Print times in UTC instead of local time
    #[arg(long, global = true, help_heading = EVERY_VERB)]
    pub(crate) utc: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a store's counts, sizes, ages and timeouts
    Stats {
        /// The store's file, a program's socket, or a URL
        target: PathBuf,
    },
    /// List sessions, latest activity first
    List(List),
    /// Show one session
    Show {
        /// The store's file, a program's socket, or a URL
        target: PathBuf,
        /// The session's key
        #[arg(value_parser = key)]
        key: SessionKey,
    },
    /// End sessions
    // clap would write the target, which comes first, behind the keys.
    #[command(override_usage = "sessile revoke [OPTIONS] <TARGET> \
        <KEY...|--user <USER>|--all-but <KEY>|--idle-for <DURATION>|--all>")]
    Revoke(Revoke),
    /// Delete expired sessions, by the timeouts on record
    Sweep {
        /// The store's file, a program's socket, or a URL
        target: PathBuf,
        /// Use this inactivity timeout instead, for example `15m`
        #[arg(long, requires = "absolute")]
        #[arg(value_name = "DURATION", value_parser = when::duration)]
        inactivity: Option<Duration>,
        /// Use this absolute timeout instead, for example `7d`
        #[arg(long, requires = "inactivity")]
        #[arg(value_name = "DURATION", value_parser = when::duration)]
        absolute: Option<Duration>,
    },
    /// Give back the free space of a store's file
    Compact {
        /// The store's file
        #[arg(value_name = "FILE")]
        target: PathBuf,
    },
    /// Check records and indexes: exit code 0 if sound, 1 with problems, 2 if it cannot be opened
    Check {
        /// The store's file, a program's socket, or a URL
        target: PathBuf,
    },
    /// Copy the readable sessions of a damaged file to a new file
    Salvage {
        /// The damaged file, which is not changed
        #[arg(value_name = "FILE")]
        damaged: PathBuf,
        /// The new file
        new: PathBuf,
        /// Also keep records that no intact tree leads to; this brings ended sessions back
        #[arg(long)]
        include_stale: bool,
    },
    /// Write a complete, verified copy of a store to a new file
    Backup {
        /// The store's file, a program's socket, or a URL
        target: PathBuf,
        /// The new file
        #[arg(value_name = "NEW")]
        file: PathBuf,
    },
    /// Make a store from a backup
    Restore {
        /// The backup, which is not changed
        backup: PathBuf,
        /// The store's file
        file: PathBuf,
        /// Replace the store that is there
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        leave_out: LeaveOutArguments,
    },
    /// Write a store as an archive of JSON lines
    Export {
        /// The store's file, a program's socket, or a URL
        target: PathBuf,
        /// The archive; `-` or no argument is the standard output
        archive: Option<PathBuf>,
        /// Include contents and CSRF tokens, which an import needs; guard the archive as the store
        #[arg(long)]
        with_content: bool,
        #[command(flatten)]
        leave_out: LeaveOutArguments,
    },
    /// Read an archive into a store
    Import {
        /// The archive
        archive: PathBuf,
        /// The store's file, a program's socket, or a URL
        target: PathBuf,
        /// Create the store if there is none
        #[arg(long)]
        create: bool,
        /// Import the sessions before a fault
        #[arg(long)]
        partial: bool,
    },
    /// Copy the sessions of one store into another; repeat the command to finish an interrupted
    /// copy, with --exact if the second store holds nothing else
    Copy {
        /// The store to read: its file, a program's socket, or a URL
        from: PathBuf,
        /// The store to write: its file, a program's socket, or a URL
        to: PathBuf,
        /// Create the store to write if there is none
        #[arg(long)]
        create: bool,
        /// End the sessions of the second store that the first does not have, also those that a
        /// program creates there meanwhile
        #[arg(long)]
        exact: bool,
    },
    /// Print a line for each session that is created, renewed or ended, until Ctrl-C
    Watch {
        /// The file of a store that a program has open, or the program's socket
        target: PathBuf,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the tool's manual page, or write those of all verbs
    Man {
        /// The folder for the pages `sessile.1`, `sessile-list.1` and so on, which are replaced
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The store's file, a program's socket, or a URL
    pub(crate) target: PathBuf,
    /// Only sessions of this user: a number, or a text; in double quotes a JSON string, so that
    /// `"42"` is a text, as are `+42` and `007`
    #[arg(long, value_parser = user, allow_hyphen_values = true)]
    pub(crate) user: Option<UserId>,
    /// Only sessions inactive for at least this long, for example `15m` or `2d`
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    pub(crate) idle_for: Option<Duration>,
    /// Only sessions that expire within this time
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    pub(crate) expires_within: Option<Duration>,
    /// Also expired sessions, which are stored until a sweep
    #[arg(long)]
    pub(crate) expired: bool,
    /// At most this many
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// Only sessions after this one in the list
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub(crate) after: Option<SessionKey>,
    /// Show contents as JSON, and those that only the program can decode as bytes
    #[arg(long)]
    pub(crate) content: bool,
    /// List users and their numbers of sessions instead
    #[arg(long, conflicts_with_all = ["idle_for", "expires_within", "after", "content", "user", "expired"])]
    pub(crate) users: bool,
}

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Revoke {
    /// The store's file, a program's socket, or a URL
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Only print how many sessions would end
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whom {
    /// The sessions with these keys
    #[arg(value_name = "KEY", value_parser = key)]
    pub(crate) keys: Vec<SessionKey>,
    /// Every session of this user, spelt as `sessile list` shows them
    #[arg(long, value_parser = user, allow_hyphen_values = true)]
    pub(crate) user: Option<UserId>,
    /// Every session of this session's user, except this one
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub(crate) all_but: Option<SessionKey>,
    /// Every session inactive for at least this long, for example `15m` or `2d`
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    pub(crate) idle_for: Option<Duration>,
    /// Every session of every user
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LeaveOutArguments {
    /// Leave out the sessions of this user, spelt as `sessile list` shows them; may be repeated
    #[arg(long, value_name = "USER", value_parser = user, allow_hyphen_values = true)]
    pub(crate) without_user: Vec<UserId>,
    /// Leave out sessions created before this time: in RFC 3339, or `2d` for two days ago
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    pub(crate) created_before: Option<SystemTime>,
}

impl LeaveOutArguments {
    /// Whether something is to be left out.
    pub(crate) const fn is_given(&self) -> bool {
        !self.without_user.is_empty() || self.created_before.is_some()
    }

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

/// Parses a user: a number, or a text; what begins with a double quote is a JSON string.
fn user(text: &str) -> Result<UserId, String> {
    if text.starts_with('"') {
        let text: String = serde_json::from_str(text).map_err(|error| {
            format!("a user in double quotes is a JSON string, and this is none: {error}")
        })?;
        return Ok(text.into());
    }
    Ok(number(text).unwrap_or_else(|| text.into()))
}

/// The user that is the number of this spelling; none of `+42` and `007`, since a telephone number
/// or a member's number is a text.
pub(crate) fn number(text: &str) -> Option<UserId> {
    let number: UserId = match (text.parse::<i128>(), text.parse::<u128>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) => number.into(),
        _ => return None,
    };
    (number.to_string() == text).then_some(number)
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
    fn the_usage_of_revoke_names_the_target_before_the_keys_and_every_choice() {
        let mut command = Arguments::command();
        let revoke = command.find_subcommand_mut("revoke").unwrap();
        let usage = revoke.render_usage().to_string();
        assert!(usage.contains("revoke [OPTIONS] <TARGET> <KEY...|--user <USER>|"), "{usage}");
        let whom = revoke.get_groups().find(|group| group.get_id() == "Whom").unwrap();
        for choice in whom.get_args().filter(|choice| *choice != "keys") {
            assert!(usage.contains(&format!("--{}", choice.as_str().replace('_', "-"))), "{usage}");
        }
        let key = "0".repeat(32);
        assert!(Arguments::try_parse_from(["sessile", "revoke", "sessions.redb", &key]).is_ok());
        assert!(Arguments::try_parse_from(["sessile", "revoke", &key, "sessions.redb"]).is_err());
    }

    #[test]
    fn a_user_is_a_number_or_a_text_and_in_quotes_a_text() {
        assert_eq!(user("42"), Ok(42.into()));
        assert_eq!(user("-1"), Ok((-1).into()));
        assert_eq!(user("18446744073709551616"), Ok((u128::from(u64::MAX) + 1).into()));
        assert_eq!(user(&i128::MIN.to_string()), Ok(i128::MIN.into()));
        assert_eq!(user(&u128::MAX.to_string()), Ok(u128::MAX.into()));
        assert_eq!(user("\"42\""), Ok("42".into()));
        assert_eq!(user(r#""dom\\ann""#), Ok(r"dom\ann".into()));
        assert_eq!(user(r#"" a\"\n\u001b""#), Ok(" a\"\n\u{1b}".into()));
        for text in [r"dom\ann", "a\"b", "5\""] {
            assert_eq!(user(text), Ok(text.into()));
        }
        for refused in ["\"", "\"ann", r#""dom\ann""#, r#""a"b""#, r#""a" "b""#] {
            assert!(user(refused).unwrap_err().contains("JSON string"), "{refused}");
        }
        for text in ["ann", "+4917612345", "007", "-0", "+0", "00", "-007", "1_000", " 1", ""] {
            assert_eq!(user(text), Ok(text.into()));
        }
        assert_eq!(user("0"), Ok(0.into()));
    }
}
