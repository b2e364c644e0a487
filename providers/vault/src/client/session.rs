//! The life of the token: it is obtained on first use, renewed before it expires, and replaced when it
//! has expired or was revoked.
//!
//! All calls share one token. At most one login runs at a time, and other callers wait for it. A failed login is
//! remembered for a moment, so the waiting callers do not fail one after the other.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex as StdMutex;
use serde::{Deserialize, Serialize};
use signet_api::{ErrorKind, Failure};
use signet_files::Rule;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::Call;
use super::token::Token;
use super::wire::Wire;
use crate::config::{Login, SecretId};

/// The minimum time between two logins. If a permission is missing and the token may not look itself up, this must not
/// cause a storm of logins.
const BETWEEN_LOGINS: Duration = Duration::from_secs(10);
/// How long the failure of the last login is returned to other callers.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often a token file is checked, and a failed renewal repeated.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How often the lifetime of a token is requested from a server that is down.
const ASK_AGAIN: Duration = Duration::from_secs(2);

pub(super) struct Session {
    wire: Arc<Wire>,
    login: Login,
    token: ArcSwapOption<Token>,
    turn: Mutex<Turn>,
    tending: StdMutex<Option<AbortHandle>>,
}

/// The lock for logins, with the result of the last one.
#[derive(Default)]
struct Turn {
    replaced: Pause,
    failed: Pause,
    failure: Option<Failure>,
}

/// The end of a pause, if one has begun.
#[derive(Default)]
struct Pause(Option<Instant>);

impl Pause {
    fn begin(&mut self, span: Duration) {
        self.0 = Some(Instant::now() + span);
    }

    fn is_over(&self) -> bool {
        self.0.is_none_or(|end| Instant::now() >= end)
    }
}

/// How long a token is valid.
#[derive(Clone, Copy)]
struct Lease {
    /// The remaining time. Zero means for ever.
    left: Duration,
    renewable: bool,
}

#[derive(Deserialize)]
struct Granted {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    lease_duration: u64,
    renewable: bool,
}

#[derive(Deserialize)]
struct LookedUp {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Serialize)]
struct AppRole<'a> {
    role_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Kubernetes<'a> {
    role: &'a str,
    jwt: &'a str,
}

#[derive(Serialize)]
struct Nothing {}

const LOOK_UP: &str = "auth/token/lookup-self";
const RENEW: &str = "auth/token/renew-self";

impl Session {
    pub(super) fn new(wire: Arc<Wire>, login: Login) -> Arc<Self> {
        Arc::new(Self {
            wire,
            login,
            token: ArcSwapOption::empty(),
            turn: Mutex::default(),
            tending: StdMutex::default(),
        })
    }

    /// Where the token comes from, in words for an operator.
    pub(super) fn login(&self) -> String {
        match &self.login {
            Login::Token(_) => "VAULT_TOKEN".to_owned(),
            Login::TokenFile(path) => format!("VAULT_TOKEN_FILE {}", path.display()),
            Login::AppRole { mount, .. } => format!("AppRole at auth/{mount}"),
            Login::Kubernetes { mount, role, .. } => format!("Kubernetes at auth/{mount}, role {role}"),
        }
    }

    /// The token. Logs in if there is none yet.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Arc<Token>, Failure> {
        if let Some(token) = self.token.load_full() {
            return Ok(token);
        }
        let mut turn = self.turn.lock().await;
        match self.token.load_full() {
            Some(token) => Ok(token),
            None => self.obtained(&mut turn).await,
        }
    }

    /// The token to use instead of one that Vault refused. `None` if the refused token is valid and lacks a permission.
    pub(super) async fn replaced(self: &Arc<Self>, refused: &Token) -> Result<Option<Arc<Token>>, Failure> {
        if let Some(token) = self.token.load_full().filter(|token| !token.is(refused)) {
            return Ok(Some(token));
        }
        let call = Call::get(LOOK_UP);
        let answer = self.wire.exchange(&call, Some(refused)).await?;
        match answer.status() {
            200 => return Ok(None),
            403 => {}
            _ => return Err(answer.refused(&call).into()),
        }
        let mut turn = self.turn.lock().await;
        if let Some(token) = self.token.load_full().filter(|token| !token.is(refused)) {
            return Ok(Some(token));
        }
        match &self.login {
            Login::Token(_) => {
                Err(self.died("set a new one and restart Signet, or use a login with AppRole or Kubernetes"))
            }
            Login::TokenFile(_) => {
                let token = self.obtained(&mut turn).await?;
                match token.is(refused) {
                    true => Err(self.died("write a new one into the file; Signet reads it again by itself")),
                    false => Ok(Some(token)),
                }
            }
            Login::AppRole { .. } | Login::Kubernetes { .. } => {
                // The token is new and may not look itself up, so a permission is missing.
                if !turn.replaced.is_over() {
                    return Ok(None);
                }
                tracing::info!(login = %self.login(), "the token was refused; logging in again");
                let token = self.obtained(&mut turn).await?;
                turn.replaced.begin(BETWEEN_LOGINS);
                Ok(Some(token))
            }
        }
    }

    fn died(&self, remedy: &str) -> Failure {
        let text = format!(
            "the token of {} is invalid, expired or revoked, or belongs to another namespace or server: {remedy}",
            self.login()
        );
        Failure::new(ErrorKind::Unauthenticated, text)
    }

    /// Obtains a token and stores it. Fails at once if the last login has just failed.
    async fn obtained(self: &Arc<Self>, turn: &mut Turn) -> Result<Arc<Token>, Failure> {
        if let Some(failure) = turn.failure.as_ref().filter(|_| !turn.failed.is_over()) {
            return Err(failure.clone());
        }
        match self.obtain().await {
            Ok((token, lease)) => {
                turn.failure = None;
                Ok(self.hold(token, lease))
            }
            Err(failure) => {
                turn.failure = Some(failure.clone());
                turn.failed.begin(AFTER_FAILURE);
                Err(failure)
            }
        }
    }

    async fn obtain(&self) -> Result<(Token, Option<Lease>), Failure> {
        match &self.login {
            Login::Token(token) => Ok((Token::new(token, "VAULT_TOKEN")?, None)),
            Login::TokenFile(path) => {
                let text = read_file("VAULT_TOKEN_FILE", path)?;
                Ok((
                    Token::new(&text, &format!("VAULT_TOKEN_FILE {}", path.display()))?,
                    None,
                ))
            }
            Login::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let from_file;
                let secret_id = match secret_id {
                    SecretId::None => None,
                    SecretId::Value(value) => Some(value.as_str()),
                    SecretId::File(path) => {
                        from_file = read_file("VAULT_SECRET_ID_FILE", path)?;
                        Some(from_file.trim())
                    }
                };
                self.log_in(mount, &AppRole { role_id, secret_id }).await
            }
            Login::Kubernetes {
                mount,
                role,
                token_file,
            } => {
                let jwt = read_file("VAULT_K8S_TOKEN_FILE", token_file)?;
                self.log_in(mount, &Kubernetes { role, jwt: jwt.trim() }).await
            }
        }
    }

    async fn log_in(&self, mount: &str, body: &impl Serialize) -> Result<(Token, Option<Lease>), Failure> {
        let path = format!("auth/{mount}/login");
        let call = Call::post(&path, body)?;
        let answer = self.wire.exchange(&call, None).await?.or_refused(&call)?;
        let Granted { auth } = answer.json(&call.name())?;
        let text = Zeroizing::new(auth.client_token);
        let lease = Lease {
            left: Duration::from_secs(auth.lease_duration),
            renewable: auth.renewable,
        };
        Ok((Token::new(&text, "the answer to the login")?, Some(lease)))
    }

    /// Stores a new token, and starts a task that renews it.
    fn hold(self: &Arc<Self>, token: Token, lease: Option<Lease>) -> Arc<Token> {
        let token = Arc::new(token);
        self.token.store(Some(Arc::clone(&token)));
        let tending = tokio::spawn(tend(Arc::downgrade(self), Arc::clone(&token), lease));
        let mut place = self.tending.lock();
        if let Some(before) = place.replace(tending.abort_handle()) {
            before.abort();
        }
        token
    }

    fn holds(&self, token: &Token) -> bool {
        self.token.load().as_ref().is_some_and(|held| held.is(token))
    }

    fn can_log_in(&self) -> bool {
        matches!(self.login, Login::AppRole { .. } | Login::Kubernetes { .. })
    }

    async fn look_up(&self, token: &Token) -> Result<Lease, Failure> {
        let call = Call::get(LOOK_UP);
        let answer = self.wire.exchange(&call, Some(token)).await?.or_refused(&call)?;
        let found: LookedUp = answer.data(&call.name())?;
        Ok(Lease {
            left: Duration::from_secs(found.ttl),
            renewable: found.renewable,
        })
    }

    async fn renew(&self, token: &Token) -> Result<Lease, Failure> {
        let call = Call::post(RENEW, &Nothing {})?;
        let answer = self.wire.exchange(&call, Some(token)).await?.or_refused(&call)?;
        let Granted { auth } = answer.json(&call.name())?;
        drop(Zeroizing::new(auth.client_token));
        Ok(Lease {
            left: Duration::from_secs(auth.lease_duration),
            renewable: auth.renewable,
        })
    }

    /// Extends the lease of the token. `None` if the token was replaced, or cannot be extended.
    async fn prolonged(self: &Arc<Self>, token: &Token, lease: Lease, longest: Duration) -> Option<Lease> {
        let refused = if lease.renewable {
            match self.renew(token).await {
                // Near the end of a token's maximum lifetime, Vault renews it for shorter and shorter times. A
                // login starts a new lifetime.
                Ok(next) if !self.can_log_in() || next.left * 2 >= longest => return Some(next),
                Ok(_) => None,
                Err(failure) => Some(failure),
            }
        } else {
            None
        };
        if self.can_log_in() {
            let mut turn = self.turn.lock().await;
            if !self.holds(token) {
                return None;
            }
            match self.obtained(&mut turn).await {
                Ok(_) => return None,
                Err(failure) => tracing::warn!(login = %self.login(), %failure,
                    "the login failed; Signet tries again"),
            }
        } else if let Some(failure) = refused {
            tracing::warn!(login = %self.login(), %failure, "the token was not renewed; Signet tries again");
        } else {
            tracing::warn!(
                login = %self.login(),
                "the token cannot be renewed and expires in {}",
                humantime::format_duration(lease.left / 3)
            );
            return None;
        }
        Some(Lease {
            left: LOOK_AGAIN * 3 / 2,
            ..lease
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let place = self.tending.get_mut();
        if let Some(tending) = place.take() {
            tending.abort();
        }
    }
}

/// Looks after one token: renews it after two thirds of its lease, and notices a new token in the token file.
async fn tend(session: Weak<Session>, token: Arc<Token>, lease: Option<Lease>) {
    let lease = match lease {
        Some(lease) => Some(lease),
        None => looked_up(&session, &token).await,
    };
    let Some(mut lease) = lease else { return };
    let longest = lease.left;
    let mut due = due_in(lease);
    loop {
        let Some(here) = session.upgrade() else { return };
        let path = match &here.login {
            Login::TokenFile(path) => Some(path.clone()),
            _ => None,
        };
        drop(here);
        let wait = match (due, &path) {
            (Some(due), None) => due,
            (Some(due), Some(_)) => due.min(LOOK_AGAIN),
            (None, Some(_)) => LOOK_AGAIN,
            (None, None) => return,
        };
        sleep(wait).await;
        let Some(here) = session.upgrade().filter(|here| here.holds(&token)) else {
            return;
        };
        if let Some(path) = path
            && let Ok(text) = read_file("VAULT_TOKEN_FILE", &path)
            && let Ok(found) = Token::new(&text, "VAULT_TOKEN_FILE")
            && !found.is(&token)
        {
            tracing::info!(login = %here.login(), "the file has a new token, which is used from now on");
            here.hold(found, None);
            return;
        }
        due = due.map(|due| due.saturating_sub(wait));
        if due.is_some_and(|due| due.is_zero()) {
            lease = match here.prolonged(&token, lease, longest).await {
                Some(lease) => lease,
                None if here.holds(&token) => Lease {
                    left: Duration::ZERO,
                    renewable: false,
                },
                None => return,
            };
            due = due_in(lease);
        }
    }
}

/// The lease of a token that did not come from a login. While the server is down, this asks again, because the token
/// must be renewed even if it was configured before its server was up. `None` if the token was replaced meanwhile.
async fn looked_up(session: &Weak<Session>, token: &Token) -> Option<Lease> {
    loop {
        let here = session.upgrade().filter(|here| here.holds(token))?;
        match here.look_up(token).await {
            Ok(lease) => return Some(lease),
            Err(failure) if failure.kind.is_transient() => drop(here),
            Err(failure) => {
                tracing::debug!(login = %here.login(), %failure, "the lease of the token is unknown");
                return Some(Lease {
                    left: Duration::ZERO,
                    renewable: false,
                });
            }
        }
        sleep(ASK_AGAIN).await;
    }
}

/// When the lease must be renewed. `None` means never.
fn due_in(lease: Lease) -> Option<Duration> {
    (!lease.left.is_zero()).then(|| (lease.left * 2 / 3).max(Duration::from_secs(1)))
}

fn read_file(variable: &str, path: &std::path::Path) -> Result<Zeroizing<String>, Failure> {
    let read = Rule::Secret.read_text(path);
    read.map_err(|error| {
        Failure::new(
            ErrorKind::Unauthenticated,
            format!("{variable} cannot be used: {error}"),
        )
    })
}
