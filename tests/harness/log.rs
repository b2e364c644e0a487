//! What no log may hold.

/// How private keys begin: PEM; PKCS#8 of P-256, P-384, P-521, Ed25519 and RSA-2048 in base64 and as printed octets.
const PRIVATE: [&str; 12] = [
    "PRIVATE KEY",
    "MIGHAgEAMBMG",
    "MIG2AgEAMBAG",
    "MIHuAgEAMBAG",
    "MC4CAQAwBQYDK2Vw",
    "MFMCAQEwBQYDK2Vw",
    "MFECAQEwBQYDK2Vw",
    "MIIEvQIBADAN",
    "MIIEvgIBADAN",
    "308187020100",
    "[48, 129, 135, 2, 1, 0",
    "[48, 83, 2, 1, 1, 48",
];

/// Every secret that stands in the text; `known` are those of this test, such as the signatures of its tokens.
pub(crate) fn leaks(text: &str, known: &[String]) -> Vec<String> {
    // Every token and every JWK in base64 begins like this: it is `{"`.
    let tokens = text.match_indices("eyJ").map(|(at, _)| {
        let end = text[at..]
            .char_indices()
            .nth(60)
            .map_or(text.len(), |(end, _)| at + end);
        format!("a token: {}", &text[at..end])
    });
    let keys = PRIVATE.iter().filter(|start| text.contains(**start));
    let known = known.iter().filter(|secret| text.contains(secret.as_str()));
    tokens
        .chain(keys.map(|start| format!("a private key: {start}")))
        .chain(known.map(|secret| format!("a secret of this test: {secret}")))
        .collect()
}
