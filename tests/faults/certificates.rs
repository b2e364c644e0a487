//! Starts while the certificate of the provider's server is bad: the last good ring is served. If our own CA file
//! cannot be read, startup fails, because waiting does not help.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use serde_json::{Value, json};
use signet_fakes::{Authority, Request, Response, Server, Service};

use crate::harness::time::wait_for;
use crate::harness::{Home, PATIENCE, Signed, Spec};
use crate::published;

/// The parts of transit that sealed custody needs. It encrypts nothing: it appends the plaintext to the context.
struct Transit;

impl Service for Transit {
    fn operation(&self, request: &Request) -> String {
        request.path.clone()
    }

    fn answer(&self, request: &Request) -> Response {
        let body = request.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let data = |data: Value| Response::json(200, &json!({ "data": data }));
        match request.path.as_str() {
            "/v1/transit/encrypt/signet" => {
                let ciphertext = format!("vault:v1:{}.{}", text("associated_data"), text("plaintext"));
                data(json!({ "ciphertext": ciphertext }))
            }
            "/v1/transit/decrypt/signet" => {
                let ciphertext = text("ciphertext");
                let prefix = format!("vault:v1:{}.", text("associated_data"));
                match ciphertext.strip_prefix(&prefix) {
                    Some(plaintext) => data(json!({ "plaintext": plaintext })),
                    None => Response::json(400, &json!({ "errors": ["cipher: message authentication failed"] })),
                }
            }
            "/v1/transit/keys/signet" => data(json!({ "type": "aes256-gcm96" })),
            "/v1/auth/token/lookup-self" => data(json!({ "ttl": 0 })),
            _ => Response::json(404, &json!({ "errors": [] })),
        }
    }
}

fn serve(address: SocketAddr, authority: &Authority) -> Server {
    // The previous server may still be stopping.
    wait_for("the address", PATIENCE, || {
        Server::start_on(address, Arc::new(Transit), Some(authority)).ok()
    })
}

/// A sidecar that has served a ring sealed by Vault and was stopped. Vault is down.
fn former(authority: &Authority) -> (Spec, SocketAddr, Signed) {
    let home = Home::new();
    authority.write(&home.path("authority.pem"));
    // An address that is reserved, because the same one is used again later.
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = held.local_addr().expect("its number");
    drop(held);
    let vault = serve(address, authority);
    let spec = Spec::new(&home).set_all(&[
        ("SIGNET_PROVIDER", "vault"),
        ("SIGNET_CUSTODY", "sealed"),
        ("SIGNET_STORE", &format!("file:{}", home.path("ring.json").display())),
        ("VAULT_ADDR", &vault.url()),
        ("VAULT_TOKEN", "hvs.of-tests"),
        ("VAULT_CACERT", &home.path("authority.pem").display().to_string()),
    ]);
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    let remembered = home.data().join("last-good.json");
    wait_for("the ring to be remembered", PATIENCE, || {
        remembered.exists().then_some(())
    });
    sidecar.stop();
    (spec, address, signed)
}

#[test]
fn a_bad_certificate_of_the_server_is_an_outage_and_the_last_good_ring_is_served() {
    type Harm = fn(Authority) -> Authority;
    let harms: [(&str, Harm, &str); 3] = [
        (
            "expired",
            |mut authority| {
                authority.let_expire();
                authority
            },
            "has expired since 2021-01-01T00:00:00Z: renew it at the server",
        ),
        (
            "of another name",
            |mut authority| {
                authority.name_servers("other.test");
                authority
            },
            "VAULT_TLS_SERVER_NAME",
        ),
        ("of another authority", |_| Authority::new(), "set VAULT_CACERT to"),
    ];
    for (name, harm, says) in harms {
        let authority = Authority::new();
        let (spec, address, signed) = former(&authority);
        let impostor = serve(address, &harm(authority));
        let sidecar = spec.spawn();
        assert_eq!(published(&spec), [signed.kid.as_str()], "{name}");
        assert_eq!(sidecar.verify(&signed.token)["active"], true, "{name}");
        let log = sidecar.log_text();
        assert!(
            log.contains("The server's certificate") && log.contains(says),
            "{name}: {log}"
        );
        assert!(impostor.calls().is_empty(), "{name}: the token is not sent");
    }
}

#[test]
fn a_file_of_authorities_that_cannot_be_read_ends_the_start_though_there_is_a_last_good_ring() {
    let authority = Authority::new();
    let (spec, address, _) = former(&authority);
    let _vault = serve(address, &authority);
    let refused = spec.set("VAULT_CACERT", "/nonexistent.pem").run(&["serve"]);
    assert_eq!(refused.code, 64, "{}", refused.stderr);
    assert!(refused.stderr.contains("VAULT_CACERT"), "{}", refused.stderr);
}
