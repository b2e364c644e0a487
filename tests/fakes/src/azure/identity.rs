//! Tokens: the client credentials grant of Entra (secret and federated assertion), and App Service's managed identity.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{ASSERTION, Azure, CLIENT, IDENTITY_HEADER, SECRET, TENANT, base};
use crate::server::{Request, Response};

/// A token that was issued.
pub(super) struct Token {
    pub(super) caller: String,
    pub(super) audience: String,
    pub(super) expires: i64,
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An error with one of Entra's numbers: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
fn refused(status: u16, error: &str, code: u32, text: &str) -> Response {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text} Trace ID: 0 Correlation ID: 0 Timestamp: 2026-01-01 00:00:00Z"),
        "error_codes": [code],
        "timestamp": "2026-01-01 00:00:00Z",
        "trace_id": "0",
        "correlation_id": "0",
    });
    Response::json(status, &body)
}

pub(super) fn openid(request: &Request) -> Response {
    let base = base(request);
    let body = json!({
        "issuer": format!("{base}/{TENANT}/v2.0"),
        "authorization_endpoint": format!("{base}/{TENANT}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/{TENANT}/oauth2/v2.0/token"),
        "jwks_uri": format!("{base}/{TENANT}/discovery/v2.0/keys"),
    });
    Response::json(200, &body)
}

impl Azure {
    /// The token endpoint: <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.
    pub(super) fn token(&self, request: &Request) -> Response {
        let form: BTreeMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if request.path.split('/').nth(1) != Some(TENANT) {
            return refused(400, "invalid_request", 90002, "Tenant not found.");
        }
        if field("grant_type") != "client_credentials" {
            return refused(400, "unsupported_grant_type", 70003, "The grant type is not supported.");
        }
        if field("client_id") != CLIENT {
            return refused(
                400,
                "unauthorized_client",
                700_016,
                "Application was not found in the directory.",
            );
        }
        let federated = field("client_assertion_type") == ASSERTION_TYPE;
        if federated && field("client_assertion").trim() != ASSERTION {
            return refused(
                400,
                "invalid_client",
                700_213,
                "No matching federated identity record found.",
            );
        }
        if !federated && field("client_secret") != SECRET {
            return refused(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
        }
        let Some(audience) = field("scope")
            .split(' ')
            .find_map(|scope| scope.strip_suffix("/.default"))
        else {
            return refused(
                400,
                "invalid_scope",
                70011,
                "The provided value for scope is not valid.",
            );
        };
        let (token, _) = self.issue(CLIENT, audience);
        let life = self.settings.token_life;
        let body = json!({ "token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token });
        Response::json(200, &body)
    }

    /// The managed identity:
    /// <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>.
    pub(super) fn managed_identity(&self, request: &Request) -> Response {
        if request.header("x-identity-header") != Some(IDENTITY_HEADER) {
            return Response::json(
                401,
                &json!({ "statusCode": 401, "message": "The identity header is wrong" }),
            );
        }
        let (Some("2019-08-01"), Some(resource)) = (request.parameter("api-version"), request.parameter("resource"))
        else {
            return Response::json(
                400,
                &json!({ "statusCode": 400, "message": "api-version or resource is wrong" }),
            );
        };
        if request.parameter("client_id").is_some_and(|id| id != CLIENT) {
            return Response::json(
                400,
                &json!({ "statusCode": 400, "message": "No User Assigned Identity found" }),
            );
        }
        let (token, expires) = self.issue(CLIENT, resource);
        let body = json!({
            "access_token": token,
            "expires_on": expires.to_string(),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": CLIENT,
        });
        Response::json(200, &body)
    }

    fn issue(&self, caller: &str, audience: &str) -> (String, i64) {
        let expires = self.now() + self.settings.token_life;
        let mut state = self.state();
        state.issued += 1;
        // A token is a JWT, because other servers parse it: Azurite reads issuer, audience and validity.
        let claims = json!({
            "iss": format!("https://sts.windows.net/{TENANT}/"),
            "aud": audience,
            "tid": TENANT,
            "appid": caller,
            "nbf": expires - self.settings.token_life - 60,
            "iat": expires - self.settings.token_life,
            "exp": expires,
            "jti": state.issued,
        });
        let header = URL_SAFE_NO_PAD.encode(json!({ "typ": "JWT", "alg": "none" }).to_string());
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        let token = format!("{header}.{claims}.fake-token-{}", super::keys::random_hex());
        let issued = Token {
            caller: caller.to_owned(),
            audience: audience.trim_end_matches('/').to_owned(),
            expires,
        };
        state.tokens.insert(token.clone(), issued);
        (token, expires)
    }

    /// The caller with this token, or why it is not valid.
    pub(super) fn caller(&self, request: &Request) -> Result<String, &'static str> {
        let Some(header) = request.header("authorization") else {
            return Err("AKV10000: Request is missing a Bearer or PoP token.");
        };
        let now = self.now();
        let state = self.state();
        let Some(token) = header.strip_prefix("Bearer ").and_then(|token| state.tokens.get(token)) else {
            return Err("AKV10046: Unable to resolve the key used for signature validation.");
        };
        if token.audience != "https://vault.azure.net" {
            return Err("AKV10022: Invalid audience. Expected https://vault.azure.net.");
        }
        if token.expires <= now {
            return Err("[TokenExpired] Error validating token: IDX10223: Lifetime validation failed.");
        }
        Ok(token.caller.clone())
    }
}
