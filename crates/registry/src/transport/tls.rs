//! TLS, set up here and nowhere else: rustls on *ring*, without any state of the process.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::SetupError;

/// Checks certificates against the system's roots, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
///
/// A system without any roots is no error here: registries on this machine need none, and the others say then that their authority is not
/// trusted.
pub(super) fn checked() -> Result<ClientConfig, SetupError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "left out some of the system's certificates");
    }
    let mut roots = RootCertStore::empty();
    let (taken, left_out) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(taken, left_out, "read the system's certificates");
    let (builder, _) = builder()?;
    Ok(with_protocols(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Takes every certificate, for hosts that the user lists as insecure and for loopback.
pub(super) fn unchecked() -> Result<ClientConfig, SetupError> {
    let (builder, provider) = builder()?;
    let verifier = Arc::new(TakeAny(provider));
    Ok(with_protocols(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<(Builder, Arc<CryptoProvider>), SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError { reason: error.to_string() })?;
    Ok((builder, provider))
}

fn with_protocols(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The same without HTTP/2.
pub(super) fn without_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
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
