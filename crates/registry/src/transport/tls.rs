//! TLS, set up here and nowhere else: rustls on *ring*, without any state of the process.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier};

use crate::error::SetupError;

/// The system's roots, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
///
/// A system without any roots is no error here: registries on this machine need none, and the others say then that their authority is not
/// trusted.
pub(super) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "left out some of the system's certificates");
    }
    let mut roots = RootCertStore::empty();
    let (taken, left_out) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(taken, left_out, "read the system's certificates");
    roots
}

/// Checks certificates against `roots`, and shows one of `identities` to whoever asks for one.
pub(super) fn checked(roots: Arc<RootCertStore>, identities: &[Arc<CertifiedKey>]) -> Result<ClientConfig, SetupError> {
    let (builder, _) = builder()?;
    Ok(finished(builder.with_root_certificates(roots), identities))
}

/// Takes every certificate, for hosts that the user lists as insecure and for loopback.
pub(super) fn unchecked(identities: &[Arc<CertifiedKey>]) -> Result<ClientConfig, SetupError> {
    let (builder, provider) = builder()?;
    let verifier = Arc::new(TakeAny(provider));
    Ok(finished(builder.dangerous().with_custom_certificate_verifier(verifier), identities))
}

fn builder() -> Result<(rustls::ConfigBuilder<ClientConfig, WantsVerifier>, Arc<CryptoProvider>), SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError { reason: error.to_string() })?;
    Ok((builder, provider))
}

fn finished(
    builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    identities: &[Arc<CertifiedKey>],
) -> ClientConfig {
    let mut config = if identities.is_empty() {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_resolver(Arc::new(Identities(identities.into())))
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The same without HTTP/2.
pub(super) fn without_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// The client certificates for one server, in the order of their files.
#[derive(Debug)]
struct Identities(Box<[Arc<CertifiedKey>]>);

impl ResolvesClientCert for Identities {
    /// The first one that is signed by one of the authorities that the server names; if there is none such, the first that it can read.
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let usable = || self.0.iter().filter(|pair| pair.key.choose_scheme(schemes).is_some());
        // A certificate has the name of its issuer in it, byte by byte as the server writes it.
        let names = |certificate: &CertificateDer<'_>| {
            authorities.iter().any(|name| !name.is_empty() && certificate.windows(name.len()).any(|part| part == *name))
        };
        usable().find(|pair| pair.cert.iter().any(names)).or_else(|| usable().next()).cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Takes every certificate. Signatures are checked all the same, so that the other side holds at least the key it shows.
#[derive(Debug)]
struct TakeAny(Arc<CryptoProvider>);

impl ServerCertVerifier for TakeAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
