//! `/metrics` in Prometheus' text format, on a separate port that a proxy in front of the site does
//! not forward.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::http::{Request, Response};

/// Installs the recorder of metrics, and serves its numbers on a thread.
pub(crate) fn serve(port: u16) -> Result<SocketAddr, Box<dyn Error>> {
    let kept = PrometheusBuilder::new().install_recorder()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = listener.local_addr()?;
    thread::Builder::new()
        .name("metrics".into())
        .spawn(move || crate::serve(&listener, |request| answer(&kept, request)))?;
    Ok(address)
}

fn answer(kept: &PrometheusHandle, request: &Request) -> Response {
    match (request.path(), request.method()) {
        ("/metrics", "GET") => {
            kept.run_upkeep();
            Response::metrics(kept.render())
        }
        ("/metrics", _) => {
            Response::text("405 Method Not Allowed").with_header("Allow", "GET, HEAD".into())
        }
        _ => Response::text("404 Not Found"),
    }
}
