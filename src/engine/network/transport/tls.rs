//! TLS by rustls: the server's certificate is always verified.
//!
//! Invariant: after a handshake, the server's certificate is for the requested host, is valid now,
//! and is signed through a trusted authority. No setting turns this off.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::engine::network::backend::Attempt;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::transport::location::invalid;
use crate::engine::network::transport::timed::Timed;
use crate::error::{Error, Result};

/// A TLS connection.
pub(crate) type TlsSocket = StreamOwned<ClientConnection, Timed>;

/// The settings of TLS in a URL.
#[derive(Debug, Default)]
pub(crate) struct TlsSettings {
    /// The file of the authorities to trust instead of the system's.
    pub(crate) authorities: Option<String>,
    /// The files of this client's certificate and of its key.
    pub(crate) client: Option<(String, String)>,
    /// The name that the server's certificate is for, instead of the host's.
    pub(crate) name: Option<String>,
}

/// The trusted authorities, and this client's own certificate.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: Option<String>,
}

impl Tls {
    /// Trusts the authorities in a file, or those of the operating system.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if there are none, or the client's certificate cannot be used.
    pub(crate) fn new(settings: &TlsSettings) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        match &settings.authorities {
            Some(path) => {
                let unreadable = |error| {
                    invalid(format!("names a `tls_ca` that holds no certificates: {error}"))
                };
                let certificates = CertificateDer::pem_file_iter(path);
                for certificate in certificates.map_err(|error| unreadable(error.to_string()))? {
                    let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                    roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
                }
            }
            // Unreadable certificates are not trusted; the others are.
            None => drop(
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
            ),
        }
        if roots.is_empty() {
            return Err(invalid(
                "asks for TLS, and there is no authority to trust; name a file of certificates as \
                 `tls_ca`",
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::engine(io::Error::other(error)))?
            .with_root_certificates(roots);
        let config = match &settings.client {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, key) = own(certificate, key)?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| invalid(format!("names a `tls_cert` that fails: {error}")))?
            }
        };
        Ok(Self { config: Arc::new(config), name: settings.name.clone() })
    }

    /// Performs the handshake, within the socket's deadline.
    ///
    /// # Errors
    ///
    /// [`Failure::Answered`] for an invalid certificate, which a retry would not change;
    /// [`Failure::NotDone`] for a connection that ends.
    pub(crate) fn connect(&self, mut socket: Timed, host: &str) -> Attempt<TlsSocket> {
        let host = self.name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| invalid("names a host that no certificate can be for"))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| Failure::not_done(format!("TLS: {error}")))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(|error| refused(host, &error))?;
        }
        Ok(StreamOwned::new(connection, socket))
    }
}

/// Reads the client's certificate, with those between it and its authority, and its key.
fn own(
    certificate: &str,
    key: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let unreadable =
        |error| invalid(format!("names a `tls_cert` or `tls_key` that cannot be read: {error}"));
    let chain = CertificateDer::pem_file_iter(certificate).map_err(unreadable)?;
    let chain = chain.collect::<std::result::Result<_, _>>().map_err(unreadable)?;
    Ok((chain, PrivateKeyDer::from_pem_file(key).map_err(unreadable)?))
}

/// The failure of a handshake. An invalid certificate stays invalid, so it is not retried.
fn refused(host: &str, error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => Error::Unavailable {
            server: host.into(),
            source: source(format!("its certificate is not valid: {why:?}")),
        }
        .into(),
        _ => Failure::not_done(format!("the TLS handshake failed: {error}")),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::network::deadline::Deadline;
    use crate::engine::network::transport::dripping;
    use crate::engine::network::transport::stream::Stream;

    #[test]
    fn a_handshake_of_a_byte_now_and_then_holds_nobody_up() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        // The header of a TLS record of 16 KiB.
        let (address, sending) = dripping::start(&[0x16, 3, 3, 0x3f, 0xff]);
        let mut stream =
            Stream::connect(&address, Deadline::after(Duration::from_secs(3_600))).unwrap();
        stream.set_deadline(Deadline::after(Duration::from_millis(100)));
        let secured = stream.into_tls(&Tls { config: Arc::new(config), name: None }, "localhost");
        assert!(matches!(secured.map(drop), Err(Failure::NotDone(_))));
        assert!(sending.join().unwrap() < dripping::MOST, "it was waited for to the end");
    }
}
