//! The configuration: where KMS is, and the names of the keys. Credentials are in `session.rs`.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use signet_api::{ErrorKind, Operation, ProviderError, Variable, Variables};
use signet_base::Nearness;
use signet_files::{Rule, no_authorities};

use crate::NAME;

const fn variable(name: &'static str, help: &'static str) -> Variable {
    Variable { name, help }
}

/// The variables that the provider and the `s3://` store read. All are AWS's own and have AWS's meaning.
pub const VARIABLES: &[Variable] = &[
    variable("AWS_REGION", "region of the keys and the bucket, such as eu-central-1"),
    variable("AWS_DEFAULT_REGION", "the same, if AWS_REGION is not set"),
    variable("AWS_ACCESS_KEY_ID", "access key of static credentials"),
    variable("AWS_SECRET_ACCESS_KEY", "secret of static credentials"),
    variable("AWS_SESSION_TOKEN", "session token of temporary static credentials"),
    variable("AWS_PROFILE", "profile in the shared configuration files"),
    variable("AWS_CONFIG_FILE", "shared configuration file (~/.aws/config)"),
    variable(
        "AWS_SHARED_CREDENTIALS_FILE",
        "shared credentials file (~/.aws/credentials)",
    ),
    variable("HOME", "home directory, for ~ in the paths of the two files above"),
    variable("AWS_ROLE_ARN", "role to assume with the web identity token"),
    variable(
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "web identity token (EKS service accounts)",
    ),
    variable("AWS_ROLE_SESSION_NAME", "name of that session in the audit log"),
    variable(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "credentials endpoint of EKS Pod Identity",
    ),
    variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "credentials endpoint of ECS"),
    variable(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "file with the token for that endpoint",
    ),
    variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token for that endpoint"),
    variable(
        "AWS_EC2_METADATA_DISABLED",
        "true: never ask the instance metadata service",
    ),
    variable(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "another address of the instance metadata service",
    ),
    variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv4 or IPv6"),
    variable("AWS_USE_FIPS_ENDPOINT", "true: use the FIPS endpoints"),
    variable("AWS_USE_DUALSTACK_ENDPOINT", "true: use the endpoints with IPv6"),
    variable("AWS_ENDPOINT_URL", "another endpoint for all services"),
    variable("AWS_ENDPOINT_URL_KMS", "another endpoint for KMS"),
    variable("AWS_ENDPOINT_URL_S3", "another endpoint for S3"),
    variable(
        "AWS_ENDPOINT_URL_STS",
        "another endpoint for STS, which issues credentials for web identities",
    ),
    variable(
        "AWS_CA_BUNDLE",
        "PEM file of the authorities to trust instead of the system's",
    ),
];

/// The configuration of the provider. Its only secrets are in [`Variables`], which protect them.
pub struct AwsKmsConfig {
    pub(crate) key: KeyName,
    pub(crate) endpoints: ServiceEndpoints,
}

/// The value of `SIGNET_KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyName {
    /// A plain name, or an alias without `alias/`.
    Name(String),
    /// A key id or an ARN: one existing key.
    Key(String),
}

/// Where the services are, and how to reach them.
#[derive(Clone)]
pub(crate) struct ServiceEndpoints {
    /// The region. `None` if the profile must give it.
    pub(crate) region: Option<String>,
    pub(crate) kms: Option<String>,
    pub(crate) s3: Option<String>,
    /// The PEM text of `AWS_CA_BUNDLE`.
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) variables: Variables,
}

impl AwsKmsConfig {
    /// Reads the configuration. Opens no file except the CA bundle, and makes no call.
    ///
    /// # Errors
    /// `InvalidConfig` with all problems.
    pub fn new(variables: &Variables, key: &str) -> Result<Self, ProviderError> {
        let mut problems = Vec::new();
        let key = key_name(key, &mut problems);
        let mut endpoints = endpoints(variables, &mut problems);
        if let KeyName::Key(arn) = &key
            && let Some(region) = arn_region(arn)
        {
            match &endpoints.region {
                Some(other) if other != region => problems.push(format!(
                    "SIGNET_KEY names a key in {region}, but AWS_REGION is {other}: write AWS_REGION={region}"
                )),
                _ => endpoints.region = Some(region.to_owned()),
            }
        }
        refused(problems)?;
        Ok(Self { key, endpoints })
    }
}

impl ServiceEndpoints {
    pub(crate) fn new(variables: &Variables) -> Result<Self, ProviderError> {
        let mut problems = Vec::new();
        let endpoints = endpoints(variables, &mut problems);
        refused(problems)?;
        Ok(endpoints)
    }
}

fn refused(problems: Vec<String>) -> Result<(), ProviderError> {
    match problems.is_empty() {
        true => Ok(()),
        false => Err(invalid(problems.join("; "))),
    }
}

pub(crate) fn invalid(text: String) -> ProviderError {
    ProviderError::new(NAME, Operation::Open, ErrorKind::InvalidConfig, text)
}

fn endpoints(variables: &Variables, problems: &mut Vec<String>) -> ServiceEndpoints {
    let owned = |name| variables.get(name).map(str::to_owned);
    for (one, other) in [
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        ("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    ] {
        if variables.get(one).is_some() && variables.get(other).is_none() {
            problems.push(format!("{one} is set without {other}: set both or neither"));
        }
    }
    let region = owned("AWS_REGION").or_else(|| owned("AWS_DEFAULT_REGION"));
    if let Some(region) = &region
        && !region
            .bytes()
            .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
    {
        problems.push(format!("AWS_REGION is {region:?}: write a region such as eu-central-1"));
    }
    let mut endpoint = |name: &str| {
        let name = [name, "AWS_ENDPOINT_URL"]
            .into_iter()
            .find(|name| variables.get(name).is_some())?;
        let url = variables.get(name)?;
        match endpoint_problem(url) {
            None => Some(url.trim_end_matches('/').to_owned()),
            Some(problem) => {
                let problem = format!("{name} {problem}");
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
                None
            }
        }
    };
    let (kms, s3) = (endpoint("AWS_ENDPOINT_URL_KMS"), endpoint("AWS_ENDPOINT_URL_S3"));
    let ca_bundle = owned("AWS_CA_BUNDLE").map(PathBuf::from);
    let authorities = ca_bundle.as_ref().and_then(|path| match Rule::Trusted.read(path) {
        Ok(pem) if are_authorities(&pem) => Some(pem.to_vec()),
        Ok(pem) => {
            let problem = no_authorities(&pem).unwrap_or("has a certificate that cannot be used; it may be damaged");
            problems.push(format!("AWS_CA_BUNDLE is {}, which {problem}", path.display()));
            None
        }
        Err(error) => {
            problems.push(format!("AWS_CA_BUNDLE cannot be used: {error}"));
            None
        }
    });
    look_at_profiles(variables, problems);
    ServiceEndpoints {
        region,
        kms,
        s3,
        authorities,
        variables: variables.clone(),
    }
}

/// Checks the profile files. The SDK reads them itself, and would wait for ever if one were a pipe.
fn look_at_profiles(variables: &Variables, problems: &mut Vec<String>) {
    let home = variables.get("HOME").unwrap_or_default();
    for (name, by_default) in [
        ("AWS_CONFIG_FILE", "~/.aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ] {
        let path = variables.get(name).unwrap_or(by_default);
        let path = path
            .strip_prefix('~')
            .map_or_else(|| path.to_owned(), |rest| format!("{home}{rest}"));
        if let Err(error) = Rule::Secret.look(Path::new(&path)) {
            problems.push(format!("{name} is refused: {error}"));
        }
    }
}

/// Whether the text has authorities. The SDK panics if it has none.
fn are_authorities(pem: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_slice_iter(pem).all(|found| found.is_ok_and(|found| roots.add(found).is_ok()))
        && !roots.is_empty()
}

/// The problem with an endpoint, if there is one. Plaintext keys go there, so it must use https or be on this machine.
fn endpoint_problem(url: &str) -> Option<String> {
    let Ok(uri) = url.parse::<Uri>() else {
        return Some("is not a URL; write for example https://kms.eu-central-1.amazonaws.com".to_owned());
    };
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
        || uri.query().is_some()
    {
        return Some("has a user or a query; write only scheme, host and port".to_owned());
    }
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => None,
        (Some("http"), Some(host)) if Nearness::of_text(host).is_here() => None,
        (Some("http"), Some(host)) => Some(format!(
            "is http to {host}; write https, because http is allowed only for a loopback address"
        )),
        _ => Some("is not a URL; write for example https://kms.eu-central-1.amazonaws.com".to_owned()),
    }
}

/// Reads the name of a key: letters, digits, `/`, `_` and `-`, but not `alias/aws/`. An alias has at most 256
/// characters, of which a sequence takes up to 21.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html>
fn key_name(key: &str, problems: &mut Vec<String>) -> KeyName {
    if key.starts_with("arn:") {
        if arn_region(key).is_none() {
            problems.push(
                "SIGNET_KEY is not the ARN of a KMS key or alias: write arn:aws:kms:REGION:ACCOUNT:key/ID or a name"
                    .to_owned(),
            );
        }
        return KeyName::Key(key.to_owned());
    }
    if is_key_id(key) {
        return KeyName::Key(key.to_owned());
    }
    let name = key.strip_prefix("alias/").unwrap_or(key);
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'/' | b'_' | b'-');
    let segments_are_named = name.split('/').all(|segment| !segment.is_empty());
    if !name.bytes().all(allowed) || !segments_are_named || name.len() > 200 {
        problems.push(format!(
            "SIGNET_KEY is {key:?}, but an alias may have only letters, digits, /, _ and -, and at most 200 \
             characters"
        ));
    } else if name.starts_with("aws/") {
        problems.push("SIGNET_KEY begins with aws/, which AWS reserves; write another name".to_owned());
    }
    KeyName::Name(name.to_owned())
}

fn arn_region(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, region, account, resource) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let named = resource.starts_with("key/") || resource.starts_with("alias/");
    (service == "kms" && !region.is_empty() && !account.is_empty() && named).then_some(region)
}

/// Whether this is a key id: a UUID, or `mrk-` and 32 hexadecimal digits.
fn is_key_id(key: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|octet| octet.is_ascii_hexdigit());
    match key.strip_prefix("mrk-") {
        Some(digits) => digits.len() == 32 && hex(digits),
        None => {
            let lengths: Vec<usize> = key.split('-').map(str::len).collect();
            lengths == [8, 4, 4, 4, 12] && key.split('-').all(hex)
        }
    }
}

impl fmt::Debug for AwsKmsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKmsConfig({:?} in {:?})", self.key, self.endpoints)
    }
}

impl fmt::Debug for ServiceEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceEndpoints")
            .field("region", &self.region)
            .field("kms", &self.kms)
            .field("s3", &self.s3)
            .finish()
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
