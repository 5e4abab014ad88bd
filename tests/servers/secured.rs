//! TLS, against servers with certificates made by the test: one is valid, and three are not.

use std::path::{Path, PathBuf};
use std::process::Command;

use sessile::{Error, SessionStore};

use crate::instances::{self, output, wait_until};
use crate::{faults, places};

/// A certificate authority, and the server certificates that it issued.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        // Each has its own name; equal names would be mistaken for each other.
        let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        make.args(["-nodes", "-days", "2", "-subj", &format!("/CN=authority {name}"), "-keyout"]);
        make.arg(folder.path().join("ca.key")).arg("-out").arg(folder.path().join("ca.pem"));
        output(&mut make);
        std::fs::write(folder.path().join("index.txt"), "").unwrap();
        std::fs::write(folder.path().join("serial"), "01\n").unwrap();
        let settings = format!(
            "[ca]\ndefault_ca = test\n[test]\ndir = {0}\ndatabase = {0}/index.txt\n\
             serial = {0}/serial\nnew_certs_dir = {0}\ndefault_md = sha256\npolicy = any\n\
             copy_extensions = copy\nunique_subject = no\n[any]\ncommonName = supplied\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("ca.cnf"), settings).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certificate(&self) -> String {
        self.path("ca.pem").display().to_string()
    }

    /// Issues a key and a certificate for a host; the certificate can be expired.
    fn issue(&self, host: &str, is_expired: bool) -> (PathBuf, PathBuf) {
        let name = format!("{host}-{is_expired}");
        let (key, request) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.csr")));
        let certificate = self.path(&format!("{name}.pem"));
        let mut ask = Command::new("openssl");
        ask.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        ask.args([
            "-subj",
            &format!("/CN={host}"),
            "-addext",
            &format!("subjectAltName=DNS:{host}"),
        ]);
        output(ask.arg("-keyout").arg(&key).arg("-out").arg(&request));
        let mut sign = Command::new("openssl");
        sign.args(["ca", "-batch", "-notext", "-config"]).arg(self.path("ca.cnf"));
        sign.arg("-cert").arg(self.path("ca.pem")).arg("-keyfile").arg(self.path("ca.key"));
        match is_expired {
            true => sign.args(["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]),
            false => sign.args(["-days", "2"]),
        };
        output(sign.arg("-in").arg(&request).arg("-out").arg(&certificate));
        (key, certificate)
    }
}

/// The error of a connection with an invalid certificate.
fn refusal(url: &str) -> String {
    let error = SessionStore::<u64>::connect(url).map(drop).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    std::error::Error::source(&error).unwrap().to_string()
}

/// The URL for connections through a proxy at an address that the certificate does not name.
fn named(url: &str) -> String {
    places::with_parameter(url, "tls_name=localhost")
}

/// The URL of a server that must have a certificate of this authority.
fn with_tls(url: &str, authority: &Authority) -> String {
    places::with_parameter(url, &format!("tls=on&tls_ca={}", authority.certificate()))
}

fn works(url: &str) {
    let store = SessionStore::<u64>::connect(url).unwrap();
    let session = store.create_for_user("ann", 1).unwrap();
    assert_eq!(*store.read_and_extend(session.id()).unwrap().unwrap().content(), 1);
    let large = SessionStore::<Vec<u8>>::builder().max_content_len(1 << 20).manual_maintenance();
    let large = large.connect(&format!("{url}&name=large")).unwrap();
    let content: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
    let session = large.create(content.clone()).unwrap();
    assert_eq!(large.read(session.id()).unwrap().unwrap().into_content(), content);
    assert!(store.destroy(session.id()).is_ok());
}

#[cfg(feature = "redis")]
mod redis {
    use super::*;

    fn server(key: &Path, certificate: &Path, further: &[&str]) -> (instances::Instance, u16) {
        let port = instances::free_port();
        let options = [
            "--tls-port",
            &port.to_string(),
            "--tls-key-file",
            &key.display().to_string(),
            "--tls-cert-file",
            &certificate.display().to_string(),
        ];
        let options = [&options[..], further].concat();
        (instances::redis(&options), port)
    }

    #[test]
    fn only_a_server_whose_certificate_holds_is_spoken_to() {
        let (ours, others) = (Authority::new(), Authority::new());
        let ca = ours.certificate();
        let url = |port: u16| format!("rediss://localhost:{port}?tls_ca={ca}");
        for (authority, host, is_expired, expected) in [
            (&ours, "localhost", false, None),
            (&ours, "elsewhere.example", false, Some("NotValidForName")),
            (&ours, "localhost", true, Some("Expired")),
            (&others, "localhost", false, Some("UnknownIssuer")),
        ] {
            let (key, certificate) = authority.issue(host, is_expired);
            let (_server, port) = server(&key, &certificate, &["--tls-auth-clients", "no"]);
            match expected {
                None => works(&url(port)),
                Some(expected) => {
                    let said = refusal(&url(port));
                    assert!(said.contains(expected), "{expected}: {said}");
                }
            }
        }
    }

    #[test]
    fn what_fails_below_tls_leaves_nothing_half_done() {
        let ours = Authority::new();
        let (key, certificate) = ours.issue("localhost", false);
        let (_server, port) = server(&key, &certificate, &["--tls-auth-clients", "no"]);
        let url = format!("rediss://localhost:{port}?tls_ca={}", ours.certificate());
        faults::what_fails_below_tls_leaves_nothing_half_done::<places::Redis>(&named(&url));
    }

    #[test]
    fn a_server_that_asks_for_a_certificate_gets_the_clients_and_may_have_another_name() {
        let ours = Authority::new();
        let ca = ours.certificate();
        let (key, certificate) = ours.issue("elsewhere.example", false);
        let (own_key, own) = ours.issue("client", false);
        let (_server, port) =
            server(&key, &certificate, &["--tls-auth-clients", "yes", "--tls-ca-cert-file", &ca]);
        let url = format!("rediss://localhost:{port}?tls_ca={ca}&tls_name=elsewhere.example");
        refusal(&format!("{url}&timeout_ms=1000"));
        works(&format!("{url}&tls_cert={}&tls_key={}", own.display(), own_key.display()));
    }

    #[test]
    fn a_server_without_tls_is_not_spoken_to_in_clear() {
        let ours = Authority::new();
        let server = instances::redis(&[]);
        let url = format!("rediss://localhost:{}?tls_ca={}", server.port, ours.certificate());
        refusal(&format!("{url}&timeout_ms=1000"));
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use crate::instances::{Instance, psql};

    fn url_of(server: &Instance, authority: &Authority) -> String {
        with_tls(&format!("postgres://postgres@localhost:{}/postgres", server.port), authority)
    }

    /// Has a server present a certificate to each new connection, within a moment.
    fn use_certificate(server: &Instance, (key, certificate): (PathBuf, PathBuf)) {
        let data = server.folder.path().join("data");
        for (from, to) in [(key, "server.key"), (certificate, "server.crt")] {
            let to = data.join(to);
            std::fs::copy(from, &to).unwrap();
            output(Command::new("chmod").arg("600").arg(&to));
            output(Command::new("chown").arg("--reference").arg(&data).arg(&to));
        }
        psql(server, "alter system set ssl = on").unwrap();
        psql(server, "select pg_reload_conf()").unwrap();
    }

    #[test]
    fn what_fails_below_tls_leaves_nothing_half_done() {
        let ours = Authority::new();
        let server = instances::postgres(&[]);
        use_certificate(&server, ours.issue("localhost", false));
        let url = url_of(&server, &ours);
        wait_until("TLS", || SessionStore::<u64>::connect(&url).is_ok());
        faults::what_fails_below_tls_leaves_nothing_half_done::<places::Postgres>(&named(&url));
    }

    #[test]
    fn only_a_server_whose_certificate_holds_is_spoken_to() {
        let (ours, others) = (Authority::new(), Authority::new());
        let server = instances::postgres(&[]);
        let url = url_of(&server, &ours);
        let said = refusal(&url);
        assert!(said.contains("no TLS"), "{said}");
        for (authority, host, is_expired, expected) in [
            (&ours, "localhost", false, None),
            (&ours, "elsewhere.example", false, Some("NotValidForName")),
            (&ours, "localhost", true, Some("Expired")),
            (&others, "localhost", false, Some("UnknownIssuer")),
        ] {
            use_certificate(&server, authority.issue(host, is_expired));
            match expected {
                None => {
                    wait_until("TLS", || SessionStore::<u64>::connect(&url).is_ok());
                    works(&url);
                }
                Some(expected) => wait_until(expected, || {
                    SessionStore::<u64>::connect(&url)
                        .err()
                        .and_then(|error| Some(std::error::Error::source(&error)?.to_string()))
                        .is_some_and(|said| said.contains(expected))
                }),
            }
        }
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::*;

    fn url_of(server: &instances::Instance, authority: &Authority) -> String {
        with_tls(&format!("mysql://root@localhost:{}/shop", server.port), authority)
    }

    fn server((key, certificate): (PathBuf, PathBuf)) -> instances::Instance {
        instances::mariadb(&[
            &format!("--ssl-key={}", key.display()),
            &format!("--ssl-cert={}", certificate.display()),
            "--ssl-ca=",
        ])
    }

    #[test]
    fn what_fails_below_tls_leaves_nothing_half_done() {
        let ours = Authority::new();
        let server = server(ours.issue("localhost", false));
        let url = named(&url_of(&server, &ours));
        faults::what_fails_below_tls_leaves_nothing_half_done::<places::Mysql>(&url);
    }

    #[test]
    fn only_a_server_whose_certificate_holds_is_spoken_to() {
        let (ours, others) = (Authority::new(), Authority::new());
        let said = refusal(&url_of(&instances::mariadb(&[]), &ours));
        assert!(said.contains("no TLS"), "{said}");
        for (authority, host, is_expired, expected) in [
            (&ours, "localhost", false, None),
            (&ours, "elsewhere.example", false, Some("NotValidForName")),
            (&ours, "localhost", true, Some("Expired")),
            (&others, "localhost", false, Some("UnknownIssuer")),
        ] {
            let server = server(authority.issue(host, is_expired));
            match expected {
                None => works(&url_of(&server, &ours)),
                Some(expected) => {
                    let said = refusal(&url_of(&server, &ours));
                    assert!(said.contains(expected), "{expected}: {said}");
                }
            }
        }
    }
}

#[cfg(feature = "mongodb")]
mod mongodb {
    use super::*;

    fn url_of(server: &instances::Instance, authority: &Authority) -> String {
        with_tls(&format!("mongodb://localhost:{}/shop", server.port), authority)
    }

    fn server((key, certificate): (PathBuf, PathBuf)) -> instances::Instance {
        let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
        instances::mongodb(&["--tls", &key, &certificate])
    }

    #[test]
    fn what_fails_below_tls_leaves_nothing_half_done() {
        let ours = Authority::new();
        let server = server(ours.issue("localhost", false));
        let url = places::with_parameter(&url_of(&server, &ours), "directConnection=true");
        faults::what_fails_below_tls_leaves_nothing_half_done::<places::Mongodb>(&named(&url));
    }

    #[test]
    fn only_a_server_whose_certificate_holds_is_spoken_to() {
        let (ours, others) = (Authority::new(), Authority::new());
        for (authority, host, is_expired, expected) in [
            (&ours, "localhost", false, None),
            (&ours, "elsewhere.example", false, Some("NotValidForName")),
            (&ours, "localhost", true, Some("Expired")),
            (&others, "localhost", false, Some("UnknownIssuer")),
        ] {
            let server = server(authority.issue(host, is_expired));
            let url = url_of(&server, &ours);
            match expected {
                None => works(&url),
                Some(expected) => {
                    let said = refusal(&url);
                    assert!(said.contains(expected), "{expected}: {said}");
                }
            }
        }
    }
}
