//! Attacks through the serialisation: the encoding of the parts, their number, and what surrounds them.

use signet_core::token::LONGEST;

use crate::forge::{ACCEPTED, Case, b64, case, claims, good, header, ours, sealed, with_claims, with_payload};

/// A header and payload whose lengths leave four unused bits in the last base64 character of each.
fn ragged() -> (String, String) {
    let pad = |text: String| {
        let spaces = (4 - text.len() % 3) % 3;
        b64(text + &" ".repeat(spaces))
    };
    (pad(header("ES256")), pad(claims(&[])))
}

/// Sets an unused bit in the last character. A lax decoder reads the same bytes.
fn stray(part: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.iter().position(|character| [*character] == *last.as_bytes());
    let value = value.expect("base64url");
    assert!(part.len() % 4 == 2 && value % 16 == 0, "four unused bits");
    format!("{rest}{}", char::from(ALPHABET[value + 1]))
}

/// A good token whose signature has both `-` and `_`, the two characters in which the base64 alphabets differ.
fn with_both() -> String {
    let tokens = std::iter::repeat_with(|| good("ES256"));
    let both = |token: &String| {
        token
            .rsplit_once('.')
            .is_some_and(|(_, signature)| signature.contains('-') && signature.contains('_'))
    };
    tokens.take(10_000).find(both).expect("some are")
}

pub(crate) fn parts() -> Vec<Case> {
    let token = good("ES256");
    let parts: Vec<&str> = token.split('.').collect();
    let [head, body, signature] = parts.as_slice() else {
        unreachable!("three parts")
    };
    let (ragged_head, ragged_body) = ragged();
    let key = ours("ES256");
    let both = with_both();
    let (input, both_signature) = both.rsplit_once('.').expect("three parts");
    let with_standard = sealed(
        &format!("{head}.{}", b64(claims(&[("sub", "\"~~~???>>>\"")]))).replace(['-', '_'], "/"),
        key,
    );
    let flattened = format!(r#"{{"payload":"{body}","protected":"{head}","signature":"{signature}"}}"#);
    let general =
        format!(r#"{{"payload":"{body}","signatures":[{{"protected":"{head}","signature":"{signature}"}}]}}"#);
    let bad = "malformed";
    vec![
        case(
            "padding after the header",
            sealed(&format!("{ragged_head}==.{ragged_body}"), key),
            bad,
        ),
        case(
            "padding after the payload",
            sealed(&format!("{ragged_head}.{ragged_body}=="), key),
            bad,
        ),
        case("padding after the signature", format!("{token}=="), bad),
        case(
            "stray bits in the header",
            sealed(&format!("{}.{ragged_body}", stray(&ragged_head)), key),
            bad,
        ),
        case(
            "stray bits in the payload",
            sealed(&format!("{ragged_head}.{}", stray(&ragged_body)), key),
            bad,
        ),
        case(
            "stray bits in the signature",
            format!("{head}.{body}.{}", stray(signature)),
            bad,
        ),
        case(
            "no stray bits",
            sealed(&format!("{ragged_head}.{ragged_body}"), key),
            ACCEPTED,
        ),
        case(
            "the standard alphabet in the signature",
            format!("{input}.{}", both_signature.replace('-', "+").replace('_', "/")),
            bad,
        ),
        case("the standard alphabet in the payload", with_standard, bad),
        case(
            "one character too many in the payload",
            sealed(&format!("{head}.{ragged_body}AAA"), key),
            bad,
        ),
        case("two parts", format!("{head}.{body}"), bad),
        case("one part", *head, bad),
        case("four parts", format!("{token}.{signature}"), bad),
        case("five parts, as a JWE has", format!("{token}.{signature}.{body}"), bad),
        case("a dot behind it", format!("{token}."), bad),
        case("a dot before it", format!(".{token}"), bad),
        case("an empty text", "", bad),
        case("dots only", "..", bad),
        case("many dots", ".".repeat(1000), bad),
        case("an empty payload", sealed(&format!("{head}."), key), bad),
        case("a detached payload", format!("{head}..{signature}"), "bad_signature"),
        case("the flattened JSON serialisation", flattened, bad),
        case("the general JSON serialisation", general, bad),
        case(
            "header and payload exchanged",
            sealed(&format!("{body}.{head}"), key),
            bad,
        ),
    ]
}

pub(crate) fn texts() -> Vec<Case> {
    let token = good("ES256");
    let middle = |with: &str| {
        let (input, signature) = token.rsplit_once('.').expect("three parts");
        format!("{input}.{}{with}{}", &signature[..40], &signature[40..])
    };
    let of_length = |length: usize| {
        // Three bytes become four characters. The length of the signature, which follows, is known.
        let mut spaces = 0;
        loop {
            let token = with_payload(claims(&[]) + &" ".repeat(spaces));
            match length.checked_sub(token.len()) {
                Some(0..=3) => return token,
                Some(lacking) => spaces += lacking / 4 * 3,
                None => unreachable!("it grows in steps of at most four"),
            }
        }
    };
    let longest = of_length(LONGEST);
    assert!(longest.len() > LONGEST - 4 && longest.len() <= LONGEST);
    let bad = "malformed";
    vec![
        case("a space before it", format!(" {token}"), bad),
        case("a space behind it", format!("{token} "), bad),
        case("a newline behind it", format!("{token}\n"), bad),
        case("a carriage return behind it", format!("{token}\r\n"), bad),
        case("a NUL behind it", format!("{token}\0"), bad),
        case("a space in the signature", middle(" "), bad),
        case("a newline in the signature", middle("\n"), bad),
        case("a NUL in the signature", middle("\0"), bad),
        case("a zero-width space in the signature", middle("\u{200b}"), bad),
        case("the scheme before it", format!("Bearer {token}"), bad),
        case("quotes around it", format!("\"{token}\""), bad),
        case("two tokens", format!("{token},{token}"), bad),
        case("a percent-encoded dot", token.replace('.', "%2E"), bad),
        case("full-width dots", token.replace('.', "\u{ff0e}"), bad),
        case("as long as may be", longest, ACCEPTED),
        case("longer than 16 KiB", of_length(LONGEST + 4), "too_large"),
        case("16 KiB of nothing", "A".repeat(LONGEST + 1), "too_large"),
        case("16 MiB of dots", ".".repeat(16 << 20), "too_large"),
        case(
            "a payload that is not UTF-8",
            with_payload([&claims(&[]).as_bytes()[..20], b"\xff\"}"].concat()),
            bad,
        ),
        case(
            "an overlong UTF-8 payload",
            with_payload(b"{\"sub\":\"\xc0\xaf\"}"),
            bad,
        ),
        case(
            "a payload with a BOM",
            with_payload([b"\xef\xbb\xbf", claims(&[]).as_bytes()].concat()),
            bad,
        ),
        case(
            "white space around the claims",
            with_payload(format!("\r\n {}\t", claims(&[]))),
            ACCEPTED,
        ),
        case(
            "claims with a lone surrogate",
            with_claims(&[("x", r#""\ud800""#)]),
            bad,
        ),
        case(
            "claims with a control character",
            with_claims(&[("x", "\"\u{1}\"")]),
            bad,
        ),
        case(
            "claims with an escaped control character",
            with_claims(&[("x", r#""\u0001""#)]),
            ACCEPTED,
        ),
    ]
}
