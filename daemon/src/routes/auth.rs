//! `POST /auth`: tries a login out at its registry. The daemon keeps nothing of it; that is for the client to do.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use layer_engine::Login;
use layer_proto::{AuthAnswer, AuthConfig, Secret};

use super::App;
use crate::failure::Failure;
use crate::{answer, registry_auth};

/// Docker's words, which programs know.
const SUCCEEDED: &str = "Login Succeeded";

#[utoipa::path(
    post,
    path = layer_proto::auth::PATH,
    tag = "Docker",
    operation_id = "SystemAuth",
    request_body(content = AuthConfig),
    responses(
        (status = 200, description = "The registry accepts the login.", body = AuthAnswer),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn log_in(State(app): State<App>, body: Result<Bytes, BytesRejection>) -> Result<Response, Failure> {
    let body = body.map_err(|rejection| {
        Failure::new(rejection.status(), format!("read the request: {}", rejection.body_text()))
    })?;
    let request = read(&body)?;
    let server = request.serveraddress.clone();
    let answer = match app.engine.login(&server, &registry_auth::from_wire(request)).await? {
        Login::Accepted { identity_token } => AuthAnswer {
            identity_token: identity_token.map(|token| Secret::new(token.expose())).unwrap_or_default(),
            status: SUCCEEDED.to_owned(),
        },
        _ => AuthAnswer {
            status: format!("{SUCCEEDED} (the registry asked for no login, so that nothing is proven)"),
            ..AuthAnswer::default()
        },
    };
    Ok(answer::found(&answer))
}

fn read(body: &[u8]) -> Result<AuthConfig, Failure> {
    // A list would be read as well, member by member. The parser's reason is not told: it may quote what it read.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let login = serde_json::from_slice(body).ok().filter(|_| is_object);
    login.ok_or_else(|| Failure::invalid("read the request: it is no login in JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_login_is_not_quoted() {
        for body in [
            "",
            "hidden",
            "[]",
            r#"["hidden"]"#,
            r#"{"username":"bob","password":["hidden"]}"#,
            r#"{"password":{"hidden":1}}"#,
        ] {
            let failure = read(body.as_bytes()).unwrap_err();
            assert_eq!(failure.status.as_u16(), 400);
            assert_eq!(failure.body.message, "read the request: it is no login in JSON");
        }
    }
}
