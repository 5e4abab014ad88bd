//! A small blocking web server with logins, sessions in one file, and nothing else.
//!
//! ```text
//! cargo run --release --example server                          # 127.0.0.1:8080, sessions.redb
//! cargo run --release --example server -- 8081 other.redb      # another port and file
//! cargo run --release --example server --features redis -- --store redis://localhost
//! ```
//!
//! Log in with any name in two browsers, end one session from the other, kill the server with
//! `kill -9` and start it again: who was logged in still is, with the same counter.
//!
//! | file | holds |
//! |---|---|
//! | `site.rs` | the sessions: login, CSRF check, counter, list, logout. Start here |
//! | `page.rs` | HTML |
//! | `http.rs` | just enough of HTTP/1.1; in your program, your web framework |
//! | `options.rs` | the command line |
//! | `metrics.rs` | `/metrics` for Prometheus, with `--features metrics` and `--metrics PORT` |
//!
//! While it runs, `sessile list sessions.redb` shows who is logged in, and `sessile help` what else
//! there is to be done: the server opens a socket for that tool, `sessions.redb.admin`.
//!
//! # Behind TLS
//!
//! The server speaks plain HTTP on the loopback interface. On the open network put a proxy that
//! terminates TLS in front of it, and start it with `--behind-tls`: the cookie is then called
//! `__Host-sessile` and marked `Secure`, so that it travels over TLS alone and no other host of the
//! domain can set it. Without that, a host of the same domain can keep visitors logged out. The
//! proxy also keeps slow clients away from the worker threads.
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

#[cfg(unix)]
use sessile::admin::AdminSocket;
use sessile::web::cookie::SessionCookie;
use sessile::web::csrf::{CsrfKey, StatelessCsrf};
use sessile::{SessionStore, Timeouts};

use crate::http::{Request, Response};
use crate::options::{Command, Options, USAGE};
use crate::site::{Site, Visit};

/// Each waits for one client at a time, so there are a few more than a browser opens connections.
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

/// Serves until the process is killed. There is no shutdown code, and none is needed: whatever was
/// answered is in the file already.
fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    // Before the store is opened, which tells of its opening.
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
    // A name of its own: cookies do not tell the ports of a host apart.
    let cookie = SessionCookie::builder()
        .name(if options.behind_tls { "__Host-sessile" } else { "sessile" })
        .secure(options.behind_tls)
        .build()?;
    // A new key at each start: a login form from before has to be loaded again, and nothing else.
    let csrf = StatelessCsrf::new(CsrfKey::generate()?);
    let site = Site { store, cookie, csrf };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;

    // With port 0 the operating system has chosen one, so what is printed is the actual address.
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

/// Lets the tool `sessile` in while the server runs. The server works without it as well.
#[cfg(unix)]
fn open_the_door(store: &SessionStore<Visit>, file: &Path) {
    if let Err(error) = store.serve_admin(AdminSocket::beside_file()) {
        let _ = writeln!(io::stderr(), "server: no tool can look into {}", file.display());
        log(&error);
    }
}

#[cfg(not(unix))]
fn open_the_door(_: &SessionStore<Visit>, _: &Path) {}

#[cfg(feature = "metrics")]
use metrics::serve as serve_metrics;

/// The command line has refused it.
#[cfg(not(feature = "metrics"))]
fn serve_metrics(_: u16) -> Result<std::net::SocketAddr, Box<dyn Error>> {
    Err("the example was built without the feature `metrics`".into())
}

fn serve(listener: &TcpListener, respond: impl Fn(&Request) -> Response) {
    loop {
        match listener.accept() {
            // An error here is the client's: it went away, or said nothing for too long.
            Ok((stream, _)) => drop(http::answer(stream, &respond)),
            Err(error) => {
                log(&error);
                // Most likely there are too many open files, and asking at once would spin.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// One line on standard error. Not `eprintln!`, which panics when nobody reads that any more.
fn log(error: &dyn Error) {
    let _ = writeln!(io::stderr(), "server: {}", with_sources(error));
}

/// An error and what caused it, in one line. The store's errors never contain a session id.
fn with_sources(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(&format!(": {error}"));
        source = error.source();
    }
    line
}
