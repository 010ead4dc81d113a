//! TLS: the system's authorities, a file's, or the certificate seen first.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chat_protocol::crypto::sha256;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ConnectError;
use crate::server_url::{ServerUrl, Trust};

/// RFC 9266: the label of `tls-exporter`.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// How TLS is done, set up once.
#[derive(Debug)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    /// Authorities; none where there are none on this system.
    authorities: Option<Arc<dyn ServerCertVerifier>>,
    others: Others,
}

/// What about certificates that no authority vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// The one seen first is good.
    PinFirst,
    /// None is good.
    Refuse,
    /// All are good.
    Accept,
}

/// A TLS connection and what it says about itself.
#[derive(Debug)]
pub struct Secured {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// RFC 9266 `tls-exporter`.
    pub exporter: [u8; 32],
    /// Its certificate.
    pub certificate: Certificate,
}

/// The certificate that a server showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER form.
    pub sha256: [u8; 32],
    /// No authority vouches for it: it is good because it was seen first.
    pub is_own: bool,
    /// Another one was seen first: only the words of the server can vouch for it.
    pub is_changed: bool,
}

impl Tls {
    /// Reads the authorities.
    pub fn new(trust: &Trust) -> Result<Self, ConnectError> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let (authorities, others) = match trust {
            // Without any authority on this system the certificate seen first still counts.
            Trust::SystemOrPinned => (system(&provider), Others::PinFirst),
            Trust::Authorities(file) => (Some(from_file(file, &provider)?), Others::Refuse),
            Trust::Anybody => (None, Others::Accept),
        };
        Ok(Self { provider, authorities, others })
    }

    /// Shakes hands. `pinned` is the certificate seen first at this address.
    pub async fn connect(
        &self,
        url: &ServerUrl,
        tcp: TcpStream,
        pinned: Option<[u8; 32]>,
    ) -> Result<Secured, ConnectError> {
        let name = match url.host().parse::<std::net::IpAddr>() {
            Ok(address) => ServerName::IpAddress(IpAddr::from(address)),
            Err(_) => ServerName::try_from(url.host().to_owned())
                .map_err(|error| ConnectError::TlsSetup { reason: error.to_string() })?,
        };
        let verifier = Arc::new(Verifier {
            provider: Arc::clone(&self.provider),
            authorities: self.authorities.clone(),
            others: self.others,
            pinned,
            seen: Mutex::default(),
        });
        let judge = Arc::clone(&verifier);
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(judge)
            .with_no_client_auth();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        let seen = *verifier.seen();
        let stream = connected.map_err(|source| ConnectError::Tls { url: url.clone(), source })?;
        let (_, session) = stream.get_ref();
        let exporter =
            session.export_keying_material([0; 32], EXPORTER_LABEL, Some(b"")).map_err(setup)?;
        let shown = session.peer_certificates().and_then(<[_]>::first);
        let shown = shown.ok_or_else(|| setup(Error::NoCertificatesPresented))?;
        let is_changed = seen == Seen::Changed;
        let is_own = is_changed || seen == Seen::Pinned;
        let certificate = Certificate { sha256: sha256(shown), is_own, is_changed };
        Ok(Secured { stream, exporter, certificate })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn setup(error: Error) -> ConnectError {
    ConnectError::TlsSetup { reason: error.to_string() }
}

fn system(provider: &Arc<CryptoProvider>) -> Option<Arc<dyn ServerCertVerifier>> {
    match rustls_platform_verifier::Verifier::new(Arc::clone(provider)) {
        Ok(verifier) => Some(Arc::new(verifier)),
        Err(error) => {
            tracing::debug!(%error, "this system has no authorities for certificates");
            None
        }
    }
}

fn from_file(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ConnectError> {
    let setup = |reason: String| ConnectError::TlsSetup {
        reason: format!("the certificates of {}: {reason}", path.display()),
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| setup(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| setup(error.to_string()))?;
        roots.add(certificate).map_err(|error| setup(error.to_string()))?;
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let verifier = verifier.build().map_err(|error| setup(error.to_string()))?;
    Ok(verifier)
}

/// What came of looking at a certificate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// An authority vouches for it, or nobody needs to.
    #[default]
    Vouched,
    /// It is good because it was seen first.
    Pinned,
    /// Another one was seen first. The handshake goes on, so that it can be said whose words it has;
    /// the caller refuses what nobody vouches for.
    Changed,
}

/// Judges the certificate of one connection.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<dyn ServerCertVerifier>>,
    others: Others,
    pinned: Option<[u8; 32]>,
    seen: Mutex<Seen>,
}

impl Verifier {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody known has signed it. Of a certificate that names an issuer of the same name the
/// library says that signatures do not fit, so what is told apart is the other half: a certificate
/// that is out of date, revoked or for another name is never taken on first sight.
fn is_own_certificate(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(reason) => !matches!(
            reason,
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
                | CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. }
                | CertificateError::Revoked
                | CertificateError::BadEncoding
        ),
        _ => false,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest = sha256(end_entity);
        match self.pinned {
            _ if self.others == Others::Accept => return Ok(ServerCertVerified::assertion()),
            Some(pinned) if pinned == digest => {
                *self.seen() = Seen::Pinned;
                return Ok(ServerCertVerified::assertion());
            }
            _ => {}
        }
        let refused = match &self.authorities {
            Some(authorities) => authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        match refused {
            // A server that had its own certificate and now has one of an authority.
            Ok(vouched) => Ok(vouched),
            Err(_) if self.others == Others::PinFirst && self.pinned.is_some() => {
                *self.seen() = Seen::Changed;
                Ok(ServerCertVerified::assertion())
            }
            Err(error) if self.others == Others::PinFirst && is_own_certificate(&error) => {
                *self.seen() = Seen::Pinned;
                Ok(ServerCertVerified::assertion())
            }
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A server with a certificate of its own. Gives the exporter of each connection.
    async fn server() -> (ServerUrl, tokio::sync::mpsc::Receiver<[u8; 32]>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
        let (sender, exporters) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let exporter =
                    stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, Some(b""));
                sender.send(exporter.unwrap()).await.unwrap();
                // Open until the client has seen enough.
                tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
            }
        });
        (url.parse().unwrap(), exporters)
    }

    async fn connect(
        trust: &Trust,
        url: &ServerUrl,
        pinned: Option<[u8; 32]>,
    ) -> Result<Secured, ConnectError> {
        let tcp = TcpStream::connect(("127.0.0.1", url.port())).await.unwrap();
        Tls::new(trust)?.connect(url, tcp, pinned).await
    }

    #[tokio::test]
    async fn a_certificate_of_nobody_known_is_pinned_and_another_one_is_marked() {
        let (url, mut exporters) = server().await;
        let trust = Trust::SystemOrPinned;
        let first = connect(&trust, &url, None).await.unwrap();
        assert_eq!(exporters.recv().await, Some(first.exporter), "both ends are bound alike");
        assert!(first.certificate.is_own, "nobody vouches for it");
        let again = connect(&trust, &url, Some(first.certificate.sha256)).await.unwrap();
        assert_eq!(again.certificate, first.certificate);
        assert_ne!(again.exporter, first.exporter);
        assert!(!first.certificate.is_changed);
        let changed = connect(&trust, &url, Some([7; 32])).await.unwrap();
        assert!(changed.certificate.is_own && changed.certificate.is_changed);
    }

    #[tokio::test]
    async fn authorities_of_a_file_count_alone_and_anybody_is_anybody() {
        let (url, _exporters) = server().await;
        let (other, _others) = server().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&file, made.cert.pem()).unwrap();
        let trust = Trust::Authorities(file);
        let refused = connect(&trust, &url, None).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Tls { .. }), "{refused}");
        let taken = connect(&Trust::Anybody, &other, Some([7; 32])).await.unwrap();
        assert!(!taken.certificate.is_own, "nothing is learnt from it");
    }
}
