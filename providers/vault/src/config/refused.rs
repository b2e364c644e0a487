//! Variables of Vault's own tools that would change the server, or the security of the connection.
//!
//! Signet does not support them and refuses to start: if it ignored them, an operator would believe that they work.

use signet_api::Variable;

use super::{Reader, is_true, variable};

/// The variables, each with what to do instead.
pub(super) const REFUSED: [(Variable, &str); 9] = [
    (
        variable(
            "VAULT_SKIP_VERIFY",
            "refused: Signet does not send its token to a server without checking its certificate",
        ),
        "an attacker between Signet and an unverified server could take the token and the keys. Set VAULT_CACERT to \
         the PEM file of the authority that signed the server's certificate",
    ),
    (
        variable(
            "VAULT_CAPATH",
            "refused: put the certificates into one file and set VAULT_CACERT",
        ),
        "Signet reads one file of authorities. Put the certificates of the directory into one file (`cat \
         DIRECTORY/*.pem`), and set VAULT_CACERT to it",
    ),
    (
        variable(
            "VAULT_AGENT_ADDR",
            "refused: write the address of the agent into VAULT_ADDR",
        ),
        "Signet uses only the address in VAULT_ADDR. Write the address of the agent there",
    ),
    (
        variable("VAULT_PROXY_ADDR", "refused: set the proxy in HTTPS_PROXY"),
        "Signet uses one proxy for all requests. Set it in HTTPS_PROXY",
    ),
    (
        variable("VAULT_HTTP_PROXY", "refused: set the proxy in HTTPS_PROXY"),
        "Signet uses one proxy for all requests. Set it in HTTPS_PROXY",
    ),
    (
        variable(
            "VAULT_SRV_LOOKUP",
            "refused: write the server's own name and port into VAULT_ADDR",
        ),
        "Signet does not look up SRV records. Write the server's name and port into VAULT_ADDR",
    ),
    (
        variable(
            "VAULT_DISABLE_REDIRECTS",
            "refused: Signet follows one redirect of a standby, to a trusted server",
        ),
        "Signet follows one redirect of a standby, to the same host or to one whose certificate the authority in \
         VAULT_CACERT signed. If you want no redirect, set VAULT_ADDR to the active node. Remove this \
         variable",
    ),
    (
        variable("VAULT_MFA", "refused: Signet cannot enter a second factor"),
        "Signet cannot enter a second factor. Use VAULT_ROLE_ID, VAULT_K8S_ROLE or a token without a second factor",
    ),
    (
        variable("VAULT_HEADERS", "refused: Signet does not send custom headers"),
        "Signet does not send custom headers. If something on the way needs them, let a proxy add them",
    ),
];

/// Variables that count as unset if their value is false.
const SWITCHES: [&str; 3] = ["VAULT_SKIP_VERIFY", "VAULT_SRV_LOOKUP", "VAULT_DISABLE_REDIRECTS"];

impl Reader<'_> {
    pub(super) fn refuse(&mut self) {
        for (Variable { name, .. }, why) in REFUSED {
            let is_off = |value: &str| SWITCHES.contains(&name) && !is_true(value);
            if self.variables.get(name).is_some_and(|value| !is_off(value)) {
                self.problem(format!("{name} is refused: {why}"));
            }
        }
    }
}
