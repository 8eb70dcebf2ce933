//! A front that ends TLS.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::{Authority, Identity};

/// A running front; dropping it closes its port and all connections.
pub struct TlsFront {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    dials: AtomicUsize,
    handshakes: AtomicUsize,
}

impl TlsFront {
    /// Starts a front before the server at `behind`, which shows `identity`.
    ///
    /// # Errors
    /// No port of 127.0.0.1 or no thread can be had, or the identity can't be used.
    pub fn start(behind: SocketAddr, identity: &Identity) -> Result<Self> {
        Self::start_with(behind, identity, None)
    }

    /// Starts one that lets in those alone who show a certificate of `clients`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_mutual(behind: SocketAddr, identity: &Identity, clients: &Authority) -> Result<Self> {
        Self::start_with(behind, identity, Some(clients))
    }

    fn start_with(behind: SocketAddr, identity: &Identity, clients: Option<&Authority>) -> Result<Self> {
        let config = config(identity, clients)?;
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on 127.0.0.1")?;
        let address = listener.local_addr().context("listen on 127.0.0.1")?;
        listener.set_nonblocking(true).context("listen on 127.0.0.1")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("make a runtime")?;
        let (stop, stopped) = oneshot::channel();
        let counts = Arc::new(Counts::default());
        let counting = Arc::clone(&counts);
        let thread = std::thread::Builder::new()
            .name("testkit-tls".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = accept(listener, behind, TlsAcceptor::from(Arc::new(config)), counting) => {}
                        _ = stopped => {}
                    }
                });
            })
            .context("start the thread of a front")?;
        Ok(Self { address, counts, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:<port>`, as the first part of an image's name.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many connections were taken.
    pub fn dials(&self) -> usize {
        self.counts.dials.load(Ordering::SeqCst)
    }

    /// How many of them came to speak TLS.
    pub fn handshakes(&self) -> usize {
        self.counts.handshakes.load(Ordering::SeqCst)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        // The thread may have ended by itself; there is nothing else to do about that.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn config(identity: &Identity, clients: Option<&Authority>) -> Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("set up TLS")?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            let authority = CertificateDer::from_pem_slice(clients.pem().as_bytes()).context("read an authority")?;
            roots.add(authority).context("trust an authority")?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .context("trust an authority")?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate().as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key().as_bytes()).context("read a key")?;
    builder.with_single_cert(chain.context("read a certificate")?, key).context("use a certificate")
}

async fn accept(listener: TcpListener, behind: SocketAddr, tls: TlsAcceptor, counts: Arc<Counts>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        counts.dials.fetch_add(1, Ordering::SeqCst);
        let (tls, counts) = (tls.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            // A client that can't or won't speak TLS is its own affair.
            let Ok(mut client) = tls.accept(client).await else { return };
            counts.handshakes.fetch_add(1, Ordering::SeqCst);
            let Ok(mut server) = tokio::net::TcpStream::connect(behind).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            // A server that closed in the middle is closed to the client, too.
            if let Ok(server) = server.into_std() {
                let _ = TcpStream::shutdown(&server, Shutdown::Both);
            }
        });
    }
}
