//! A proxy between one client and the API server that makes the network and the server misbehave.
//!
//! Input: [`Rule`]s, [`StreamFault`]s, cuts; output: what the client sees, and a [log](Proxy::log). I/O: listens on 127.0.0.1, talks to the
//! API server, writes kubeconfigs.
//!
//! It ends TLS with a certificate of the control plane's own authority and opens TLS to the API server anew: HTTP/2 or HTTP/1.1 with the
//! client, as that likes, HTTP/1.1 with the server. So only credentials in headers pass: tokens do, client certificates do not. Between the
//! client's socket and TLS there is a gate for each direction, for faults below HTTP: what a closed gate holds back is delivered when it
//! opens, as TCP would.

mod gate;
mod rule;
mod serve;
mod stream;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::client::write_private;
use crate::control_plane::ControlPlane;
use crate::error::{Error, Result};
use crate::pki::CertificateAuthority;
use gate::Gates;
pub use rule::{ActiveRule, Fault, RequestHead, Rule};
pub use stream::StreamFault;

/// One thing the proxy did.
#[derive(Clone, Debug)]
pub struct Passage {
    /// When the request arrived; comparable with the audit log, it is the same computer's clock.
    pub at: Timestamp,
    /// The request.
    pub request: RequestHead,
    /// The fault it met; `None` if it was passed on untouched.
    pub fault: Option<Fault>,
    /// Status of the API server's answer, whether or not the client got it; `None` while there is none.
    pub code: Option<u16>,
}

/// A running proxy; its connections end when it is dropped.
pub struct Proxy {
    port: u16,
    /// The certificate of the authority that its clients believe.
    authority_file: PathBuf,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// What the proxy's connections share.
struct Shared {
    server: Mutex<TlsAcceptor>,
    upstream: TlsConnector,
    /// `127.0.0.1:<port>` of the API server.
    upstream_address: String,
    gates: Gates,
    /// How often all connections were closed.
    closings: watch::Sender<u64>,
    rules: rule::Rules,
    watches: stream::OpenWatches,
    log: Mutex<Vec<Passage>>,
}

impl ControlPlane {
    /// Starts a proxy in front of this control plane's API server, without faults.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot listen, [`Error::Certificate`], [`Error::Tls`].
    pub async fn proxy(&self) -> Result<Proxy> {
        let listen = Error::io("listen on 127.0.0.1");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, crate::free_port()?))
            .await
            .map_err(listen)?;
        let port = listener
            .local_addr()
            .map_err(Error::io("read the port listened on"))?
            .port();
        let authority_file = self.dir().join(format!("proxy-{port}.ca.crt"));
        write_private(&authority_file, self.ca_pem().as_bytes())?;
        let shared = Arc::new(Shared {
            server: Mutex::new(acceptor(self.ca())?),
            upstream: self.connector()?,
            upstream_address: self.url().trim_start_matches("https://").to_owned(),
            gates: Gates::open(),
            closings: watch::Sender::new(0),
            rules: rule::Rules::default(),
            watches: stream::OpenWatches::default(),
            log: Mutex::default(),
        });
        let listening = tokio::spawn(serve::listen(listener, Arc::clone(&shared)));
        Ok(Proxy {
            port,
            authority_file,
            shared,
            listening,
        })
    }

    /// What connects to the API server.
    fn connector(&self) -> Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.ca_pem().as_bytes()).map_err(pem)?;
        roots.add(authority).map_err(tls)?;
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(client).into())
    }
}

/// What accepts connections, with a certificate of that authority.
fn acceptor(authority: &CertificateAuthority) -> Result<TlsAcceptor> {
    let identity = authority.server()?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).map_err(pem)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(pem)?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(tls)?;
    // As the API server.
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(server).into())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn pem(error: rustls::pki_types::pem::Error) -> Error {
    Error::Tls(error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn tls(error: rustls::Error) -> Error {
    Error::Tls(error.to_string())
}

impl Proxy {
    /// Its address, `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The kubeconfig at `direct`, one of the testbed's own with a token, but through this proxy. Written beside it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read or written, or is not one of the testbed's.
    pub fn kubeconfig(&self, direct: &Path) -> Result<PathBuf> {
        let read = || Error::io(format!("read {}", direct.display()));
        let text = std::fs::read(direct).map_err(read())?;
        let mut kubeconfig: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| read()(error.into()))?;
        kubeconfig["clusters"][0]["cluster"]["server"] = self.url().into();
        kubeconfig["clusters"][0]["cluster"]["certificate-authority"] =
            self.authority_file.display().to_string().into();
        let path = direct.with_extension(format!("through-{}.kubeconfig", self.port));
        write_private(&path, format!("{kubeconfig:#}\n").as_bytes())?;
        Ok(path)
    }

    /// Adds a rule. Of several that match a request, the one added first counts.
    pub fn add(&self, rule: Rule) -> ActiveRule {
        self.shared.rules.add(rule)
    }

    /// Does something to every open watch for which `wanted` is true; gives their number.
    pub fn disturb(&self, wanted: impl Fn(&RequestHead) -> bool, fault: &StreamFault) -> usize {
        self.shared.watches.disturb(wanted, fault)
    }

    /// The watches that are open.
    pub fn open_watches(&self) -> Vec<RequestHead> {
        self.shared.watches.heads()
    }

    /// Holds back everything the client sends, on existing and new connections.
    pub fn cut_requests(&self) {
        self.shared.gates.to_server.close();
    }

    /// Holds back everything the server sends.
    pub fn cut_answers(&self) {
        self.shared.gates.to_client.close();
    }

    /// A network that is cut: both directions.
    pub fn cut(&self) {
        self.cut_requests();
        self.cut_answers();
    }

    /// Opens both directions; what was held back goes on its way.
    pub fn heal(&self) {
        self.shared.gates.to_server.open();
        self.shared.gates.to_client.open();
    }

    /// Closes every connection, idle ones too, as an API server does that restarts. A request that has come through arrives all the same.
    pub fn close_connections(&self) {
        self.shared.closings.send_modify(|closings| *closings += 1);
    }

    /// Lets each connection take so many bytes a second of what the server sends.
    pub fn slow_answers(&self, bytes_per_second: u32) {
        self.shared.gates.to_client.limit(bytes_per_second);
    }

    /// Shows a certificate of another authority from now on, and writes that authority into the file that [kubeconfigs](Self::kubeconfig)
    /// name, as kubelet does with `ca.crt`. Connections that are open stay.
    ///
    /// # Errors
    /// [`Error::Certificate`], [`Error::Tls`], [`Error::Io`].
    pub fn replace_authority(&self) -> Result<()> {
        let authority = CertificateAuthority::new()?;
        let server = acceptor(&authority)?;
        *self.shared.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
        write_private(&self.authority_file, authority.pem().as_bytes())
    }

    /// Everything so far, by time of arrival.
    pub fn log(&self) -> Vec<Passage> {
        self.shared.log().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Shared {
    fn acceptor(&self) -> TlsAcceptor {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn log(&self) -> MutexGuard<'_, Vec<Passage>> {
        // A panic while holding the lock leaves the list whole.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request; gives the number of its entry.
    fn note(&self, request: RequestHead, fault: Option<Fault>) -> usize {
        let mut log = self.log();
        log.push(Passage {
            at: Timestamp::now(),
            request,
            fault,
            code: None,
        });
        log.len() - 1
    }

    fn note_code(&self, entry: usize, code: u16) {
        if let Some(passage) = self.log().get_mut(entry) {
            passage.code = Some(code);
        }
    }
}
