//! Who may pull: everybody, those with a password, or those with a token from this registry's own token endpoint.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::answer::Answer;
use super::wire::{Asked, Incoming};

/// How a registry authenticates.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    Open,
    /// A user and a password with every request.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// Bearer tokens.
    Token(TokenAuth),
}

/// How a registry gives tokens.
#[derive(Clone, Debug)]
pub struct TokenAuth {
    /// What it calls itself in the challenge.
    pub service: String,
    /// The user and password that may pull; anyone who asks with others is refused a token.
    pub account: Option<(String, String)>,
    /// Whether tokens that were asked for without credentials may pull. If not, they are given and don't.
    pub anonymous: bool,
    /// A refresh token that is taken by `POST` as well.
    pub identity_token: Option<String>,
    /// How long a token really lives.
    pub lifetime: Lifetime,
    /// The `expires_in` that is told, in seconds; none is told otherwise.
    pub declared: Option<u64>,
    /// A realm instead of the registry's own `/token`.
    pub realm: Option<String>,
    /// The field that holds the token: `token`, or `access_token` as OAuth2 has it.
    pub field: &'static str,
}

impl TokenAuth {
    /// Tokens for everybody that never end.
    pub fn anonymous() -> Self {
        Self {
            service: "testkit".to_owned(),
            account: None,
            anonymous: true,
            identity_token: None,
            lifetime: Lifetime::Endless,
            declared: Some(300),
            realm: None,
            field: "token",
        }
    }

    /// Tokens for one account alone.
    pub fn account(user: &str, password: &str) -> Self {
        Self { account: Some((user.to_owned(), password.to_owned())), anonymous: false, ..Self::anonymous() }
    }
}

/// How long a token lives.
#[derive(Clone, Copy, Debug)]
pub enum Lifetime {
    /// Until the tokens are revoked.
    Endless,
    /// For so many requests.
    Requests(u64),
    /// For so long.
    For(Duration),
}

struct Token {
    scopes: Vec<String>,
    requests_left: Option<u64>,
    end: Option<Instant>,
}

/// The mode and the tokens in force.
#[derive(Default)]
pub(super) struct Guard {
    pub(super) auth: Auth,
    tokens: HashMap<String, Token>,
    issued: u64,
}

impl Guard {
    pub(super) fn issued(&self) -> u64 {
        self.issued
    }

    pub(super) fn revoke(&mut self) {
        self.tokens.clear();
    }

    /// Makes a token for those scopes, as [`TokenAuth`] says.
    pub(super) fn issue(&mut self, scopes: Vec<String>) -> String {
        let lifetime = match &self.auth {
            Auth::Token(auth) => auth.lifetime,
            Auth::Open | Auth::Basic { .. } => Lifetime::Endless,
        };
        self.issued += 1;
        let token = format!("opaque-token-{}", self.issued);
        let (requests_left, end) = match lifetime {
            Lifetime::Endless => (None, None),
            Lifetime::Requests(count) => (Some(count), None),
            Lifetime::For(time) => (None, Some(Instant::now() + time)),
        };
        self.tokens.insert(token.clone(), Token { scopes, requests_left, end });
        token
    }

    /// Refuses a request that may not pass. `host` is where this registry listens.
    pub(super) fn check(&mut self, asked: &Asked, request: &Incoming, host: &str) -> Result<(), Answer> {
        if *asked == Asked::Token {
            return Ok(());
        }
        let credentials = request.header("authorization").and_then(|value| value.split_once(' '));
        match &self.auth {
            Auth::Open => Ok(()),
            Auth::Basic { user, password } => {
                if basic(credentials).is_some_and(|(name, secret)| name == *user && secret == *password) {
                    return Ok(());
                }
                Err(refusal("Basic realm=\"testkit\""))
            }
            Auth::Token(auth) => {
                let scope = asked.repository().map(|name| format!("repository:{name}:pull"));
                let given = credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                let Err(error) = use_token(&mut self.tokens, given.map(|(_, token)| token), scope.as_deref()) else {
                    return Ok(());
                };
                let realm = auth.realm.clone().unwrap_or_else(|| format!("http://{host}/token"));
                let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{}\"", auth.service);
                if let Some(scope) = scope {
                    challenge.push_str(&format!(",scope=\"{scope}\""));
                }
                if let Some(error) = error {
                    challenge.push_str(&format!(",error=\"{error}\""));
                }
                Err(refusal(&challenge))
            }
        }
    }

    /// Answers the token endpoint.
    pub(super) fn token(&mut self, request: &Incoming) -> Answer {
        let Auth::Token(auth) = &self.auth else {
            return Answer::error(404, "UNSUPPORTED", "no tokens here");
        };
        let auth = auth.clone();
        let fields = request.fields();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let credentials = request.header("authorization").and_then(|value| value.split_once(' '));
        let by_password =
            basic(credentials).or_else(|| Some((field("username")?.to_owned(), field("password")?.to_owned())));
        let allowed = match (field("refresh_token"), by_password) {
            (Some(token), _) if auth.identity_token.as_deref() == Some(token) => true,
            (None, None) => auth.anonymous,
            (None, by_password) if by_password.is_some() && by_password == auth.account => true,
            _ => return Answer::error(401, "UNAUTHORIZED", "incorrect username or password"),
        };
        let scopes = fields.iter().filter(|(key, _)| key == "scope").flat_map(|(_, value)| value.split(' '));
        let scopes = if allowed { scopes.map(str::to_owned).collect() } else { Vec::new() };
        let mut body = json!({auth.field: self.issue(scopes)});
        if let Some(seconds) = auth.declared {
            body["expires_in"] = seconds.into();
        }
        Answer::json(200, &body)
    }
}

/// Counts one use of a token. The error is the word for the challenge, if there is one.
fn use_token(
    tokens: &mut HashMap<String, Token>,
    given: Option<&str>,
    scope: Option<&str>,
) -> Result<(), Option<&'static str>> {
    let given = given.ok_or(None)?;
    let token = tokens.get_mut(given).ok_or(Some("invalid_token"))?;
    if token.requests_left == Some(0) || token.end.is_some_and(|end| end <= Instant::now()) {
        return Err(Some("invalid_token"));
    }
    if scope.is_some_and(|scope| !token.scopes.iter().any(|held| held == scope)) {
        return Err(Some("insufficient_scope"));
    }
    token.requests_left = token.requests_left.map(|left| left - 1);
    Ok(())
}

fn basic(credentials: Option<(&str, &str)>) -> Option<(String, String)> {
    let (_, packed) = credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(STANDARD.decode(packed).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

fn refusal(challenge: &str) -> Answer {
    let mut answer = Answer::error(401, "UNAUTHORIZED", "authentication required");
    answer.set_header("WWW-Authenticate", challenge);
    answer
}
