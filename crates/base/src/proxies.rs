//! Detects failures of an HTTP proxy between us and a provider or issuer. The server is not at fault then, and
//! none of its settings helps.
//!
//! The vendors' SDKs read the proxy from the environment themselves. The program therefore names it here once for the
//! whole process, and errors can mention it.

use std::error::Error;
use std::sync::OnceLock;

use crate::causes;

/// The proxy for requests over TLS, as error texts name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The environment variable that names it.
    pub variable: &'static str,
    /// Its host and port, without the password.
    pub host: String,
}

static PROXY: OnceLock<Proxy> = OnceLock::new();

/// Sets the proxy of this process for error texts. Returns `false` if one was already set.
pub fn name(proxy: Proxy) -> bool {
    PROXY.set(proxy).is_ok()
}

/// If the proxy caused this error: why, and what to do.
#[must_use]
pub fn failure(error: &(dyn Error + 'static)) -> Option<String> {
    in_words(&causes(error), PROXY.get())
}

/// A text that names the proxy, for the error about a server that did not answer. Empty if there is no proxy.
#[must_use]
pub fn on_the_way() -> String {
    PROXY.get().map_or_else(String::new, |proxy| {
        let Proxy { variable, host } = proxy;
        format!(". The connection uses the proxy {host} ({variable}), unless NO_PROXY has the server's host")
    })
}

/// `hyper-util`, which all clients use, reports a failure to pass a proxy with this text (RFC 9110 §9.3.6).
const TUNNEL: &str = "tunnel error";

fn in_words(causes: &[String], proxy: Option<&Proxy>) -> Option<String> {
    let at = causes.iter().position(|cause| cause.contains(TUNNEL))?;
    let (tunnel, below) = (causes[at].as_str(), &causes[at + 1..]);
    let (variable, host) = proxy.map_or(("HTTPS_PROXY", "in the environment"), |proxy| {
        (proxy.variable, proxy.host.as_str())
    });
    let deepest = below.last().map_or("no cause given", String::as_str);
    let what = if tunnel.contains("proxy authorization required") {
        format!(
            "asks for a login (407): write the user and password into {variable}, as http://USER:PASSWORD@HOST:PORT"
        )
    } else if tunnel.contains("unsuccessful") {
        "did not connect to the server: it does not allow this host, or cannot reach it. Allow the host at the \
         proxy, or add it to NO_PROXY if this machine can reach it directly"
            .to_owned()
    } else if deepest.contains("invalid peer certificate") {
        format!(
            "has a certificate that is not trusted ({deepest}): most proxies need http:// in {variable}, even for \
             https servers"
        )
    } else if tunnel.contains("failed to create underlying connection") {
        format!(
            "cannot be reached ({deepest}): correct {variable}, or add the server's host to NO_PROXY if this machine \
             can reach it directly"
        )
    } else {
        format!(
            "closed the connection ({}): see the log of the proxy",
            tunnel.trim_end_matches('.')
        )
    };
    Some(format!("the proxy {host} ({variable}) {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_a_proxy_names_it_and_what_to_do_and_no_other_failure_does() {
        let proxy = Proxy {
            variable: "ALL_PROXY",
            host: "proxy.test:3128".to_owned(),
        };
        let told = |causes: &[&str]| {
            let causes: Vec<String> = causes.iter().map(|cause| (*cause).to_owned()).collect();
            in_words(&causes, Some(&proxy))
        };
        let connect = "client error (Connect)";
        for (causes, says) in [
            (vec![connect, "tunnel error: proxy authorization required"], "(407)"),
            (vec![connect, "tunnel error: unsuccessful"], "NO_PROXY"),
            (vec!["tunnel error: unexpected end of file"], "closed the connection"),
            (
                vec![
                    connect,
                    "tunnel error: failed to create underlying connection",
                    "tcp connect error",
                    "Connection refused (os error 111)",
                ],
                "cannot be reached (Connection refused (os error 111))",
            ),
            (
                vec![
                    "tunnel error: failed to create underlying connection",
                    "invalid peer certificate: UnknownIssuer",
                ],
                "has a certificate that is not trusted",
            ),
        ] {
            let text = told(&causes).expect(says);
            assert!(text.starts_with("the proxy proxy.test:3128 (ALL_PROXY) "), "{text}");
            assert!(text.contains(says), "{text}");
        }
        // These are failures of the server behind the proxy.
        for other in ["invalid peer certificate: UnknownIssuer", "Connection refused"] {
            assert_eq!(told(&[connect, other]), None);
        }
    }
}
