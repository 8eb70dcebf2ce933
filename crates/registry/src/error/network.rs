//! Why bytes did not get through, in words for people.

use std::error::Error;
use std::io;

use super::reply::tidy;

/// A connection that could not be made, or that broke.
///
/// The text of an HTTP library's error holds the whole URL, which may be signed; this one never does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The host's name leads to no address.
    #[error("its address cannot be found: {0}")]
    Dns(String),
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The other side gave the connection up.
    #[error("connection reset by the other side")]
    Reset,
    /// No connection came about in time.
    #[error("no connection within the time limit")]
    ConnectTimeout,
    /// The other side speaks, but not TLS.
    #[error("the other side does not speak TLS")]
    NoTls,
    /// The other side's certificate is signed by nobody whom this system knows.
    #[error("its certificate is signed by an authority that this system does not trust")]
    Untrusted,
    /// The other side wants to know who we are, and takes no certificate that we have.
    #[error("it wants a client certificate, and was shown none that it accepts")]
    ClientCertificate,
    /// TLS failed in another way: a certificate that has run out or is for another name, say.
    #[error("TLS: {0}")]
    Tls(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl NetworkError {
    /// Finds the reason in an error of the HTTP library.
    pub(crate) fn new(error: &reqwest::Error) -> Self {
        if error.is_dns() {
            return Self::Dns(root(error));
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::from_tls(tls);
        }
        match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return Self::Refused,
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe) => {
                return Self::Reset;
            }
            _ => {}
        }
        if error.is_timeout() {
            return Self::ConnectTimeout;
        }
        let words = root(error);
        if is_about_clients(&words) { Self::ClientCertificate } else { Self::Other(words) }
    }

    /// Whether the same may go well in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            // The resolver has no other way of saying that it could not find out, rather than that there is no such name.
            Self::Dns(words) => words.to_ascii_lowercase().contains("temporary"),
            Self::Refused | Self::Reset | Self::ConnectTimeout | Self::Other(_) => true,
            Self::NoTls | Self::Untrusted | Self::ClientCertificate | Self::Tls(_) => false,
        }
    }

    fn from_tls(error: &rustls::Error) -> Self {
        use rustls::AlertDescription as Alert;
        use rustls::CertificateError as Certificate;
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        let words = match error {
            InvalidMessage(_) => return Self::NoTls,
            AlertReceived(
                Alert::CertificateRequired | Alert::BadCertificate | Alert::UnknownCA | Alert::CertificateUnknown,
            ) => return Self::ClientCertificate,
            // A bad signature: an authority that this system does not know has the name of one that it does.
            InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => return Self::Untrusted,
            InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
                "its certificate has expired"
            }
            InvalidCertificate(Certificate::NotValidYet | Certificate::NotValidYetContext { .. }) => {
                "its certificate is not valid yet"
            }
            InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
                "its certificate is for another name"
            }
            InvalidCertificate(Certificate::Revoked) => "its certificate was revoked",
            // What is left are certificates made for another purpose; those that sign themselves are the usual ones.
            InvalidCertificate(_) => {
                "its certificate is not one that can prove a server's name, as when it is self-signed"
            }
            other => return Self::Tls(tidy(&other.to_string()).unwrap_or_default()),
        };
        Self::Tls(words.to_owned())
    }
}

/// Whether these are the words of the alert by which a server refuses a client's certificate, or the lack of one. HTTP/2 hands on errors of the
/// connection below it as words alone.
fn is_about_clients(words: &str) -> bool {
    let alert = words.strip_prefix("received fatal alert: ").unwrap_or_default();
    matches!(alert, "CertificateRequired" | "BadCertificate" | "UnknownCA" | "CertificateUnknown")
}

/// The first error of type `T` in the chain, also where it is wrapped in an [`io::Error`].
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            // An `io::Error` may be a wrapper of the one that holds the cause.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            return inner.and_then(|inner| find::<T>(inner)).or(Some(found));
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // `source` of such an error would skip the one it wraps.
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The words of the innermost error, which is the one that says what happened.
fn root(error: &reqwest::Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    // The outermost error is the HTTP library's, with the URL in its text.
    let text = if last.is::<reqwest::Error>() { "the request failed".to_owned() } else { last.to_string() };
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = tidy(text).unwrap_or_else(|| "no reason given".to_owned());
    match text.split_at_checked(1) {
        Some((first, rest)) => format!("{}{rest}", first.to_lowercase()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_refused_in_plain_words() {
        use rustls::{CertificateError as Certificate, Error, InvalidMessage, OtherError};
        let strange = OtherError(std::sync::Arc::new(io::Error::other("InnerName")));
        for (error, words) in [
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "does not speak TLS"),
            (Error::InvalidCertificate(Certificate::UnknownIssuer), "does not trust"),
            (Error::InvalidCertificate(Certificate::BadSignature), "does not trust"),
            (Error::InvalidCertificate(Certificate::Expired), "TLS: its certificate has expired"),
            (Error::InvalidCertificate(Certificate::NotValidForName), "for another name"),
            (Error::InvalidCertificate(Certificate::Other(strange)), "as when it is self-signed"),
        ] {
            let text = NetworkError::from_tls(&error).to_string();
            assert!(text.ends_with(words), "{text}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_final() {
        let words = |text: &str| NetworkError::Dns(format!("failed to lookup address information: {text}"));
        assert!(!words("Name or service not known").may_pass());
        assert!(words("Temporary failure in name resolution").may_pass());
    }

    #[test]
    fn finds_errors_inside_io_errors() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(tls.clone()));
        assert_eq!(find::<rustls::Error>(&wrapped), Some(&tls));
        let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(find::<io::Error>(&refused).unwrap().kind(), io::ErrorKind::ConnectionRefused);
        assert!(find::<rustls::Error>(&refused).is_none());
    }
}
