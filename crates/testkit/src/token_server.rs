//! A token server that real registries trust: it signs what it gives with a key that is made for it, and whose certificate they are told of.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use crate::registry::wire::Incoming;

/// What registry and server call each other.
const NAME: &str = "testkit";

/// How long a token lasts, in seconds.
const LIFETIME: u64 = 300;

/// A running token server; dropping it closes its port.
pub struct TokenServer {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
    /// Holds the certificate.
    folder: tempfile::TempDir,
}

struct Shared {
    address: SocketAddr,
    stopping: AtomicBool,
    user: String,
    password: String,
    gives_identity_tokens: bool,
    key: EcdsaKeyPair,
    /// In base64.
    certificate: String,
    issued: AtomicU64,
    log: Mutex<Vec<String>>,
}

impl TokenServer {
    /// Starts a server that gives tokens to one user, for whatever that user asks for.
    ///
    /// # Errors
    /// No key, port or thread can be had.
    pub fn start(user: &str, password: &str) -> Result<Self> {
        Self::launch(user, password, false)
    }

    /// Starts a server that also gives identity tokens to those who ask for them, and takes them in place of the password.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_identity_tokens(user: &str, password: &str) -> Result<Self> {
        Self::launch(user, password, true)
    }

    fn launch(user: &str, password: &str, gives_identity_tokens: bool) -> Result<Self> {
        let key = rcgen::KeyPair::generate().context("make a key")?;
        let certificate = rcgen::CertificateParams::new([NAME.to_owned()])
            .and_then(|params| params.self_signed(&key))
            .context("make a certificate")?;
        let folder = tempfile::tempdir().context("make a folder for a certificate")?;
        std::fs::write(folder.path().join("certificate.pem"), certificate.pem()).context("write a certificate")?;
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &SystemRandom::new());
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on 127.0.0.1")?;
        let shared = Arc::new(Shared {
            address: listener.local_addr().context("listen on 127.0.0.1")?,
            stopping: AtomicBool::new(false),
            user: user.to_owned(),
            password: password.to_owned(),
            gives_identity_tokens,
            key: signing.map_err(|error| anyhow!("take over a key: {error}"))?,
            certificate: STANDARD.encode(certificate.der()),
            issued: AtomicU64::new(0),
            log: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let listener = std::thread::Builder::new()
            .name("testkit-tokens".to_owned())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    if serving.stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    // Whoever breaks off gets no answer.
                    let _ = serving.converse(stream);
                }
            })
            .context("start the thread of a token server")?;
        Ok(Self { shared, listener: Some(listener), folder })
    }

    /// The section of a registry's configuration that makes it trust this server.
    pub fn config(&self) -> String {
        let (realm, certificate) = (format!("http://{}/token", self.shared.address), self.certificate());
        format!(
            "auth:\n  token:\n    realm: {realm}\n    service: {NAME}\n    issuer: {NAME}\n    rootcertbundle: {}\n",
            certificate.display()
        )
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The header of one who may do what `scope` says, such as `repository:lab/app:pull,push`.
    ///
    /// # Errors
    /// It can't be signed.
    pub fn authorization(&self, scope: &str) -> Result<String> {
        Ok(format!("Bearer {}", self.shared.token(&[scope])?))
    }

    /// What was asked, one word or two a request: `password`, `password offline`, `identity`, `refused`.
    pub fn asked(&self) -> Vec<String> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // The thread looks up when somebody connects.
        let woken = TcpStream::connect(self.shared.address);
        if let (Ok(_), Some(listener)) = (woken, self.listener.take()) {
            // It has nothing to tell.
            let _ = listener.join();
        }
    }
}

impl Shared {
    fn converse(&self, stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(request) = Incoming::read(&mut reader)? else { return Ok(()) };
        let (status, body) = self.answer(&request)?;
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
        write!(&stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
        Ok(())
    }

    fn answer(&self, request: &Incoming) -> Result<(&'static str, Value)> {
        let fields = request.fields();
        let first = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let scopes: Vec<&str> = fields
            .iter()
            .filter(|(key, _)| key == "scope")
            .flat_map(|(_, value)| value.split(' '))
            .filter(|scope| !scope.is_empty())
            .collect();
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)));
        let is_known = request.header("authorization") == Some(&*basic);
        let identity_token = format!("identity-of-{}", self.user);
        let is_kept = self.gives_identity_tokens && first("refresh_token") == Some(&*identity_token);
        let wants_to_stay = first("offline_token") == Some("true");
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match (is_known, is_kept) {
            (true, _) if wants_to_stay => log.push("password offline".to_owned()),
            (true, _) => log.push("password".to_owned()),
            (false, true) => log.push("identity".to_owned()),
            (false, false) => {
                log.push("refused".to_owned());
                return Ok(("401 Unauthorized", json!({"details": "incorrect username or password"})));
            }
        }
        drop(log);
        let mut answer = json!({"token": self.token(&scopes)?, "expires_in": LIFETIME});
        if is_known && wants_to_stay && self.gives_identity_tokens {
            answer["refresh_token"] = identity_token.into();
        }
        Ok(("200 OK", answer))
    }

    /// A token in the form that registries read.
    ///
    /// Spec: Docker's token authentication, "Token Authentication Implementation"; RFC 7515.
    fn token(&self, scopes: &[&str]) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("look at the clock")?.as_secs();
        let number = self.issued.fetch_add(1, Ordering::SeqCst);
        let access: Vec<Value> = scopes.iter().filter_map(|scope| access(scope)).collect();
        let head = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = json!({
            "iss": NAME, "aud": NAME, "sub": self.user, "jti": number.to_string(),
            "iat": now, "nbf": now - 10, "exp": now + LIFETIME, "access": access,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|error| anyhow!("sign a token: {error}"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// What a scope asks for; `None` if it can't be read.
fn access(scope: &str) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::{DebianRegistry, Htpasswd, push};
    use crate::http::get;
    use crate::image::{Image, ImageBuilder};
    use crate::layer::LayerBuilder;

    fn image() -> Image {
        ImageBuilder::new().layer(LayerBuilder::new().file("a", "1").gzip()).build()
    }

    fn status(registry: &DebianRegistry, authorization: Option<&str>) -> u16 {
        let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", *value)).collect();
        get(registry.address(), "/v2/", &headers).unwrap().status
    }

    #[test]
    fn a_real_registry_trusts_what_is_signed_here_and_nothing_else() {
        let (server, other) = (TokenServer::start("bob", "pw").unwrap(), TokenServer::start("bob", "pw").unwrap());
        let registry = DebianRegistry::start_with(&server.config()).unwrap();
        assert_eq!(status(&registry, None), 401);
        assert_eq!(status(&registry, Some(&server.authorization("").unwrap())), 200);
        assert_eq!(status(&registry, Some(&other.authorization("").unwrap())), 401);
        let writer = server.authorization("repository:lab/app:pull,push").unwrap();
        push(registry.address(), "lab/app", "1", &image(), Some(&writer)).unwrap();
        let reader = server.authorization("repository:lab/app:pull").unwrap();
        let error = push(registry.address(), "lab/other", "1", &image(), Some(&reader)).unwrap_err();
        assert!(error.to_string().contains("401"), "{error}");
    }

    #[test]
    fn tokens_are_given_for_a_password_or_an_identity_token() {
        let server = TokenServer::start_with_identity_tokens("bob", "pw").unwrap();
        let ask = |target: &str, password: &str| {
            let basic = format!("Basic {}", STANDARD.encode(format!("bob:{password}")));
            let answer = get(server.shared.address, target, &[("Authorization", &basic)]).unwrap();
            (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap())
        };
        assert_eq!(ask("/token", "no").0, 401);
        let (status, answer) = ask("/token?service=testkit", "pw");
        assert!(status == 200 && answer["token"].is_string() && answer["refresh_token"].is_null(), "{answer}");
        let (_, answer) = ask("/token?offline_token=true", "pw");
        assert_eq!(answer["refresh_token"], "identity-of-bob");
        let (status, _) = ask("/token?grant_type=refresh_token&refresh_token=identity-of-bob", "no");
        assert_eq!(status, 200);
        assert_eq!(server.asked(), ["refused", "password", "password offline", "identity"]);
    }

    #[test]
    fn a_real_registry_reads_the_file_of_passwords() {
        let users = Htpasswd::new("bob", "pw").unwrap();
        let registry = DebianRegistry::start_with(&users.config()).unwrap();
        assert_eq!((status(&registry, None), status(&registry, Some(users.authorization()))), (401, 200));
        assert_eq!(status(&registry, Some("Basic Ym9iOm5v")), 401);
        push(registry.address(), "lab/app", "1", &image(), Some(users.authorization())).unwrap();
    }
}
