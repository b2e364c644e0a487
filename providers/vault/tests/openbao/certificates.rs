//! A server that requires client certificates, and authorities in a variable.

use signet_api::{ErrorKind, Variables};
use signet_testkit::run;

use crate::server::{Server, shared, unique};
use crate::{chain, remote};

fn with(variables: &Variables, pairs: &[(&str, &str)]) -> Variables {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.overlaid(&pairs.iter().map(owned).collect())
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_ours_and_one_that_is_missing_is_told() {
    run(async {
        let (server, port) = Server::start_that_asks_for_certificates().await;
        let address = format!("https://127.0.0.1:{port}");
        let without = with(&server.as_root(), &[("VAULT_ADDR", &address)]);
        let error = remote(without.clone(), unique("ring"))
            .await
            .list()
            .await
            .expect_err("no certificate");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        assert!(chain(&error).contains("VAULT_CLIENT_CERT"), "{error:?}");

        let [certificate, key] = server.client().map(|path| path.display().to_string());
        let shown = with(
            &without,
            &[("VAULT_CLIENT_CERT", &certificate), ("VAULT_CLIENT_KEY", &key)],
        );
        let keys = remote(shown, unique("ring")).await.list().await.expect("let in");
        assert!(keys.is_empty());
    });
}

#[test]
fn the_authorities_may_stand_in_a_variable() {
    run(async {
        let pem = std::fs::read_to_string(shared().authority()).expect("the authority");
        let reach = shared().address();
        let pairs = [
            ("VAULT_ADDR", reach.as_str()),
            ("VAULT_TOKEN", shared().root()),
            ("VAULT_CACERT_BYTES", &pem),
        ];
        let variables = with(&Variables::default(), &pairs);
        let keys = remote(variables, unique("ring")).await.list().await.expect("trusted");
        assert!(keys.is_empty());
    });
}
