//! Commands with a silent provider say what they wait for, and for how long at most.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use crate::harness::{Home, Spec};

#[test]
fn a_command_that_waits_for_a_silent_provider_says_so_and_for_how_long_at_most() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its number");
    let spec = Spec::new(&Home::new())
        .set("SIGNET_LOG", "off")
        .set("SIGNET_PROVIDER", "vault")
        .set("VAULT_ADDR", format!("http://{address}"))
        .set("VAULT_TOKEN", "hvs.of-tests");
    for arguments in [&["keys", "list"][..], &["keys", "rotate"], &["schedule", "--live"]] {
        let mut child = spec
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let told = lines
            .map(|line| line.expect("text"))
            .find(|line| !line.contains("audit"));
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(
            told.as_deref(),
            Some("vault: no answer to list after 2s; the command waits for at most 30s"),
            "{arguments:?}"
        );
    }
}
