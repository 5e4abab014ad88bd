//! The name servers that the operating system is set to use.
//!
//! Invariant: this file only reads settings, and sends nothing.

use std::io;
use std::net::SocketAddr;

const PORT: u16 = 53;

/// The name servers of `/etc/resolv.conf`; the one on this machine if the file names none, as for
/// the C library.
///
/// # Errors
///
/// If the file cannot be read.
#[cfg(unix)]
pub(super) fn name_servers() -> io::Result<Vec<SocketAddr>> {
    const FILE: &str = "/etc/resolv.conf";
    match std::fs::read(FILE) {
        Ok(text) => Ok(named_in(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(named_in(b"")),
        Err(error) => Err(io::Error::new(error.kind(), format!("{FILE}: {error}"))),
    }
}

#[cfg(unix)]
fn named_in(text: &[u8]) -> Vec<SocketAddr> {
    use std::net::{Ipv4Addr, ToSocketAddrs};
    // A line that cannot be read does not count.
    let (settings, _) = resolv_conf::Config::parse_with_errors(text);
    let named = settings.nameservers.iter().map(ToString::to_string);
    // As text, because only the system knows the number of a link that an address names.
    let servers: Vec<_> =
        named.filter_map(|server| (server, PORT).to_socket_addrs().ok()).flatten().collect();
    match servers.is_empty() {
        true => vec![(Ipv4Addr::LOCALHOST, PORT).into()],
        false => servers,
    }
}

/// The name servers of the network adapters that are up.
///
/// # Errors
///
/// If there are none.
#[cfg(windows)]
pub(super) fn name_servers() -> io::Result<Vec<SocketAddr>> {
    use std::net::{IpAddr, SocketAddrV6};
    let mut adapters = ipconfig::get_adapters().map_err(io::Error::other)?;
    adapters.retain(|adapter| adapter.oper_status() == ipconfig::OperStatus::IfOperStatusUp);
    adapters.sort_by_key(ipconfig::Adapter::ipv4_metric);
    let mut servers = Vec::new();
    for adapter in &adapters {
        for server in adapter.dns_servers() {
            let server = match *server {
                // An address that Windows makes up where none is set.
                IpAddr::V6(address) if address.segments()[0] & 0xffc0 == 0xfec0 => continue,
                IpAddr::V6(address) if address.is_unicast_link_local() => {
                    SocketAddrV6::new(address, PORT, 0, adapter.ipv6_if_index()).into()
                }
                address => SocketAddr::new(address, PORT),
            };
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
    }
    match servers.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "no network adapter names a server")),
        false => Ok(servers),
    }
}

/// # Errors
///
/// Always: this build cannot read the settings of this system.
#[cfg(not(any(unix, windows)))]
pub(super) fn name_servers() -> io::Result<Vec<SocketAddr>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not tell its name servers"))
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_the_adapters_are_found_or_their_absence_is_an_error() {
        match name_servers() {
            Ok(servers) => assert!(servers.iter().all(|server| server.port() == PORT)),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_the_file_are_used_in_its_order_and_other_lines_do_not_matter() {
        let text = b"# nameserver 10.9.9.9\nsearch example.com\nnameserver 10.0.0.2\n\
                     nameserver no.address\nnameserver\nnameserver fd00::1\n\xff\xfe\n\
                     options edns0 unknown:7\nnameserver 10.0.0.3 # the second\n";
        let expected = ["10.0.0.2:53", "[fd00::1]:53", "10.0.0.3:53"];
        assert_eq!(named_in(text), expected.map(|server| server.parse().unwrap()));
        let server = named_in(b"nameserver fe80::1%1\n");
        assert!(matches!(server.as_slice(), [SocketAddr::V6(server)] if server.scope_id() == 1));
    }

    #[test]
    fn a_file_that_names_no_server_means_the_one_on_this_machine() {
        for text in [b"".as_slice(), b"search example.com\n", b"nameserver nowhere\n"] {
            assert_eq!(named_in(text), ["127.0.0.1:53".parse().unwrap()]);
        }
    }
}
