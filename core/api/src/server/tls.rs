//! TLS of the TCP port, by rustls: a certificate chain and its key in PEM files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Between two looks whether the files have changed: a renewed certificate is in force a moment later, and a flood of
/// connections does not become a flood of looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("read {what} `{}` (`[api] tls`): {problem}", path.display())]
    File {
        /// `the certificates` or `the key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it: never what stands in it.
        problem: String,
    },
    /// They do not fit together.
    #[error("the certificate `{}` and the key `{}` (`[api] tls`) do not make a server", cert.display(), key.display())]
    Unfit {
        /// The certificates.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// The TLS of a port. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    files: Arc<(PathBuf, PathBuf)>,
    now: Arc<Mutex<Now>>,
}

struct Now {
    acceptor: TlsAcceptor,
    stamp: [Option<SystemTime>; 2],
    looked_at: Instant,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("cert", &self.files.0).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the chain, the server's own certificate first, and its key.
    pub fn open(cert: &Path, key: &Path) -> Result<Tls, TlsError> {
        let files = (cert.to_owned(), key.to_owned());
        let stamp = stamp(&files);
        let now = Now { acceptor: acceptor(&files)?, stamp, looked_at: Instant::now() };
        Ok(Tls { files: Arc::new(files), now: Arc::new(Mutex::new(now)) })
    }

    /// What the next connection is met with. Files that have changed and cannot be used leave what there was in force.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked_at.elapsed() >= LOOK_EVERY {
            now.looked_at = Instant::now();
            let stamp = stamp(&self.files);
            if stamp != now.stamp {
                now.stamp = stamp;
                match acceptor(&self.files) {
                    Ok(acceptor) => {
                        now.acceptor = acceptor;
                        tracing::info!("the certificate of the API has changed; new connections get the new one");
                    }
                    Err(error) => tracing::error!("{error}; the certificate that there was is kept"),
                }
            }
        }
        now.acceptor.clone()
    }
}

/// When the files were written.
fn stamp(files: &(PathBuf, PathBuf)) -> [Option<SystemTime>; 2] {
    [&files.0, &files.1].map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok())
}

fn acceptor(files: &(PathBuf, PathBuf)) -> Result<TlsAcceptor, TlsError> {
    let (cert, key) = files;
    let unread = |what, path: &Path| {
        let path = path.to_owned();
        move |error: PemError| TlsError::File { what, path, problem: problem(&error) }
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(unread("the certificates", cert))?;
    if chain.is_empty() {
        return Err(unread("the certificates", cert)(PemError::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(unread("the key", key))?;
    let unfit = |source| TlsError::Unfit { cert: cert.clone(), key: key.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn problem(error: &PemError) -> String {
    match error {
        PemError::NoItemsFound => "it holds none in PEM".to_owned(),
        PemError::Io(error) => error.to_string(),
        _ => "it is no PEM".to_owned(),
    }
}
