//! A small blocking web server with logins, sessions in one file, and nothing else.
//!
//! ```text
//! cargo run --release --example server                          # 127.0.0.1:8080, sessions.redb
//! cargo run --release --example server -- 8081 other.redb      # another port and file
//! cargo run --release --example server --features redis -- --store redis://localhost
//! ```
//!
//! Log in with any name in two browsers and end one session from the other. Kill the server with
//! `kill -9` and start it again: the remaining browser is still logged in, with the same counter.
//!
//! | file | holds |
//! |---|---|
//! | `site.rs` | the sessions: login, CSRF check, counter, list, logout. Start here |
//! | `page.rs` | HTML |
//! | `http.rs` | a small part of HTTP/1.1; your program uses its web framework instead |
//! | `options.rs` | the command line |
//! | `metrics.rs` | `/metrics` for Prometheus, with `--features metrics` and `--metrics PORT` |
//!
//! While the server runs, `sessile list sessions.redb` shows who is logged in, and `sessile help`
//! lists the tool's other commands. The server opens the socket `sessions.redb.admin` for the tool.
//!
//! # Behind TLS
//!
//! The server speaks plain HTTP on the loopback interface. On an open network, put a proxy that
//! terminates TLS in front of the server, and start the server with `--behind-tls`. The cookie is
//! then named `__Host-sessile` and marked `Secure`: browsers send it over TLS only, and no other
//! host of the domain can set it. Otherwise a host of the same domain can keep visitors logged out.
//! The proxy also keeps slow clients away from the worker threads.
//!
//! # How long sessions live
//!
//! `SESSILE_INACTIVITY_SECONDS` and `SESSILE_ABSOLUTE_SECONDS` change the 15 minutes and 7 days.

mod http;
#[cfg(feature = "metrics")]
mod metrics;
mod options;
mod page;
mod site;

use std::error::Error;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, io, thread};

use sessile::admin::AdminSocket;
use sessile::web::cookie::SessionCookie;
use sessile::web::csrf::{CsrfKey, StatelessCsrf};
use sessile::{SessionStore, Timeouts};

use crate::http::{Request, Response};
use crate::options::{Command, Options, USAGE};
use crate::site::{Site, Visit};

/// A worker serves one client at a time, so there are more workers than a browser has connections.
const WORKERS: usize = 16;

fn main() -> ExitCode {
    let options = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Serve(options)) => options,
        Ok(Command::Help) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("server: {reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {}", with_sources(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Serves until the process is killed. A shutdown needs no code: every acknowledged write is in the
/// file.
fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    // Started before the store is opened, so that the metrics include its opening.
    let metrics = options.metrics.map(serve_metrics).transpose()?;
    let builder = SessionStore::builder()
        .timeouts(Timeouts::from_env()?)
        .content_name("sessile's example server");
    let store = match &options.store {
        Some(url) => builder.connect(url)?,
        None => {
            let store = builder.open(&options.file)?;
            open_the_door(&store, &options.file);
            store
        }
    };
    // The cookie has a name of its own, because all ports of a host share their cookies.
    let cookie = SessionCookie::builder()
        .name(if options.behind_tls { "__Host-sessile" } else { "sessile" })
        .secure(options.behind_tls)
        .build()?;
    // The key is new at each start. Only login forms from before the start must be loaded again.
    let csrf = StatelessCsrf::new(CsrfKey::generate()?);
    let site = Site { store, cookie, csrf };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;

    // With port 0 the operating system chooses the port, so the actual address is printed.
    let mut stdout = io::stdout();
    writeln!(stdout, "http://{}", listener.local_addr()?)?;
    if let Some(address) = metrics {
        writeln!(stdout, "http://{address}/metrics")?;
    }
    stdout.flush()?;

    thread::scope(|scope| {
        for number in 0..WORKERS {
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn_scoped(scope, || serve(&listener, |request| site.answer(request)))?;
        }
        Ok(())
    })
}

/// Opens the admin socket for the tool `sessile`; on Windows it is a named pipe, whose name the file
/// at the socket's path has. The server also works without the socket.
fn open_the_door(store: &SessionStore<Visit>, file: &Path) {
    if let Err(error) = store.serve_admin(AdminSocket::beside_file()) {
        let _ = writeln!(io::stderr(), "server: the tool cannot open {} now", file.display());
        log(&error);
    }
}

#[cfg(feature = "metrics")]
use metrics::serve as serve_metrics;

/// Never called: the command line refuses `--metrics` without the feature.
#[cfg(not(feature = "metrics"))]
fn serve_metrics(_: u16) -> Result<std::net::SocketAddr, Box<dyn Error>> {
    Err("the example was built without the feature `metrics`".into())
}

fn serve(listener: &TcpListener, respond: impl Fn(&Request) -> Response) {
    loop {
        match listener.accept() {
            // An error here means that the client disconnected, or was silent for too long.
            Ok((stream, _)) => drop(http::answer(stream, &respond)),
            // Another worker has taken the connection: Wine tells those that waited with it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                log(&error);
                // The likely cause is too many open files; trying again at once would spin.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Writes one line to standard error. `eprintln!` would panic if standard error is closed.
fn log(error: &dyn Error) {
    let _ = writeln!(io::stderr(), "server: {}", with_sources(error));
}

/// An error and its causes, in one line. The store's errors never contain a session id.
fn with_sources(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    // A foreign error may name itself as its cause, without end.
    causes.take(16).fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
