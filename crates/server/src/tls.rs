//! TLS on the hub's port: a given certificate, or one the hub makes for itself.
//!
//! A made certificate is kept in the data folder, so that clients which have pinned it on first use
//! recognise the hub after a restart. Its fingerprint is what people compare.

mod expiry;

use std::{
    fmt, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::{
    ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::private_file::{self, FileError, PrivateFileError};

/// Anybody may read the certificate.
const CERTIFICATE_MODE: u32 = 0o644;
/// A pinned certificate that ends would lock every client out, so it lives as long as the data.
const VALID_YEARS: i16 = 20;
/// Channel binding of RFC 9266.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Why TLS is not available.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file holds no certificate or key in PEM form.
    #[error("{} holds no {expected} in PEM form; give the file that your CA or `chat-server mkcert` wrote", path.display())]
    NotPem {
        /// Which one.
        path: PathBuf,
        /// certificate or private key.
        expected: &'static str,
    },
    /// The private key could not be read, or others on this machine can read it.
    #[error(transparent)]
    Key(#[from] PrivateFileError),
    /// `mkcert` does not replace files that are in use.
    #[error("{} exists already; remove it or choose another folder with --out", .0.display())]
    Exists(PathBuf),
    /// The certificate and the key do not belong together, or the library refuses them.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// A name for the certificate is not a host name, or making it failed.
    #[error("cannot make a certificate: {0}")]
    Making(#[from] rcgen::Error),
}

/// The acceptor of new connections, which can be replaced while others are open.
pub struct Switch(RwLock<TlsAcceptor>);

impl Switch {
    /// Begins with this one.
    pub fn new(acceptor: TlsAcceptor) -> Self {
        Self(RwLock::new(acceptor))
    }

    /// The one to use now.
    pub fn current(&self) -> TlsAcceptor {
        self.0.read().clone()
    }

    /// New connections meet this one.
    pub fn replace(&self, acceptor: TlsAcceptor) {
        *self.0.write() = acceptor;
    }
}

/// SHA-256 of a certificate, as people compare it and clients pin it and write it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A certificate and its key, on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// PEM, the hub's own certificate first.
    pub certificate: PathBuf,
    /// PEM, mode 0600.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// `cert.pem` and `key.pem` in a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { certificate: folder.join("cert.pem"), key: folder.join("key.pem") }
    }

    /// Makes a self-signed certificate for these host names and addresses. The folder is made, and
    /// files that exist are not touched.
    pub fn make(folder: &Path, names: &[String]) -> Result<Self, TlsError> {
        let files = Self::in_folder(folder);
        if let Some(existing) = [&files.certificate, &files.key].into_iter().find(|f| f.exists()) {
            return Err(TlsError::Exists(existing.clone()));
        }
        fs::create_dir_all(folder).map_err(FileError::of("make", folder))?;
        let key = KeyPair::generate()?;
        let certificate = parameters(names)?.self_signed(&key)?;
        // The key first: a certificate without its key would be found and refused at the next start.
        write_new(&files.key, private_file::MODE, &key.serialize_pem())?;
        write_new(&files.certificate, CERTIFICATE_MODE, &certificate.pem())?;
        Ok(files)
    }

    /// The fingerprint of the certificate.
    pub fn fingerprint(&self) -> Result<Fingerprint, TlsError> {
        self.chain()?.first().map(Fingerprint::of).ok_or_else(|| self.no_certificate())
    }

    /// When the certificate ends, Unix time in seconds; nothing where that cannot be read.
    pub fn not_after(&self) -> Option<i64> {
        expiry::not_after(self.chain().ok()?.first()?)
    }

    /// The acceptor for these files.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let chain = self.chain()?;
        let pem = private_file::read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_not_pem| TlsError::NotPem {
            path: self.key.clone(),
            expected: "private key",
        })?;
        // The provider is given, not installed: nothing in the process depends on a global.
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
                .with_no_client_auth()
                .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // RFC 9266 binds a TLS 1.2 session only under the extended master secret.
        config.require_ems = true;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let pem = fs::read(&self.certificate).map_err(FileError::of("read", &self.certificate))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| self.no_certificate())
    }

    fn no_certificate(&self) -> TlsError {
        TlsError::NotPem { path: self.certificate.clone(), expected: "certificate" }
    }
}

/// The hub's own certificate in its data folder, if one was made.
pub fn made_certificate(data: &Path) -> Option<CertificateFiles> {
    Some(CertificateFiles::in_folder(&data.join("tls"))).filter(|files| files.certificate.exists())
}

/// The hub's own certificate in its data folder, made at the first start.
pub fn own_certificate(data: &Path, bind: IpAddr) -> Result<CertificateFiles, TlsError> {
    let folder = data.join("tls");
    let files = CertificateFiles::in_folder(&folder);
    if files.certificate.exists() {
        return Ok(files);
    }
    if files.key.exists() {
        // A start that was cut between the two files: nobody has seen that key's certificate.
        fs::remove_file(&files.key).map_err(FileError::of("replace", &files.key))?;
    }
    CertificateFiles::make(&folder, &names_of_this_machine(bind))
}

/// The channel binding of a session (RFC 9266), `None` where the handshake is not complete.
pub fn exporter(session: &ServerConnection) -> Option<[u8; 32]> {
    session.export_keying_material([0; 32], EXPORTER_LABEL, Some(b"")).ok()
}

/// What clients may call this machine: itself, its name, and the address it listens on.
pub fn names_of_this_machine(bind: IpAddr) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_host_name = !node.is_empty()
        && node.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    if is_host_name && node != "localhost" {
        names.push(node);
    }
    if !bind.is_unspecified() && !bind.is_loopback() {
        names.push(bind.to_string());
    }
    names
}

fn parameters(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    let common_name = names.first().map_or("chat-server", String::as_str);
    subject.push(DnType::CommonName, common_name);
    parameters.distinguished_name = subject;
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // From the first of this year: a clock that is a day behind must not refuse it.
    let year = jiff::Zoned::now().year();
    parameters.not_before = rcgen::date_time_ymd(i32::from(year), 1, 1);
    parameters.not_after = rcgen::date_time_ymd(i32::from(year + VALID_YEARS), 1, 1);
    Ok(parameters)
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), FileError> {
    private_file::write_new(path, mode, text.as_bytes()).map_err(FileError::of("write", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_own_certificate_is_made_once_and_kept() {
        let data = tempfile::tempdir().unwrap();
        let bind = IpAddr::from([192, 0, 2, 7]);
        let first = own_certificate(data.path(), bind).unwrap();
        let fingerprint = first.fingerprint().unwrap();
        assert_eq!(fingerprint.to_string().len(), "sha256:".len() + 32 * 2);
        let mode = fs::metadata(&first.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        first.acceptor().unwrap();
        let again = own_certificate(data.path(), bind).unwrap();
        assert_eq!(again.fingerprint().unwrap(), fingerprint, "clients have pinned it");
    }

    #[test]
    fn a_start_cut_between_key_and_certificate_is_repaired() {
        let data = tempfile::tempdir().unwrap();
        let bind = IpAddr::from([127, 0, 0, 1]);
        let files = own_certificate(data.path(), bind).unwrap();
        fs::remove_file(&files.certificate).unwrap();
        own_certificate(data.path(), bind).unwrap().acceptor().unwrap();
    }

    #[test]
    fn an_exposed_key_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::make(folder.path(), &["localhost".to_owned()]).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
        let error = files.acceptor().err().unwrap().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn making_never_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        let files = CertificateFiles::make(folder.path(), &names).unwrap();
        let before = fs::read(&files.key).unwrap();
        assert!(matches!(CertificateFiles::make(folder.path(), &names), Err(TlsError::Exists(_))));
        assert_eq!(fs::read(&files.key).unwrap(), before);
    }

    #[test]
    fn files_that_are_no_certificate_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::in_folder(folder.path());
        let error = files.acceptor().err().unwrap().to_string();
        assert!(error.starts_with("cannot read") && error.contains("cert.pem"), "{error}");
        fs::write(&files.certificate, "hello").unwrap();
        let error = files.acceptor().err().unwrap().to_string();
        assert!(error.contains("holds no certificate"), "{error}");
    }
}
