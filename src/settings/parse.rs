//! Parsers for settings that only the sidecar has. An error says what is wrong and what to write. No parser panics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use signet_base::Nearness;
use signet_config::choice;
pub(crate) use signet_config::parse::duration;
use signet_config::parse::items;
pub(super) use signet_config::parse::{address, duration_in, names, number, path, switch, text};
use signet_core::algorithm::RsaBits;
use signet_core::{Algorithm, Audience, Issuer};
use tracing_subscriber::filter::{LevelFilter, Targets};

use signet_edge::unix::Group;

/// The maximum length of `sun_path` without its final zero (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

/// The path of something that Signet creates and must find again at the next start. It must be absolute: from another
/// working directory, a relative path is another place, and a ring that is not found would be replaced by a new one.
pub(super) fn lasting_path(text: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    match path.is_absolute() {
        true => Ok(path),
        false => Err(format!(
            "{text:?} is relative: a start from another directory would create another ring. Write the absolute \
             path, which begins with /"
        )),
    }
}

pub(super) fn algorithm(text: &str) -> Result<Algorithm, String> {
    text.parse().map_err(|_| {
        let names = Algorithm::ALL.map(Algorithm::as_str).join(", ");
        format!("{text:?} is not an algorithm; write one of: {names}")
    })
}

pub(super) fn rsa_bits(text: &str) -> Result<RsaBits, String> {
    text.parse()
        .ok()
        .and_then(RsaBits::from_bits)
        .ok_or_else(|| format!("{text:?} is not a supported length of RSA keys; write 2048, 3072 or 4096"))
}

/// An issuer: an absolute http or https URL without query and fragment (RFC 8414 §2). It stays as it was written,
/// because verifiers compare it byte by byte (RFC 7519 §4.1.1).
pub(super) fn issuer(text: &str) -> Result<Issuer, String> {
    let refuse = |wrong: &str| {
        Err(format!(
            "{text:?} {wrong}; write for example https://tokens.example.com"
        ))
    };
    if !text.is_ascii() {
        return refuse("contains characters that a URL must percent-encode");
    }
    // `http::Uri` silently drops a fragment.
    if text.contains(['?', '#']) {
        return refuse("has a query or a fragment, which an issuer may not have (RFC 8414 §2)");
    }
    let Ok(uri) = text.parse::<http::Uri>() else {
        return refuse("is not a URL");
    };
    if !matches!(uri.scheme_str(), Some("https" | "http")) {
        return refuse("is not an absolute http or https URL");
    }
    let Some(authority) = uri.authority() else {
        return refuse("has no host");
    };
    let host = authority.host();
    let is_plain = authority
        .as_str()
        .strip_prefix(host)
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()));
    if host.is_empty() || !is_plain {
        return refuse("has more than a host and a port before its path");
    }
    Ok(Issuer::new(text))
}

/// Whether the host of the issuer's URL is reachable from this machine only.
pub(super) fn is_loopback(issuer: &Issuer) -> bool {
    let uri = issuer.as_str().parse::<http::Uri>().ok();
    uri.is_some_and(|uri| uri.host().is_some_and(|host| Nearness::of_text(host).is_here()))
}

pub(super) fn audiences(text: &str) -> Result<Vec<Audience>, String> {
    items(text)?.into_iter().map(|item| Ok(Audience::new(item))).collect()
}

/// A group, by number or by name.
pub(super) fn group(text: &str, groups: &BTreeMap<String, u32>) -> Result<Group, String> {
    let gid = match text.parse() {
        Ok(u32::MAX) => None,
        Ok(gid) => Some(gid),
        Err(_) => groups.get(text).copied(),
    };
    let group = |gid| Group {
        name: text.to_owned(),
        gid,
    };
    gid.map(group).ok_or_else(|| {
        format!(
            "{text:?} is not a group in /etc/group of this machine; write the group's number (`getent group NAME` \
             prints it)"
        )
    })
}

/// A list of user or group ids.
pub(super) fn ids(text: &str) -> Result<BTreeSet<u32>, String> {
    let id = |item: &str| {
        item.parse()
            .ok()
            // System calls take (uid_t) -1 for "unchanged".
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| {
                format!("{item:?} is not a user or group id; write numbers, for example 0,1000 (`id NAME` prints them)")
            })
    };
    items(text)?.into_iter().map(id).collect()
}

pub(super) fn socket_path(text: &str) -> Result<PathBuf, String> {
    if let Some(name) = text.strip_prefix('@') {
        return Err(format!(
            "{text:?} is an abstract socket, which file permissions cannot protect; write a path, for example \
             /run/signet/{name}.sock"
        ));
    }
    if text.len() > LONGEST_SOCKET_PATH {
        return Err(format!(
            "{text:?} has {} bytes, but the path of a socket may have at most {LONGEST_SOCKET_PATH}; write a shorter \
             one",
            text.len()
        ));
    }
    path(text)
}

/// Permission bits, in octal.
pub(super) fn socket_mode(text: &str) -> Result<u32, String> {
    let example = "write for example 0660 or 0600";
    let mode = u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("{text:?} is not a mode of three octal digits; {example}"))?;
    if mode & 0o007 != 0 {
        return Err(format!(
            "{text:?} would let every user of this machine use the socket; the last digit must be 0: {example}"
        ));
    }
    if mode & 0o600 != 0o600 {
        return Err(format!(
            "{text:?} would not let signet's own user use the socket; {example}"
        ));
    }
    Ok(mode)
}

/// What is logged. It is parsed here, because the crate's own parser takes a misspelled level for the name of
/// a module and logs nothing.
pub(super) fn log(text: &str) -> Result<Targets, String> {
    let refuse = |item: &str| {
        format!(
            "{item:?} is not a log level; write off, error, warn, info, debug or trace, or set one module's level, \
             for example info,signet::keeper=debug"
        )
    };
    let level = |word: &str| {
        let levels = [
            ("off", LevelFilter::OFF),
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ];
        choice(word, &levels).ok()
    };
    let is_module = |module: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        !module.is_empty() && module.chars().all(is_part)
    };
    if text.is_empty() {
        return Err(refuse(text));
    }
    items(text)?.into_iter().try_fold(Targets::new(), |targets, item| {
        let more = match item.split_once('=') {
            Some((module, word)) if is_module(module) => level(word).map(|level| (Some(module), level)),
            Some(_) => None,
            None => level(item).map(|level| (None, level)),
        };
        match more {
            Some((Some(module), level)) => Ok(targets.with_target(module, level)),
            Some((None, level)) => Ok(targets.with_default(level)),
            None => Err(refuse(item)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_absolute_url_without_query_and_fragment() {
        for text in [
            "https://tokens.example.com",
            "https://tokens.example.com/",
            "https://example.com:8443/realms/a",
            "http://localhost:8080",
            "http://[::1]:8080",
        ] {
            assert_eq!(issuer(text), Ok(Issuer::new(text)), "{text}");
        }
        for text in [
            "tokens.example.com",
            "/path",
            "ftp://example.com",
            "https://",
            "https:///path",
            "https://example.com?x=1",
            "https://example.com/#here",
            "https://me@example.com",
            "https://example.com:99999",
            "https://example.com:",
            "https://exämple.com",
            "https://example.com/a b",
            "urn:example:issuer",
        ] {
            assert!(issuer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_issuer_on_this_machine_is_recognised_with_its_port_and_path() {
        for url in ["http://LOCALHOST:80", "http://127.0.0.9/a", "http://[::1]:8080"] {
            assert!(is_loopback(&Issuer::new(url)), "{url}");
        }
        for url in [
            "http://example.com",
            "http://a.localhost",
            "http://10.0.0.1:80/127.0.0.1",
        ] {
            assert!(!is_loopback(&Issuer::new(url)), "{url}");
        }
    }

    #[test]
    fn a_socket_that_others_could_open_is_refused() {
        for (text, mode) in [("0660", 0o660), ("660", 0o660), ("0o600", 0o600), ("0770", 0o770)] {
            assert_eq!(socket_mode(text), Ok(mode));
        }
        for text in ["0666", "0662", "0664", "0661", "0777"] {
            assert!(socket_mode(text).expect_err(text).contains("every user"), "{text}");
        }
        for text in ["0060", "0400", "0000", "1777", "rw", "0x1b0", "-0660", "689", ""] {
            assert!(socket_mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_or_an_abstract_name_in_place_of_a_path_is_refused_with_the_path() {
        for (text, path) in [
            ("unix:///run/signet/s.sock", "/run/signet/s.sock"),
            ("unix:/run/s.sock", "/run/s.sock"),
            ("unix:s.sock", "/s.sock"),
            ("UNIX:/s.sock", "/s.sock"),
            ("http+unix://%2Frun%2Fs.sock", "/run/s.sock"),
            ("file:///etc/tls.pem", "/etc/tls.pem"),
            ("file:/etc/tls.pem", "/etc/tls.pem"),
            ("https://example.com/key", "/example.com/key"),
            ("@signet", "/run/signet/signet.sock"),
        ] {
            let refused = socket_path(text).expect_err(text);
            assert!(
                refused.contains(&format!("write a path, for example {path}"))
                    || refused.ends_with(&format!("write for example {path}")),
                "{refused}"
            );
            assert_eq!(super::path(text).is_ok(), text.starts_with('@'), "{text}");
        }
        for text in ["~/s.sock", "~", "$HOME/s.sock", "${HOME}/s.sock"] {
            assert!(path(text).expect_err(text).contains("a shell"), "{text}");
        }
        for text in ["ring.json", "./data", "../data", "@data", "data/"] {
            assert!(lasting_path(text).expect_err(text).contains("begins with /"), "{text}");
        }
        assert_eq!(lasting_path("/var/lib/a~/@b"), Ok("/var/lib/a~/@b".into()));
        assert!(lasting_path("~/data").expect_err("a home").contains("a shell"));
        assert!(path("unix-abstract:signet").is_err());
        for text in [
            "/run/signet.sock",
            "a~/$HOME",
            "signet.sock",
            "./unix:x",
            "/a:b/c",
            "/a/file:b",
            "a@b",
        ] {
            assert!(socket_path(text).is_ok(), "{text}");
        }
        assert!(address("http://0.0.0.0:8080").expect_err("a URL").contains("is a URL"));
    }

    #[test]
    fn a_socket_path_of_108_bytes_is_refused() {
        assert!(socket_path(&"a".repeat(107)).is_ok());
        assert!(socket_path(&"a".repeat(108)).expect_err("long").contains("108 bytes"));
    }

    #[test]
    fn ids_are_numbers() {
        assert_eq!(ids("0, 1000,1000"), Ok(BTreeSet::from([0, 1000])));
        assert_eq!(ids(""), Ok(BTreeSet::new()));
        for text in ["nginx", "0,", ",", "-1", "4294967295", "4294967296"] {
            assert!(ids(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mistyped_level_is_not_taken_for_a_module() {
        use tracing_subscriber::filter::LevelFilter as Level;
        let targets = log("warn, signet::keeper=debug").expect("a filter");
        assert_eq!(targets.default_level(), Some(Level::WARN));
        assert!(targets.would_enable("signet::keeper", &tracing::Level::DEBUG));
        assert!(!targets.would_enable("hyper", &tracing::Level::INFO));
        for text in ["inof", "", "info,", "signet=", "=debug", "signet=loud", "[span]=info"] {
            assert!(log(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_rsa_key_has_one_of_three_lengths() {
        assert_eq!(rsa_bits("3072"), Ok(RsaBits::B3072));
        assert!(rsa_bits("1024").is_err());
    }
}
