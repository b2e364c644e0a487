//! Time to ready: from just before a process is started until its health address answers 200, over several starts. It
//! polls every tenth of a millisecond from the same thread, because the result is only a few milliseconds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::error::LoadError;
use crate::target::Target;

const POLL: Duration = Duration::from_micros(100);
/// If a process takes longer than this to become ready or to end, it has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// The command to start, and the address that it answers on.
pub(crate) struct Trial {
    pub url: String,
    pub times: usize,
    pub command: Vec<String>,
}

/// Times to ready, in milliseconds.
#[derive(Serialize)]
pub(crate) struct Readiness {
    starts: usize,
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    each_ms: Vec<f64>,
}

/// Starts the command, waits until it is ready, and stops it, as often as requested.
pub(crate) fn measure(trial: &Trial) -> Result<Readiness, LoadError> {
    let target = Target::parse(&trial.url, None)?;
    let address: SocketAddr = target.authority.as_str().parse().map_err(|_| {
        LoadError::Usage(format!(
            "{}: write the address in numbers, a name would be looked up each time",
            trial.url
        ))
    })?;
    let question = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        target.uri.path(),
        target.authority
    );
    let mut each_ms = Vec::with_capacity(trial.times);
    for _ in 0..trial.times {
        if TcpStream::connect(address).is_ok() {
            return Err(LoadError::Occupied { url: trial.url.clone() });
        }
        each_ms.push(start(trial, address, &question)?.as_secs_f64() * 1e3);
    }
    let mut sorted = each_ms.clone();
    sorted.sort_by(f64::total_cmp);
    let (Some(&min_ms), Some(&max_ms)) = (sorted.first(), sorted.last()) else {
        return Err(LoadError::Usage("--times 0 measures nothing".to_owned()));
    };
    // With an even number of starts, take the larger of the two in the middle.
    Ok(Readiness {
        starts: trial.times,
        median_ms: sorted[sorted.len() / 2],
        min_ms,
        max_ms,
        each_ms,
    })
}

/// Starts the command once.
fn start(trial: &Trial, address: SocketAddr, question: &str) -> Result<Duration, LoadError> {
    let command = trial.command.join(" ");
    let (program, arguments) = trial
        .command
        .split_first()
        .ok_or_else(|| LoadError::Usage("no command to start".to_owned()))?;
    let begin = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| LoadError::Spawn {
            command: command.clone(),
            source,
        })?;
    let ready = loop {
        if answers_200(address, question) {
            break Ok(begin.elapsed());
        }
        if let Some(status) = child.try_wait().map_err(LoadError::System)? {
            return Err(LoadError::Ended { command, status });
        }
        if begin.elapsed() > LIMIT {
            break Err(LoadError::NotReady {
                command,
                seconds: LIMIT.as_secs(),
            });
        }
        sleep(POLL);
    };
    stop(&mut child)?;
    ready
}

fn answers_200(address: SocketAddr, question: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let mut begin = [0; 12];
    let talk = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(1))))
        .and_then(|()| stream.write_all(question.as_bytes()))
        .and_then(|()| stream.read_exact(&mut begin));
    talk.is_ok() && &begin == b"HTTP/1.1 200"
}

/// Stops the process, with force if it does not end.
fn stop(child: &mut Child) -> Result<(), LoadError> {
    let asked = Pid::from_raw(child.id().cast_signed()).map(|pid| kill_process(pid, Signal::TERM));
    let begin = Instant::now();
    while child.try_wait().map_err(LoadError::System)?.is_none() {
        if asked != Some(Ok(())) || begin.elapsed() > LIMIT {
            child.kill().map_err(LoadError::System)?;
            child.wait().map_err(LoadError::System)?;
            break;
        }
        sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(url: &str, command: &[&str]) -> Trial {
        Trial {
            url: url.to_owned(),
            times: 3,
            command: command.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    #[test]
    fn a_process_that_ends_before_it_is_ready_is_an_error_with_its_status() {
        let result = measure(&trial("http://127.0.0.1:9/readyz", &["sh", "-c", "exit 3"]));
        assert!(matches!(result, Err(LoadError::Ended { status, .. }) if status.code() == Some(3)));
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let error = measure(&trial("http://127.0.0.1:9/readyz", &["/nonexistent/signet"]))
            .err()
            .expect("no command");
        assert!(error.to_string().contains("/nonexistent/signet"));
    }

    #[test]
    fn an_address_that_answers_already_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/readyz", listener.local_addr().expect("an address"));
        assert!(matches!(
            measure(&trial(&url, &["true"])),
            Err(LoadError::Occupied { .. })
        ));
    }
}
