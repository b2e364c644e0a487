use super::*;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn problem(pairs: &[(&str, &str)], key: &str) -> String {
    let error = AwsKmsConfig::new(&variables(pairs), key).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidConfig);
    error.source.to_string()
}

#[test]
fn every_problem_is_named_at_once_and_no_secret_is_shown() {
    let text = problem(
        &[
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_ENDPOINT_URL_KMS", "http://kms.example"),
            ("AWS_ENDPOINT_URL_S3", "ftp://s3.example"),
            ("AWS_CA_BUNDLE", "/nonexistent/ca.pem"),
            ("AWS_REGION", "Frankfurt!"),
        ],
        "ring with blanks",
    );
    for part in [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CA_BUNDLE",
        "AWS_REGION",
        "SIGNET_KEY",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let config = AwsKmsConfig::new(
        &variables(&[
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ]),
        "ring",
    )
    .expect("a configuration");
    assert!(!format!("{config:?}").contains("wJalr"));
}

#[test]
fn a_key_is_a_name_an_alias_an_id_or_an_arn() {
    let name = |key: &str| AwsKmsConfig::new(&variables(&[]), key).expect("taken").key;
    assert_eq!(name("gate/way_1"), KeyName::Name("gate/way_1".to_owned()));
    assert_eq!(name("alias/gateway"), KeyName::Name("gateway".to_owned()));
    for key in [
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws-cn:kms:cn-north-1:111122223333:alias/gateway",
    ] {
        assert_eq!(name(key), KeyName::Key(key.to_owned()));
    }
    for key in ["aws/s3", "", "a//b", "/a", "a.b", "arn:aws:s3:::bucket", "ü"] {
        assert!(problem(&[], key).contains("SIGNET_KEY"), "{key:?}");
    }
}

#[test]
fn the_region_of_an_arn_counts_and_must_not_contradict_the_variable() {
    let arn = "arn:aws:kms:eu-central-1:111122223333:alias/gateway";
    let config = AwsKmsConfig::new(&variables(&[]), arn).expect("taken");
    assert_eq!(config.endpoints.region.as_deref(), Some("eu-central-1"));
    assert!(problem(&[("AWS_REGION", "us-east-1")], arn).contains("eu-central-1"));
}

#[test]
fn http_is_for_loopback_alone() {
    for url in [
        "http://127.0.0.1:4566",
        "http://localhost:4566/",
        "http://[::1]:1",
        "https://kms.example",
    ] {
        assert_eq!(endpoint_problem(url), None, "{url}");
    }
    for url in [
        "http://10.0.0.1",
        "http://localhost.example",
        "kms.example",
        "https://u:p@kms.example",
        "https://h/?a=b",
    ] {
        assert!(endpoint_problem(url).is_some(), "{url}");
    }
}
