//! The session cookie, in and out.

use sessile::SessionId;

use crate::http::Request;

pub(crate) struct Cookie {
    name: &'static str,
    /// `HttpOnly`: no script can read it. `SameSite=Lax`: other sites' forms do not send it, links
    /// from other sites do. No `Max-Age`: the browser forgets it when it ends, and the store when
    /// its timeouts say so.
    attributes: &'static str,
}

impl Cookie {
    pub(crate) const fn new(behind_tls: bool) -> Self {
        if behind_tls {
            // Browsers take a `__Host-` cookie from this very host over TLS, and from nobody else.
            let attributes = "HttpOnly; SameSite=Lax; Path=/; Secure";
            Self { name: "__Host-sessile", attributes }
        } else {
            Self { name: "sessile", attributes: "HttpOnly; SameSite=Lax; Path=/" }
        }
    }

    /// The id that the client claims to have. A malformed one is no session, as is none at all.
    pub(crate) fn read(&self, request: &Request) -> Option<SessionId> {
        request
            .headers("cookie")
            .flat_map(|header| header.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name)
            .and_then(|(_, value)| SessionId::parse(value).ok())
    }

    /// The value of `Set-Cookie` that gives the client its id.
    pub(crate) fn set(&self, id: &SessionId) -> String {
        format!("{}={}; {}", self.name, id.encode(), self.attributes)
    }

    /// The value of `Set-Cookie` that makes the client forget it.
    pub(crate) fn clear(&self) -> String {
        format!("{}=; {}; Max-Age=0", self.name, self.attributes)
    }
}
