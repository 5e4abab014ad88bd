//! A small part of HTTP/1.1, enough for a browser: one request per connection, with limits on
//! everything that a client sends. This module knows nothing of sessions.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_BODY: usize = 16 * 1024;

/// How long a worker waits for a silent client.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sent with every response. Pages are not cached and not framed. They load a style sheet from this
/// server and send forms to it, and nothing else.
const HEADERS: &str = "\
Cache-Control: no-store\r\n\
Content-Security-Policy: default-src 'none'; style-src 'self'; form-action 'self'; \
frame-ancestors 'none'; base-uri 'none'\r\n\
Cross-Origin-Opener-Policy: same-origin\r\n\
Cross-Origin-Resource-Policy: same-origin\r\n\
Referrer-Policy: no-referrer\r\n\
X-Content-Type-Options: nosniff\r\n\
Connection: close\r\n";

pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

pub(crate) struct Response {
    status: &'static str,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// Why there is no request: the connection failed, or the request is refused with a status.
enum Unreadable {
    Connection(io::Error),
    Refused(&'static str),
}

/// Reads a request, answers it, and closes the connection.
pub(crate) fn answer(
    mut stream: TcpStream,
    respond: impl FnOnce(&Request) -> Response,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (response, with_body) = match Request::read(&mut stream) {
        Ok(request) => (respond(&request), request.method != "HEAD"),
        Err(Unreadable::Refused(status)) => (Response::text(status), true),
        Err(Unreadable::Connection(error)) => return Err(error),
    };
    response.write(&mut stream, with_body)?;

    // Closing while the client still sends would reset the connection, and the client might lose
    // the response. So the rest is read, up to a limit, and discarded.
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream.take(1024 * 1024), &mut io::sink())?;
    Ok(())
}

impl Request {
    /// `HEAD` counts as `GET`; the response to a `HEAD` is written without its body.
    pub(crate) fn method(&self) -> &str {
        if self.method == "HEAD" { "GET" } else { &self.method }
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Every value of a header; `name` is in lower case.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A field of the submitted form; empty if there is none.
    pub(crate) fn field(&self, name: &str) -> String {
        form_urlencoded::parse(&self.body)
            .find(|(n, _)| n == name)
            .map_or_else(String::new, |(_, value)| value.into_owned())
    }

    fn read(stream: &mut impl Read) -> Result<Self, Unreadable> {
        let mut received = Vec::new();
        let mut request = loop {
            if let Some((request, head_len)) = Self::parse(&received)? {
                received.drain(..head_len);
                break request;
            }
            if received.len() > MAX_HEAD {
                return Err(Unreadable::Refused("431 Request Header Fields Too Large"));
            }
            receive(stream, &mut received)?;
        };
        let body_len = request.body_len()?;
        while received.len() < body_len {
            receive(stream, &mut received)?;
        }
        received.truncate(body_len);
        request.body = received;
        Ok(request)
    }

    /// The request and the length of its head, or `None` if the head is incomplete.
    fn parse(received: &[u8]) -> Result<Option<(Self, usize)>, Unreadable> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let head_len = match head.parse(received) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Unreadable::Refused("431 Request Header Fields Too Large"));
            }
            Err(_) => return Err(Unreadable::Refused("400 Bad Request")),
        };
        let target = head.path.unwrap_or_default();
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let text = |value| String::from_utf8_lossy(value).into_owned();
        let headers = head.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value)));
        let request = Self {
            method: head.method.unwrap_or_default().into(),
            path: path.into(),
            headers: headers.collect(),
            body: Vec::new(),
        };
        Ok(Some((request, head_len)))
    }

    fn body_len(&self) -> Result<usize, Unreadable> {
        if self.headers("transfer-encoding").next().is_some() {
            return Err(Unreadable::Refused("411 Length Required"));
        }
        let mut lengths = self.headers("content-length");
        let len = match (lengths.next(), lengths.next()) {
            (None, _) => 0,
            // A length beyond 64 bits is too large, too.
            (Some(len), None) if !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit()) => {
                len.parse().unwrap_or(usize::MAX)
            }
            _ => return Err(Unreadable::Refused("400 Bad Request")),
        };
        if len > MAX_BODY {
            return Err(Unreadable::Refused("413 Content Too Large"));
        }
        Ok(len)
    }
}

fn receive(stream: &mut impl Read, received: &mut Vec<u8>) -> Result<(), Unreadable> {
    let ended = || Unreadable::Connection(io::ErrorKind::UnexpectedEof.into());
    let mut buffer = [0; 4096];
    let len = stream.read(&mut buffer).map_err(Unreadable::Connection)?;
    received
        .extend_from_slice(buffer.get(..len).filter(|read| !read.is_empty()).ok_or_else(ended)?);
    Ok(())
}

impl Response {
    pub(crate) const fn html(status: &'static str, body: String) -> Self {
        Self { status, content_type: "text/html; charset=utf-8", headers: Vec::new(), body }
    }

    pub(crate) fn css(body: &str) -> Self {
        Self { content_type: "text/css; charset=utf-8", ..Self::html("200 OK", body.into()) }
    }

    /// Redirects the browser to a `GET`, so that reloading the page submits no form again.
    pub(crate) fn redirect(to: &'static str) -> Self {
        Self::html("303 See Other", String::new()).with_header("Location", to.into())
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The text format of Prometheus.
    #[cfg(feature = "metrics")]
    pub(crate) fn metrics(body: String) -> Self {
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Self { content_type, ..Self::html("200 OK", body) }
    }

    pub(crate) fn text(status: &'static str) -> Self {
        Self { content_type: "text/plain; charset=utf-8", ..Self::html(status, status.into()) }
    }

    fn write(&self, stream: &mut impl Write, with_body: bool) -> io::Result<()> {
        let Self { status, content_type, headers, body } = self;
        let len = body.len();
        let mut response = format!(
            "HTTP/1.1 {status}\r\n{HEADERS}\
             Content-Type: {content_type}\r\nContent-Length: {len}\r\n"
        );
        for (name, value) in headers {
            response.push_str(&format!("{name}: {value}\r\n"));
        }
        response.push_str("\r\n");
        if with_body {
            response.push_str(body);
        }
        stream.write_all(response.as_bytes())
    }
}
