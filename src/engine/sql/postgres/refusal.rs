//! Errors and warnings of the server.

use crate::engine::network::failure::Failure;

/// An error of the server: its SQLSTATE, and its message, which may contain a user name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) is_fatal: bool,
}

impl Refusal {
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut refusal = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, text)) = field.split_first() else { continue };
            let text = || String::from_utf8_lossy(text).into_owned();
            match kind {
                b'C' => refusal.code = text(),
                b'M' => refusal.message = text(),
                b'V' => refusal.is_fatal = matches!(field, b"VFATAL" | b"VPANIC"),
                _ => {}
            }
        }
        refusal
    }
}

/// Whether a notice says that an administrator cancelled the wait for a synchronous standby. It has
/// no code of its own, and its text is translated, so the function of the server that sends it
/// decides.
pub(super) fn gives_up_standbys(notice: &[u8]) -> bool {
    notice.split(|byte| *byte == 0).any(|field| field == b"RSyncRepWaitForLSN")
}

/// The server ended the connection during a request. A change may have been committed all the same:
/// an administrator's shutdown may also come between a commit and the replicas' acknowledgement.
pub(super) fn fatal(refusal: &Refusal) -> Failure {
    match refusal.code.as_str() {
        // Starting up, shutting down, or too many clients: nothing was begun.
        "57P03" | "53300" => Failure::not_now("the server takes no connections now"),
        "25P03" => Failure::lost(
            "the server ended the connection, since a transaction had nothing to do for its \
             `idle_in_transaction_session_timeout`",
        ),
        "25P04" => Failure::lost(
            "the server ended the connection, since a transaction took longer than its \
             `transaction_timeout`",
        ),
        code => Failure::lost(format!("the server ended the connection (SQLSTATE {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_about_standbys_is_told_from_others() {
        let notice = b"SWARNUNG\0VWARNING\0C01000\0Mtext\0Fsyncrep.c\0L276\0RSyncRepWaitForLSN\0\0";
        assert!(gives_up_standbys(notice));
        assert!(!gives_up_standbys(b"SNOTICE\0C00000\0MRSyncRepWaitForLSN\0RDefineRelation\0\0"));
    }

    #[test]
    fn a_connection_that_the_server_ended_says_why() {
        for (code, words) in [
            ("25P03", "`idle_in_transaction_session_timeout`"),
            ("25P04", "`transaction_timeout`"),
            ("57P01", "(SQLSTATE 57P01)"),
        ] {
            let failure = fatal(&Refusal { code: code.into(), ..Refusal::default() });
            let Failure::Lost(reason) = failure else { panic!("{failure:?}") };
            assert!(reason.to_string().contains(words), "{reason}");
        }
    }

    #[test]
    fn an_error_of_the_server_is_read() {
        let refusal = Refusal::parse(b"SFEHLER\0VFATAL\0C57P01\0Mgoing\0\0");
        assert_eq!((refusal.code.as_str(), refusal.is_fatal), ("57P01", true));
    }
}
