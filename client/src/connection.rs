//! Requests over the socket, and answers that are whole.

use std::error::Error as StdError;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;
use layer_proto::progress::TELL_RETRIES;
use layer_proto::{ErrorBody, auth};

use crate::error::{Error, Unreachable};

/// The longest answer that is read whole: the list of some hundred thousand images.
const MAX_ANSWER: usize = 64 << 20;

/// The longest answer that says no.
const MAX_REFUSAL: usize = 1 << 20;

/// The longest request line, with the socket's path in it as hyperlocal writes it; the type for URIs refuses 64 KiB.
const MAX_TARGET: usize = 60 << 10;

/// What stands in front of every path of the Docker API.
pub(crate) const VERSION_PREFIX: &str = "/v1.51";

/// What is sent with a request: nothing, a few bytes, or a file as it is read.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// A way to the daemon. Cheap to clone; it connects when a request is sent.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    client: Client<UnixConnector, RequestBody>,
    socket: PathBuf,
}

impl Connection {
    /// A way to the daemon behind `socket`.
    pub(crate) fn new(socket: &Path) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build(UnixConnector), socket: socket.to_owned() }
    }

    /// Sends a request and returns the answer once its head is here, provided that it is no refusal.
    ///
    /// `target` is a path with its query, encoded; `json` is the body.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        json: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, Error> {
        self.send_with(method, target, json, None).await
    }

    /// As [`send`](Self::send); lends the daemon a login for this request, in the form of its header.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        target: &str,
        json: Option<Vec<u8>>,
        login: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, Error> {
        let media_type = json.is_some().then_some("application/json");
        let body = Full::new(json.map_or_else(Bytes::new, Bytes::from)).map_err(|never| match never {});
        self.send_whole(method, target, media_type, body.boxed_unsync(), login).await
    }

    /// As [`send`](Self::send) with any body, and its media type if it has one.
    pub(crate) async fn send_body(
        &self,
        method: Method,
        target: &str,
        media_type: Option<&'static str>,
        body: RequestBody,
    ) -> Result<Response<Incoming>, Error> {
        self.send_whole(method, target, media_type, body, None).await
    }

    async fn send_whole(
        &self,
        method: Method,
        target: &str,
        media_type: Option<&'static str>,
        body: RequestBody,
        login: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, Error> {
        let length = target.len() + 2 * self.socket.as_os_str().len();
        if length > MAX_TARGET {
            return Err(Error::TooLong { length });
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = hyperlocal::Uri::new(&self.socket, target).into();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("layerd"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("layer/", env!("CARGO_PKG_VERSION"))));
        headers.insert(TELL_RETRIES, HeaderValue::from_static("1"));
        if let Some(media_type) = media_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        if let Some(login) = login {
            headers.insert(auth::HEADER, login);
        }
        let answer = self.client.request(request).await.map_err(|error| self.no_answer(error))?;
        if answer.status().is_client_error() || answer.status().is_server_error() {
            return Err(refusal(answer).await);
        }
        Ok(answer)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&self, method: Method, target: &str, json: Option<Vec<u8>>) -> Result<Bytes, Error> {
        self.ask_with(method, target, json, None).await
    }

    /// As [`ask`](Self::ask); lends the daemon a login as [`send_with`](Self::send_with) does.
    pub(crate) async fn ask_with(
        &self,
        method: Method,
        target: &str,
        json: Option<Vec<u8>>,
        login: Option<HeaderValue>,
    ) -> Result<Bytes, Error> {
        let answer = self.send_with(method, target, json, login).await?;
        whole(answer.into_body(), MAX_ANSWER).await
    }

    /// Sorts out why no answer came.
    fn no_answer(&self, error: hyper_util::client::legacy::Error) -> Error {
        if !error.is_connect() {
            return Error::Broken { source: error.into() };
        }
        let reason = match io_kind(&error) {
            Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Unreachable::NoSocket,
            Some(io::ErrorKind::PermissionDenied) => Unreachable::Denied,
            // The kernel says "refused" for a plain file too.
            Some(io::ErrorKind::ConnectionRefused) if !is_socket(&self.socket) => Unreachable::NotASocket,
            Some(io::ErrorKind::ConnectionRefused) => Unreachable::NotRunning,
            Some(kind) => Unreachable::Other(kind),
            None => Unreachable::Other(io::ErrorKind::Other),
        };
        Error::Unreachable { socket: self.socket.display().to_string(), reason }
    }
}

/// The kind of the first error of the operating system among the causes of `error`.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

fn is_socket(path: &Path) -> bool {
    // When it can't be told, the kernel's word stands.
    std::fs::metadata(path).map_or(true, |metadata| metadata.file_type().is_socket())
}

/// Reads a body to its end, but no more than `limit` bytes.
async fn whole(body: Incoming, limit: usize) -> Result<Bytes, Error> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLarge { limit }),
        Err(source) => Err(Error::Broken { source }),
    }
}

/// Turns an answer with a status of 400 or more into an error.
async fn refusal(answer: Response<Incoming>) -> Error {
    let status = answer.status();
    let bytes = match whole(answer.into_body(), MAX_REFUSAL).await {
        Ok(bytes) => bytes,
        Err(error) => return error,
    };
    let body = serde_json::from_slice::<ErrorBody>(&bytes)
        .ok()
        .filter(|body| !body.message.trim().is_empty())
        .unwrap_or_else(|| ErrorBody::new(String::from_utf8_lossy(&bytes)));
    let message = match body.message.trim() {
        "" => format!("the daemon answered {status} and nothing else"),
        message => message.to_owned(),
    };
    Error::Refused { message, hint: body.hint, login: body.login }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_in_the_path_is_the_one_of_the_types() {
        assert_eq!(VERSION_PREFIX, format!("/v{}", layer_proto::ApiVersion::CURRENT));
    }
}
