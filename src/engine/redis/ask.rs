//! A connection to the primary, the commands and scripts on it, and the meaning of their errors.
//!
//! Invariant: a request that the server refused never counts as lost. A server's message that may
//! repeat arguments is not passed on.

use std::time::Duration;

use crate::engine::network::backend::{Attempt, Connection};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, NOT_ALLOWED, source};
use crate::engine::network::pool::Pooled;
use crate::engine::redis::Redis;
use crate::engine::redis::nodes::primary_of;
use crate::engine::redis::scripts::{ALL, RIGHTS, Script};
use crate::engine::redis::wire::{Reply, Request, Wire, garbled, holds, passing};
use crate::error::Error;

/// A connection to the primary.
#[derive(Debug)]
pub(crate) struct RedisConnection {
    wire: Wire,
}

impl RedisConnection {
    pub(super) const fn over(wire: Wire) -> Self {
        Self { wire }
    }
}

impl Pooled for RedisConnection {
    fn is_quiet(&self) -> bool {
        self.wire.is_quiet()
    }
}

impl Connection for RedisConnection {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.wire.set_deadline(deadline);
    }
}

/// Whether a command makes a change that replicas must acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Writes,
}

impl Redis {
    /// Runs one command.
    pub(super) fn command(
        &self,
        on: &mut RedisConnection,
        effect: Effect,
        words: &[&[u8]],
    ) -> Attempt<Reply> {
        match self.carry_out(on, effect, Request::default().with(words))? {
            Reply::Refused(said) => Err(self.refused(&said)),
            reply => Ok(reply),
        }
    }

    /// Runs several reading commands in one round trip; returns the reply to each.
    pub(super) fn commands<'a>(
        &self,
        on: &mut RedisConnection,
        commands: impl IntoIterator<Item = [&'a [u8]; 2]>,
    ) -> Attempt<Vec<Reply>> {
        let request = Request::default();
        let request = commands.into_iter().fold(request, |request, words| request.with(&words));
        let replies = on.wire.ask(&request)?.into_iter().map(|reply| match reply {
            Reply::Refused(said) => Err(self.refused(&said)),
            reply => Ok(reply),
        });
        replies.collect()
    }

    /// Runs one reading command, and checks that the node is still a primary. Outside a cluster a
    /// primary that became a replica keeps answering, and a client that never writes would not
    /// notice.
    pub(super) fn ask_primary(&self, on: &mut RedisConnection, words: &[&[u8]]) -> Attempt<Reply> {
        let mut replies = on.wire.ask(&Request::default().with(words).with(&[b"ROLE"]))?;
        if replies.pop().and_then(Reply::list).and_then(primary_of).is_some() {
            return Err(Failure::not_now("the server is a replica, which takes no writes"));
        }
        match replies.pop().ok_or_else(garbled)? {
            Reply::Refused(said) => Err(self.refused(&said)),
            reply => Ok(reply),
        }
    }

    /// Runs one script by its digest, which was learned when the engine was opened. A node that
    /// lacks the script receives its text.
    pub(super) fn script(
        &self,
        on: &mut RedisConnection,
        effect: Effect,
        script: Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Attempt<Reply> {
        let by = |command: &[u8], script: &[u8]| evaluation(command, script, keys, arguments);
        let reply = match self.digest(script) {
            Some(digest) => self.carry_out(on, effect, by(b"EVALSHA", digest.as_bytes()))?,
            None => Reply::Refused(UNKNOWN_SCRIPT.into()),
        };
        let reply = match reply {
            Reply::Refused(said) if said.starts_with(UNKNOWN_SCRIPT) => {
                self.carry_out(on, effect, by(b"EVAL", script.text.as_bytes()))?
            }
            reply => reply,
        };
        match reply {
            Reply::Refused(said) if effect == Effect::Writes => Err(self.stopped(&said)),
            Reply::Refused(said) => Err(self.refused(&said)),
            reply => Ok(reply),
        }
    }

    /// The failure of a script that changes something. What a script did before an error stays.
    /// Full memory, a failed save or too few replicas stop it at its first change, and nobody can
    /// kill it after that.
    fn stopped(&self, said: &str) -> Failure {
        let before_all = ["MISCONF", "SCRIPT KILL"].iter().any(|words| said.contains(words));
        match self.refused(said) {
            Failure::Answered(Error::Unavailable { source: reason, .. })
                if said.contains(INSIDE) && !before_all =>
            {
                let reason = format!("perhaps in the middle of the change, {reason}");
                Failure::Answered(Error::OutcomeUnknown { source: source(reason) })
            }
            other => other,
        }
    }

    fn digest(&self, script: Script) -> Option<&str> {
        self.digests.get()?.get(script.number).map(String::as_str)
    }

    /// Learns whether anything keeps the user from the commands by which scripts change something:
    /// a right, a command that was taken away, a key of somebody else. If so, no change is begun,
    /// since a script that fails at its second command has carried out the first.
    pub(super) fn learn_rights(&self, on: &mut RedisConnection) -> Attempt<()> {
        let keys = [self.keys.expiry(), self.keys.users(), &self.keys.meta];
        let mut request = match self.digest(RIGHTS) {
            Some(digest) => evaluation(b"EVALSHA", digest.as_bytes(), &keys, &[]),
            None => evaluation(b"EVAL", RIGHTS.text.as_bytes(), &keys, &[]),
        };
        if self.replicas > 0 {
            request = request.with(&[b"WAIT", b"0", b"1"]);
        }
        let refusal = on.wire.ask(&request)?.into_iter().find_map(|reply| match reply {
            Reply::Refused(said) => Some(said),
            _ => None,
        });
        *self.hindrance.lock() = refusal.filter(|said| {
            let may_pass = ["MISCONF", UNKNOWN_SCRIPT].iter().any(|kind| said.contains(kind));
            let failure = self.refused(said);
            !may_pass && matches!(failure, Failure::Answered(Error::Unavailable { .. }))
        });
        Ok(())
    }

    /// Refuses a user who cannot change what a store changes.
    pub(super) fn ensure_writes(&self) -> Attempt<()> {
        let hindrance = self.hindrance.lock();
        hindrance.as_ref().map_or(Ok(()), |said| Err(self.refused(said)))
    }

    /// Loads all scripts on the server, and learns their digests.
    pub(super) fn load_scripts(&self, on: &mut RedisConnection) -> Attempt<()> {
        let request = ALL.iter().fold(Request::default(), |request, script| {
            request.with(&[b"SCRIPT", b"LOAD", script.text.as_bytes()])
        });
        let replies = on.wire.ask(&request)?;
        let digests: Option<Vec<_>> = replies.into_iter().map(Reply::text).collect();
        if let Some(digests) = digests {
            // Every node computes the same digest for a text.
            let _ = self.digests.set(digests);
        }
        Ok(())
    }

    fn carry_out(
        &self,
        on: &mut RedisConnection,
        effect: Effect,
        request: Request,
    ) -> Attempt<Reply> {
        if effect == Effect::Writes {
            self.ensure_writes()?;
        }
        let waits = effect == Effect::Writes && self.replicas > 0;
        let request = match waits {
            false => request,
            true => {
                let wait = WAIT.min(self.longest_wait);
                let (replicas, millis) = (self.replicas.to_string(), wait.as_millis().to_string());
                request.with(&[b"WAIT", replicas.as_bytes(), millis.as_bytes()])
            }
        };
        let mut replies = on.wire.ask(&request)?;
        let acknowledged = match waits {
            true => replies.pop().and_then(|reply| reply.number()).unwrap_or(0),
            false => 0,
        };
        match replies.pop().ok_or_else(garbled)? {
            refused @ Reply::Refused(_) => Ok(refused),
            reply if !waits || acknowledged >= i64::from(self.replicas) => Ok(reply),
            _ => Err(Failure::Answered(Error::OutcomeUnknown {
                source: source(format!(
                    "{acknowledged} replicas of {} have the change, which a failover may undo",
                    self.replicas
                )),
            })),
        }
    }

    /// The failure that a server's error means.
    pub(super) fn refused(&self, said: &str) -> Failure {
        let mut words = said.split_whitespace();
        let kind = words.next().unwrap_or_default();
        if kind == "MOVED" {
            if let Some(address) = words.nth(1) {
                self.nodes.redirect(address);
            }
            return Failure::not_now("the store's slot has moved to another node");
        }
        if let Some(failure) = passing(said) {
            return failure;
        }
        if holds(said, "OOM") {
            let reason = "the server is at its `maxmemory`";
            return Error::StorageFull { path: self.server.clone().into(), source: source(reason) }
                .into();
        }
        let reason = match kind {
            "NOAUTH" | "NOPERM" | "WRONGPASS" => NOT_ALLOWED.into(),
            _ if DENIED_IN_SCRIPTS.iter().any(|words| said.contains(words)) => NOT_ALLOWED.into(),
            "MISCONF" => "the server refuses writes since it could not save its data".into(),
            _ => format!("the server refuses: {}", without_arguments(said)),
        };
        let source = source(reason);
        Error::Unavailable { server: self.server.clone(), source }.into()
    }
}

/// One script, by its text or its digest.
fn evaluation(command: &[u8], script: &[u8], keys: &[&[u8]], arguments: &[&[u8]]) -> Request {
    let words = 3 + keys.len() + arguments.len();
    let count = keys.len().to_string();
    let request = Request::default().command(words).word(command).word(script);
    let request = request.word(count.as_bytes());
    keys.iter().chain(arguments).fold(request, |request, word| request.word(word))
}

/// How long the server waits for its replicas.
const WAIT: Duration = Duration::from_millis(500);

/// A part of each error from inside a script: the place in its text.
const INSIDE: &str = "@user_script";

/// The beginning of the error of a node that does not know a script's digest.
const UNKNOWN_SCRIPT: &str = "NOSCRIPT";

/// Messages of several versions for a script without a permission; they contain the user's name.
const DENIED_IN_SCRIPTS: [&str; 3] = ["ACL failure", "The user executing the script", "-NOPERM "];

/// The server's message, without the arguments that some errors repeat.
fn without_arguments(said: &str) -> String {
    let words = said.split(", with args").next().unwrap_or_default();
    words.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::sync::OnceLock;

    use parking_lot::Mutex;

    use super::*;
    use crate::engine::network::transport::listening::connected;
    use crate::engine::redis::keys::Keys;
    use crate::engine::redis::nodes::{Login, Nodes};

    fn redis() -> Redis {
        let login = Login {
            user: None,
            password: None,
            database: 0,
            #[cfg(feature = "tls")]
            tls: None,
        };
        Redis {
            server: "a server".into(),
            nodes: Nodes::new("a server".into(), login, Vec::new(), "tag"),
            keys: Keys::new("tag"),
            digests: OnceLock::new(),
            hindrance: Mutex::new(None),
            replicas: 0,
            longest_wait: WAIT,
        }
    }

    #[test]
    fn a_server_with_too_many_clients_says_so_once_for_all_commands() {
        let (stream, mut peer) = connected();
        peer.write_all(b"-ERR max number of clients reached\r\n").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let request = Request::default().with(&[b"ROLE"]).with(&[b"CLUSTER", b"SLOTS"]);
        let asked = Wire::over(stream).ask(&request);
        assert!(matches!(asked, Err(Failure::NotNow(_))), "{asked:?}");
    }

    #[test]
    fn an_error_that_may_pass_is_waited_for_and_another_is_not() {
        for said in [
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script.",
            "CLUSTERDOWN Hash slot not served",
        ] {
            assert!(matches!(redis().refused(said), Failure::NotNow(_)), "{said}");
        }
        let full = "OOM command not allowed when used memory > 'maxmemory'.";
        let full = redis().refused(full);
        assert!(matches!(full, Failure::Answered(Error::StorageFull { .. })), "{full:?}");
        let unsaved = redis().refused("MISCONF Redis is configured to save RDB snapshots");
        assert!(matches!(unsaved, Failure::Answered(Error::Unavailable { .. })), "{unsaved:?}");
        assert!(format!("{unsaved:?}").contains("could not save its data"), "{unsaved:?}");
    }

    #[test]
    fn an_error_from_inside_a_script_leaves_the_change_in_doubt_unless_it_stops_the_first_one() {
        for (said, is_in_doubt) in [
            ("ERR Unknown Redis command called from script script: 53, on @user_script:49.", true),
            ("ERR Error running script (call to f_5): @user_script:9: WRONGTYPE Operation", true),
            (
                "NOPERM ACL failure in script: User u has no rights script: 53, on @user_script:4.",
                true,
            ),
            ("MISCONF Errors writing to the AOF file script: 53, on @user_script:4.", false),
            ("ERR Error running script (call to f_5): @user_script:9: -MISCONF Errors", false),
            ("ERR Script killed by user with SCRIPT KILL. script: 5, on @user_script:4.", false),
            ("NOPERM User u has no permissions to run the 'evalsha' command", false),
        ] {
            let failure = redis().stopped(said);
            let found = matches!(failure, Failure::Answered(Error::OutcomeUnknown { .. }));
            assert_eq!(found, is_in_doubt, "{said}: {failure:?}");
            assert!(!format!("{failure:?}").contains("User u"), "{failure:?}");
        }
        let full = redis().stopped("OOM command not allowed script: 53, on @user_script:4.");
        assert!(matches!(full, Failure::Answered(Error::StorageFull { .. })), "{full:?}");
    }

    #[test]
    fn the_time_of_a_primary_that_became_a_replica_is_not_taken() {
        for (role, is_taken) in [
            ("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", true),
            ("-NOPERM this user has no permissions\r\n", true),
            ("*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n", false),
        ] {
            let (stream, mut peer) = connected();
            let mut on = RedisConnection::over(Wire::over(stream));
            let answer = format!("*2\r\n$1\r\n1\r\n$1\r\n2\r\n{role}");
            peer.write_all(answer.as_bytes()).unwrap();
            let asked = redis().ask_primary(&mut on, &[b"TIME"]);
            match asked {
                Ok(Reply::List(time)) => assert!(is_taken && time.len() == 2, "{role}"),
                Err(Failure::NotNow(_)) => assert!(!is_taken, "{role}"),
                other => panic!("{role}: {other:?}"),
            }
            drop(on);
            let mut said = String::new();
            peer.read_to_string(&mut said).unwrap();
            assert!(said.contains("TIME") && said.contains("ROLE"), "{said}");
        }
    }
}
