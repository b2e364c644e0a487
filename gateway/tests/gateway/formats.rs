//! Files in YAML and TOML are served as the same file in JSON.

use std::process::{Command, Output};

use crate::support::{Backend, Gateway};

const YAML: &str = "\
version: 3
port: PORT
listen_ip: 127.0.0.1
host: [BACKEND]
_common: &common
  output_encoding: no-op
  input_query_strings: [a]
endpoints:
  - <<: *common
    endpoint: /users/{id}
    backend:
      - url_pattern: /v1/{id}
  - endpoint: /gone
    backend: [{url_pattern: /gone}]
extra_config:
  router:
    error_body: {404: {error: 4.040}}
";

const TOML: &str = "\
version = 3
port = PORT
listen_ip = '127.0.0.1'
host = ['BACKEND']

[[endpoints]]
endpoint = '/users/{id}'
output_encoding = 'no-op'
input_query_strings = ['a']
[[endpoints.backend]]
url_pattern = '/v1/{id}'

[[endpoints]]
endpoint = '/gone'
backend = [{ url_pattern = '/gone' }]

[extra_config.router.error_body]
404 = { error = 4.040 }
";

fn check(name: &str, text: &str) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join(name), text).expect("written");
    Command::new(env!("CARGO_BIN_EXE_signet-gateway"))
        .args(["check", "-c", name])
        .current_dir(directory.path())
        .output()
        .expect("it runs")
}

#[test]
fn a_file_in_yaml_or_toml_is_served() {
    let backend = Backend::echo();
    for (name, text) in [("krakend.yml", YAML), ("krakend.yaml", YAML), ("krakend.toml", TOML)] {
        let directory = tempfile::tempdir().expect("a directory");
        let gateway = Gateway::start_text(directory, name, |address| {
            text.replace("PORT", &address.port().to_string())
                .replace("BACKEND", &backend.host())
        });
        let answer = gateway.get("/users/7?a=1&b=2");
        assert_eq!(
            (answer.status, answer.json()["target"].clone()),
            (200, "/v1/7?a=1".into()),
            "{name}"
        );
        let nothing = gateway.get("/nothing");
        assert_eq!(
            (nothing.status, nothing.body.as_str()),
            (404, r#"{"error":4.040}"#),
            "{name}"
        );
    }
}

#[test]
fn a_problem_has_its_line_and_path_and_the_exit_code() {
    for (name, text, says) in [
        (
            "krakend.yaml",
            YAML.replace("url_pattern: /v1", "url_patern: /v1"),
            "line 12: endpoints[0].backend[0].url_patern: ",
        ),
        (
            "krakend.yaml",
            YAML.replace("no-op", "noop"),
            "line 6: endpoints[0].output_encoding: ",
        ),
        (
            "krakend.yaml",
            YAML.replace("host:", "port: 1\nhost:"),
            "line 4: port: this key is already in line 2",
        ),
        (
            "krakend.yaml",
            YAML.replace("- <<:", "- debug: no\n    <<:"),
            "line 9: endpoints[0].debug: no key",
        ),
        (
            "krakend.yaml",
            YAML.replace("PORT", "0x1F90"),
            "line 2: not YAML, at column 7: not all YAML parsers read 0x1F90 as",
        ),
        (
            "krakend.toml",
            TOML.replace("url_pattern = '/v1", "url_patern = '/v1"),
            "line 11: endpoints[0].backend[0].url_patern: ",
        ),
        (
            "krakend.toml",
            TOML.replace("host =", "port = 1\nhost ="),
            "line 4: not TOML, at column 1: duplicate key",
        ),
        ("krakend.json", YAML.to_owned(), "line 1: not JSON"),
    ] {
        let text = text.replace("PORT", "8080").replace("BACKEND", "http://a");
        let output = check(name, &text);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(64) && stderr.contains(says),
            "{says}: {stderr}"
        );
    }
}
