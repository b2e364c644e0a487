//! The listeners as operators and attackers use them: the socket's file, its peers, limits, shutdown, TLS.

mod crowd;
mod file;
mod flood;
mod fragment;
mod framing;
mod host;
mod http2;
mod limits;
mod log;
mod peers;
mod shutdown;
mod target;
mod tls;

use signet_harness as harness;

use harness::{Home, Spec};

#[test]
fn the_process_leaves_no_core_dump() {
    let sidecar = Spec::new(&Home::new()).start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", sidecar.pid())).expect("the limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .expect("a line");
    let numbers: Vec<&str> = core
        .split_whitespace()
        .filter(|word| word.parse::<u64>().is_ok())
        .collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
}
