//! Finds secrets that no log may contain.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The beginnings of private keys: PEM, and PKCS#8 of P-256, P-384, P-521, Ed25519 and RSA-2048 in
/// base64 and as printed bytes.
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

/// All secrets in the text. `known` are those of this test, such as the signatures of its tokens.
pub fn leaks(text: &str, known: &[String]) -> Vec<String> {
    let starts = text.match_indices("eyJ").filter(|(at, _)| begins_a_token(&text[*at..]));
    let tokens = starts.map(|(at, _)| {
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

/// Whether this is the beginning of a token.
///
/// Every token and every JWK in base64 begins with `{"`, which is `eyJ`. Sometimes a part of a public key or digest
/// does too, when a provider's client prints it in base64 at level `trace`. Such a part continues with bytes that are
/// not text.
fn begins_a_token(text: &str) -> bool {
    let is_of_token = |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let run: Vec<u8> = text.bytes().take(24).take_while(|octet| is_of_token(&octet)).collect();
    // Tokens do not use this alphabet of base64.
    if run.len() < 24 && text[run.len()..].starts_with(['+', '/']) {
        return false;
    }
    // For example the end of a kid. No token's header is this short, unless the text ends within it.
    if run.len() < 12 && run.len() < text.len() {
        return false;
    }
    let whole = &run[..run.len() / 4 * 4];
    let octets = URL_SAFE_NO_PAD.decode(whole).unwrap_or_default();
    let (text, rest) = match std::str::from_utf8(&octets) {
        Ok(text) => (text, &[][..]),
        // A character that was cut in two.
        Err(error) if error.error_len().is_none() => {
            let (text, rest) = octets.split_at(error.valid_up_to());
            (std::str::from_utf8(text).unwrap_or_default(), rest)
        }
        Err(_) => return false,
    };
    rest.len() < 4 && !text.chars().any(char::is_control)
}
