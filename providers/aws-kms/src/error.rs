//! Converts AWS's errors to kinds, with what the operator must do.
//!
//! The codes are those of <https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html> and
//! of the page of each call.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use signet_api::{Call, ErrorKind, Failure, ProviderError};
use signet_base::{causes, quote};

/// The setting for the authorities to trust.
pub(crate) const AUTHORITIES: &str = "AWS_CA_BUNDLE";
const SLOW_SOURCE: &str = "the source of the credentials did not answer in time. Check the one that this machine uses: STS, the Pod \
     Identity agent, instance metadata, or the credential_process of the profile";

/// A failed call of KMS: AWS's code, for callers that can handle it, and the error, for those that cannot.
#[derive(Debug)]
pub(crate) struct KmsError {
    code: Option<String>,
    /// The IAM action of the call that AWS refused.
    refused: Option<&'static str>,
    error: ProviderError,
}

impl KmsError {
    /// Whether AWS returned this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind
    }

    pub(crate) fn text(&self) -> String {
        self.error.source.to_string()
    }

    /// The IAM action of the call that AWS refused. `None` if AWS did not answer.
    pub(crate) const fn refused(&self) -> Option<&'static str> {
        self.refused
    }
}

impl From<KmsError> for ProviderError {
    fn from(failure: KmsError) -> Self {
        failure.error
    }
}

impl From<ProviderError> for KmsError {
    fn from(error: ProviderError) -> Self {
        Self {
            code: None,
            refused: None,
            error,
        }
    }
}

/// The error of a call that KMS refused or that did not reach it.
pub(crate) fn failed<E>(call: Call<'_>, error: &SdkError<E, HttpResponse>) -> KmsError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let SdkError::ServiceError(refused) = error else {
        return call.failed(unanswered(error)).into();
    };
    let status = refused.raw().status().as_u16();
    let code = error.code().map(str::to_owned);
    let (kind, advice) = classify(code.as_deref(), status);
    let what = match (&code, error.message()) {
        (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {}", quote(message)),
        (Some(code), _) => code.clone(),
        (None, _) => format!("HTTP status {status} without an AWS error code"),
    };
    let failure = Failure {
        retry_after: retry_after(refused.raw()),
        ..Failure::new(kind, format!("{what}. {}", advice.text(call)))
    };
    KmsError {
        code,
        refused: Some(call.permission),
        error: call.failed(failure),
    }
}

/// Why KMS did not answer a call.
fn unanswered<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> Failure {
    if let Some(credentials) = credentials_error(error) {
        return without_credentials(credentials);
    }
    let chain = causes(error).join(": ");
    match error {
        SdkError::TimeoutError(_) => Failure::timed_out(
            "no answer in time. Check that this machine can reach KMS in the configured region (or through its VPC \
             endpoint)",
        ),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Failure::timed_out(format_args!(
            "no connection in time ({chain}). Check that this machine can reach KMS in the configured region"
        )),
        SdkError::DispatchFailure(_) => {
            if let Some(failure) = Failure::on_the_way(error, AUTHORITIES) {
                return failure.prefixed("no connection to KMS");
            }
            // The SDK has no separate type for the error that ends its search for credentials.
            if chain.contains("identity resolver timed out") {
                return Failure::new(ErrorKind::TimedOut, format!("{SLOW_SOURCE} ({chain})"));
            }
            let text = format!("no connection to KMS ({chain}). Check AWS_REGION, AWS_ENDPOINT_URL and the network");
            Failure::new(ErrorKind::Unavailable, text)
        }
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            let kind = match status {
                429 => ErrorKind::Throttled,
                500.. => ErrorKind::Unavailable,
                _ => ErrorKind::BadAnswer,
            };
            let text =
                format!("HTTP status {status}, and the answer is not in KMS's format. Check for a proxy on the way");
            Failure::new(kind, text)
        }
        _ => Failure::new(
            ErrorKind::InvalidConfig,
            format!("the request cannot be built: {chain}"),
        ),
    }
}

fn without_credentials(error: &CredentialsError) -> Failure {
    if let Some(failure) = Failure::on_the_way(error, AUTHORITIES) {
        return failure.prefixed("the source of the credentials cannot be reached");
    }
    let (kind, what) = match error {
        CredentialsError::CredentialsNotLoaded(_) => (
            ErrorKind::Unauthenticated,
            "no credentials in any source: environment, profile (with its credential_process), web identity, \
             container (EKS Pod Identity, ECS), instance metadata. Set up one of them",
        ),
        CredentialsError::ProviderTimedOut(_) => (ErrorKind::TimedOut, SLOW_SOURCE),
        CredentialsError::InvalidConfiguration(_) => (
            ErrorKind::InvalidConfig,
            "the configuration of the credentials is wrong. Correct the AWS_* variables or the profile",
        ),
        _ => (
            ErrorKind::Unauthenticated,
            "the source of the credentials refused or failed. Check the role, its trust policy and the token file, \
             or the credential_process of the profile",
        ),
    };
    Failure::new(kind, format!("{what} ({})", without_features(error)))
}

/// What the operator must do.
enum Advice {
    Grant,
    Credentials,
    Wait,
    Quota,
    Key,
    Exists,
    Tampered,
    Setting,
}

impl Advice {
    fn text(&self, call: Call<'_>) -> String {
        match self {
            Self::Grant => format!(
                "Grant {} to these credentials (signet check prints the statement). For a new key, its tags can take \
                 up to five minutes to take effect",
                call.permission
            ),
            Self::Credentials => "Renew or correct the credentials, and check the clock of this machine".to_owned(),
            Self::Wait => "Signet tries again".to_owned(),
            Self::Quota => "The account's quota is used up. Run signet keys prune, set SIGNET_EXPIRED_KEYS=destroy, \
                            or raise the quota in Service Quotas"
                .to_owned(),
            Self::Key => {
                "The key is disabled, is being deleted, or is of the wrong type: run `aws kms describe-key`. If the \
                 key is good, restore it with `aws kms cancel-key-deletion` and `aws kms \
                 enable-key`; if it leaked, run signet keys revoke"
                    .to_owned()
            }
            Self::Exists => "Check SIGNET_KEY and AWS_REGION, and that nobody deleted the key".to_owned(),
            Self::Tampered => {
                "This key did not make this ciphertext in this context. Check SIGNET_KEY and SIGNET_STORE; if they \
                 are right, treat it as an attack"
                    .to_owned()
            }
            Self::Setting => "Correct the setting that it names".to_owned(),
        }
    }
}

fn classify(code: Option<&str>, status: u16) -> (ErrorKind, Advice) {
    match code.unwrap_or_default() {
        "AccessDeniedException" | "AccessDenied" => (ErrorKind::PermissionDenied, Advice::Grant),
        // "The request signature does not conform to AWS standards", "The X.509 certificate or AWS access key ID
        // provided does not exist in our records", and what STS says of a session that is over.
        "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidToken" => (ErrorKind::Unauthenticated, Advice::Credentials),
        "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            (ErrorKind::Throttled, Advice::Wait)
        }
        // "The request was rejected because a length constraint or quota was exceeded."
        "LimitExceededException" => (ErrorKind::InvalidConfig, Advice::Quota),
        "NotFoundException" => (ErrorKind::NotFound, Advice::Exists),
        // "… the state of the specified resource is not valid for this request", "the specified KMS key is not enabled",
        // "the KeyUsage value of the KMS key is incompatible with the API operation".
        "KMSInvalidStateException" | "DisabledException" | "InvalidKeyUsageException" => {
            (ErrorKind::KeyUnusable, Advice::Key)
        }
        // "The request was rejected because the specified KMS key was not available. You can retry the request."
        "KeyUnavailableException"
        | "DependencyTimeoutException"
        | "KMSInternalException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => (ErrorKind::Unavailable, Advice::Wait),
        "InvalidCiphertextException" | "IncorrectKeyException" => (ErrorKind::BadAnswer, Advice::Tampered),
        "ValidationException"
        | "ValidationError"
        | "InvalidAliasNameException"
        | "InvalidArnException"
        | "MalformedPolicyDocumentException"
        | "TagException"
        | "UnsupportedOperationException" => (ErrorKind::InvalidConfig, Advice::Setting),
        _ if status == 429 => (ErrorKind::Throttled, Advice::Wait),
        _ if status >= 500 => (ErrorKind::Unavailable, Advice::Wait),
        _ if status == 403 => (ErrorKind::PermissionDenied, Advice::Grant),
        _ => (ErrorKind::BadAnswer, Advice::Setting),
    }
}

fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<CredentialsError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The causes of missing credentials. If a source is not built in, the SDK names cargo features, which an operator
/// of a binary cannot enable.
pub(crate) fn without_features(error: &CredentialsError) -> String {
    let causes = causes(error).join(": ");
    match causes.contains("cargo feature") {
        true => {
            "the profile needs single sign-on or a login session, which Signet does not support; use a role, a web \
             identity or credential_process instead"
                .to_owned()
        }
        false => causes,
    }
}
