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
            "refused: a server whose certificate nobody checked must not see the token",
        ),
        "whoever stands between Signet and an unverified server gets the token and with it the keys. Set VAULT_CACERT to the \
         PEM file of the authority that signed its certificate",
    ),
    (
        variable(
            "VAULT_CAPATH",
            "refused: put the certificates into one file, for VAULT_CACERT",
        ),
        "Signet reads one file of authorities. Put those of the directory into one (`cat DIRECTORY/*.pem`), and name it with \
         VAULT_CACERT",
    ),
    (
        variable(
            "VAULT_AGENT_ADDR",
            "refused: write the address of the agent into VAULT_ADDR",
        ),
        "Signet asks the address in VAULT_ADDR alone. Write the agent's there",
    ),
    (
        variable(
            "VAULT_PROXY_ADDR",
            "refused: the proxy of the environment counts, HTTPS_PROXY",
        ),
        "Signet takes the proxy of the environment for all that it asks. Write it into HTTPS_PROXY",
    ),
    (
        variable(
            "VAULT_HTTP_PROXY",
            "refused: the proxy of the environment counts, HTTPS_PROXY",
        ),
        "Signet takes the proxy of the environment for all that it asks. Write it into HTTPS_PROXY",
    ),
    (
        variable(
            "VAULT_SRV_LOOKUP",
            "refused: write the server's own name and port into VAULT_ADDR",
        ),
        "Signet looks up no SRV records. Write the server's name and port into VAULT_ADDR",
    ),
    (
        variable(
            "VAULT_DISABLE_REDIRECTS",
            "refused: one redirect of a standby is followed, to a server that is vouched for",
        ),
        "Signet follows one redirect of a standby, to the same host or to one that the authority in VAULT_CACERT vouches for. \
         Point VAULT_ADDR to the active node if there must be none, and remove this",
    ),
    (
        variable("VAULT_MFA", "refused: nobody is there for a second factor"),
        "Signet logs in without a person. Use VAULT_ROLE_ID, VAULT_K8S_ROLE or a token without a second factor",
    ),
    (
        variable("VAULT_HEADERS", "refused: Signet sends no headers of an operator's own"),
        "Signet sends no headers of an operator's own. Have a proxy add them, if something on the way needs them",
    ),
];

/// Variables that are not set if their value is false.
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
