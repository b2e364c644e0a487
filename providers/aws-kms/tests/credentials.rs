//! All sources of credentials, in the order of the chain, and the error if there are none.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Cloud, KEY, SECRET, clock, told};
use signet_api::{ErrorKind, KeyProvider, ProviderError};
use signet_aws_kms::{AwsKmsConfig, remote, store};
use signet_fakes::{Fault, Request, Response, Server, Service};

const TOKEN: &str = "the-token-of-the-session";
/// Disables all sources except the one under test.
const NONE: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", ""),
    ("AWS_SECRET_ACCESS_KEY", ""),
    ("HOME", "/nonexistent"),
];

/// STS, the agent of Pod Identity, and the instance metadata. Each issues its own session.
struct Sources;

fn session(source: &str) -> String {
    format!("AKIDOF{}", source.to_uppercase())
}

impl Service for Sources {
    fn operation(&self, request: &Request) -> String {
        match request.path.as_str() {
            "/" => "sts".to_owned(),
            "/pod" => "pod".to_owned(),
            path => path.rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }

    fn answer(&self, request: &Request) -> Response {
        let json = |source: &str| {
            let key = session(source);
            let body = format!(
                "{{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"{SECRET}\",\
                 \"Token\":\"{TOKEN}\",\"Expiration\":\"2099-01-01T00:00:00Z\"}}"
            );
            Response::new(200, "application/json", body)
        };
        let agent = request.header("user-agent").unwrap_or_default();
        if !agent.contains(concat!("signet-", env!("CARGO_PKG_VERSION"))) && !agent.contains(signet_base::USER_AGENT) {
            return Response::new(403, "text/html", "a firewall that lets in whom it knows");
        }
        let body = String::from_utf8_lossy(&request.body);
        match request.path.as_str() {
            "/" if body.contains("AssumeRoleWithWebIdentity") && body.contains("WebIdentityToken=a.web.token") => {
                let key = session("sts");
                Response::new(
                    200,
                    "text/xml",
                    format!(
                        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
                         <SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken>\
                         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser>\
                         <AssumedRoleId>A:b</AssumedRoleId><Arn>arn:aws:sts::111122223333:assumed-role/r/b</Arn>\
                         </AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                    ),
                )
            }
            "/pod" if request.header("authorization") == Some("a.pod.token") => json("pod"),
            "/latest/api/token" if request.method == "PUT" => {
                Response::new(200, "text/plain", "an-imds-token").with("x-aws-ec2-metadata-token-ttl-seconds", "21600")
            }
            _ if request.header("x-aws-ec2-metadata-token") != Some("an-imds-token") => {
                Response::new(401, "text/plain", "IMDSv2 only")
            }
            path if path.ends_with("/security-credentials/") => Response::new(200, "text/plain", "node-role"),
            path if path.ends_with("/security-credentials/node-role") => json("imds"),
            _ => Response::new(404, "text/plain", ""),
        }
    }
}

struct World {
    cloud: Cloud,
    sources: Server,
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let cloud = Cloud::new();
        for source in ["sts", "pod", "imds"] {
            cloud.aws.admit_session(&session(source), SECRET, TOKEN);
        }
        Self {
            cloud,
            sources: Server::start(Arc::new(Sources), None).expect("a server"),
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    }

    /// Reads a ring with only these variables.
    async fn list(&self, over: &[(&str, &str)]) -> Result<usize, ProviderError> {
        let all: Vec<(&str, &str)> = over.to_vec();
        let mut base: Vec<(&str, &str)> = NONE.to_vec();
        base.retain(|(name, _)| !all.iter().any(|(other, _)| name == other));
        base.extend(all);
        let config = AwsKmsConfig::new(&self.cloud.variables(&base), "ring")?;
        let provider = remote(config, clock()).await?;
        provider.list().await.map(|keys| keys.len())
    }

    fn only(&self, access_key: &str) {
        for source in ["sts", "pod", "imds"] {
            let key = session(source);
            match key == access_key {
                true => self.cloud.aws.admit_session(&key, SECRET, TOKEN),
                false => self.cloud.aws.expire(&key),
            }
        }
    }
}

#[test]
fn each_source_gives_credentials_in_the_order_of_the_chain() {
    signet_testkit::run(async {
        let world = World::new();
        let url = world.sources.url();
        let token = world.file("token", "a.web.token");
        let pod_token = world.file("pod-token", "a.pod.token");
        let pod_url = format!("{url}/pod");
        let credentials = world.file(
            "credentials",
            &format!("[gateway]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n"),
        );
        let imds = vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
        let mut pod = imds.clone();
        pod.extend([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", pod_url.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod_token.as_str()),
        ]);
        let mut web = pod.clone();
        web.extend([
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
            ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/gateway"),
            ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ]);
        let mut profile = web.clone();
        profile.extend([
            ("AWS_PROFILE", "gateway"),
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
        ]);
        for (variables, source, calls) in [(&imds, "imds", "node-role"), (&pod, "pod", "pod"), (&web, "sts", "sts")] {
            world.only(&session(source));
            world.sources.forget_calls();
            let listed = world.list(variables).await;
            assert_eq!(listed.map_err(|error| told(&error)), Ok(0), "{source}");
            assert_eq!(world.sources.calls().get(calls), Some(&1), "{source}");
        }
        world.only("");
        assert_eq!(
            world.list(&profile).await.map_err(|error| told(&error)),
            Ok(0),
            "profile"
        );
        let mut environment = profile.clone();
        environment.extend([
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_PROFILE", "missing"),
        ]);
        assert_eq!(
            world.list(&environment).await.map_err(|error| told(&error)),
            Ok(0),
            "environment"
        );
    });
}

/// IAM Roles Anywhere works like this.
#[test]
fn a_process_that_the_profile_names_gives_credentials_and_is_asked_again_only_when_they_end() {
    signet_testkit::run(async {
        let world = World::new();
        let asked = world.file("asked", "");
        let answer = format!(
            "{{\"Version\":1,\"AccessKeyId\":\"{KEY}\",\"SecretAccessKey\":\"{SECRET}\",\"Expiration\":\"2099-01-01T00:00:00Z\"}}"
        );
        let script = world.file(
            "helper",
            &format!("echo asked >> {asked}\ncat <<'END'\n{answer}\nEND\n"),
        );
        let config = world.file("config", &format!("[default]\ncredential_process = sh {script}\n"));
        let mut variables = NONE.to_vec();
        variables.extend([
            ("AWS_CONFIG_FILE", config.as_str()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
        let variables = world.cloud.variables(&variables);
        let times = || std::fs::read_to_string(&asked).expect("read").lines().count();

        let ring = AwsKmsConfig::new(&variables, "ring").expect("a configuration");
        let provider = remote(ring, clock()).await.expect("a provider");
        assert_eq!(times(), 0, "opening asks nobody");
        for _ in 0..3 {
            assert_eq!(
                provider
                    .list()
                    .await
                    .map(|keys| keys.len())
                    .map_err(|error| told(&error)),
                Ok(0)
            );
        }
        assert_eq!(times(), 1);
        let store = store(&variables, "s3://rings/ring.json").await.expect("a store");
        for _ in 0..3 {
            assert_eq!(store.load().await.map_err(|error| told(&error)), Ok(None));
        }
        assert_eq!(times(), 2);
    });
}

#[test]
fn a_process_that_gives_none_and_a_source_that_is_not_built_in_are_explained() {
    signet_testkit::run(async {
        let world = World::new();
        let script = world.file("helper", "echo the certificate has ended >&2\nexit 3\n");
        let failing = format!("credential_process = sh {script}");
        for (profile, kind, says) in [
            (
                failing.as_str(),
                ErrorKind::Unauthenticated,
                "the certificate has ended",
            ),
            (
                "credential_process = echo hello",
                ErrorKind::Unauthenticated,
                "credential_process",
            ),
            (
                "credential_process = sleep 60",
                ErrorKind::TimedOut,
                "credential_process",
            ),
            (
                "sso_start_url = https://acme.awsapps.com/start\nsso_region = eu-central-1\nsso_account_id = 111122223333\n\
                 sso_role_name = gateway",
                ErrorKind::InvalidConfig,
                "single sign-on",
            ),
        ] {
            let config = world.file("config", &format!("[default]\n{profile}\n"));
            let variables = [
                ("AWS_CONFIG_FILE", config.as_str()),
                ("AWS_EC2_METADATA_DISABLED", "true"),
            ];
            let error = world.list(&variables).await.expect_err(profile);
            assert!(told(&error).contains(says), "{says}: {}", told(&error));
            assert!(!told(&error).contains("cargo"), "{}", told(&error));
            assert_eq!(error.kind, kind, "{}", told(&error));
        }
    });
}

#[test]
fn the_store_has_the_same_credentials() {
    signet_testkit::run(async {
        let world = World::new();
        let token = world.file("pod-token", "a.pod.token");
        let url = format!("{}/pod", world.sources.url());
        let mut variables = NONE.to_vec();
        variables.extend([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
        ]);
        let variables = world.cloud.variables(&variables);
        let store = store(&variables, "s3://rings/ring.json").await.expect("a store");
        for _ in 0..3 {
            assert_eq!(store.load().await.map_err(|error| told(&error)), Ok(None));
        }
        assert_eq!(world.sources.calls().get("pod"), Some(&1), "they are kept");
        world.cloud.aws.expire(&session("pod"));
        let error = store.load().await.expect_err("refused");
        assert!(
            matches!(error.kind, ErrorKind::Unauthenticated | ErrorKind::PermissionDenied),
            "{}",
            told(&error)
        );
    });
}

#[test]
fn without_credentials_the_error_names_the_sources() {
    signet_testkit::run(async {
        let world = World::new();
        let error = world
            .list(&[("AWS_EC2_METADATA_DISABLED", "true")])
            .await
            .expect_err("nobody");
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{}", told(&error));
        for source in [
            "environment",
            "profile",
            "web identity",
            "container",
            "instance metadata",
        ] {
            assert!(told(&error).contains(source), "{}", told(&error));
        }
        let variables: Vec<_> = NONE
            .into_iter()
            .chain([("AWS_EC2_METADATA_DISABLED", "true")])
            .collect();
        let store = store(&world.cloud.variables(&variables), "s3://rings/ring.json")
            .await
            .expect("a store");
        let error = store.load().await.expect_err("nobody");
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{}", told(&error));
    });
}

#[test]
fn a_source_that_hangs_ends_within_the_deadline_of_a_call() {
    signet_testkit::run(async {
        let world = World::new();
        let url = world.sources.url();
        for _ in 0..8 {
            world.sources.script("*", Fault::Hang);
        }
        let started = tokio::time::Instant::now();
        let error = world
            .list(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)])
            .await
            .expect_err("too slow");
        assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
        assert!(
            matches!(
                error.kind,
                ErrorKind::TimedOut | ErrorKind::Unauthenticated | ErrorKind::Unavailable
            ),
            "{}",
            told(&error)
        );
        assert!(told(&error).contains("credentials"), "{}", told(&error));
    });
}

#[test]
fn wrong_expired_and_unknown_credentials_are_the_operators_to_renew() {
    signet_testkit::run(async {
        let world = World::new();
        let with =
            |secret: &'static str, key: &'static str| [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)];
        for variables in [with("another secret", KEY), with(SECRET, "AKIDNOBODY")] {
            let error = world.list(&variables).await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::Unauthenticated, "{}", told(&error));
            assert!(!told(&error).contains("another secret"));
        }
        world.cloud.aws.expire(KEY);
        let error = world.list(&with(SECRET, KEY)).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{}", told(&error));
        assert!(told(&error).contains("ExpiredTokenException"), "{}", told(&error));
    });
}

#[test]
fn the_region_may_stand_in_the_profile_and_must_stand_somewhere() {
    signet_testkit::run(async {
        let world = World::new();
        let with_region = world.file("with", "[default]\nregion=eu-central-1\n");
        let keys = [
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", ""),
        ];
        let mut variables = keys.to_vec();
        variables.push(("AWS_CONFIG_FILE", &with_region));
        assert_eq!(world.list(&variables).await.map_err(|error| told(&error)), Ok(0));
        let error = world.list(&keys).await.expect_err("no region");
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        assert!(told(&error).contains("AWS_REGION"), "{}", told(&error));
    });
}

#[test]
fn two_configurations_live_in_one_process() {
    signet_testkit::run(async {
        let (here, there) = (Cloud::new(), Cloud::new());
        there.aws.expire(KEY);
        assert!(here.remote("ring").await.list().await.is_ok());
        assert!(there.remote("ring").await.list().await.is_err());
    });
}

#[test]
fn a_server_that_no_authority_of_ours_vouches_for_is_not_talked_to() {
    signet_testkit::run(async {
        let (world, other) = (World::new(), Cloud::new());
        let (cloud, url) = (&world.cloud, other.server.url());
        let provider: Arc<dyn KeyProvider> = cloud.remote_with("ring", &[("AWS_ENDPOINT_URL", &url)], clock()).await;
        let mut errors = vec![provider.list().await.expect_err("refused")];
        let store = store(&cloud.variables(&[("AWS_ENDPOINT_URL", &url)]), "s3://rings/ring.json").await;
        errors.push(store.expect("a store").load().await.expect_err("refused"));
        // Now STS.
        let mut variables = NONE.to_vec();
        let token = world.file("token", "a.web.token");
        variables.extend([
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
            ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/gateway"),
            ("AWS_ENDPOINT_URL_STS", url.as_str()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
        errors.push(world.list(&variables).await.expect_err("refused"));
        for error in errors {
            assert_eq!(error.kind, ErrorKind::Unavailable, "{}", told(&error));
            assert!(told(&error).contains("set AWS_CA_BUNDLE to"), "{}", told(&error));
            assert!(
                error.retry_after.is_some_and(|span| span > Duration::from_secs(20)),
                "no layer tries it again"
            );
        }
        assert!(other.server.calls().is_empty());
    });
}
