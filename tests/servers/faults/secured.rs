//! The same network below TLS, where a request or an answer that is not whole cannot be read at all.

use super::answers::{cut_everywhere, swallow_everywhere};
use super::connections::break_off_making;
use crate::places::{On, Place};

/// Lets connections to a server with TLS fail while they are made, and in every operation.
pub(crate) fn what_fails_below_tls_leaves_nothing_half_done<P: Place>(server: &str) {
    let store = || On::<P>::server(server);
    break_off_making(store);
    cut_everywhere(8, store);
    swallow_everywhere(store(), |length| vec![length / 2]);
}
