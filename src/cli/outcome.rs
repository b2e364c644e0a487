//! The result of a command, and how it is delivered.

use std::io::{self, StdoutLock, Write};

use rustix::io::Errno;

/// `EX_IOERR` of sysexits(3).
const NOT_WRITTEN: u8 = 74;

/// The standard output that the process was started with.
#[derive(Debug)]
pub enum Output {
    /// Standard output was open at the start.
    Open(StdoutLock<'static>),
    /// Standard output was closed at the start. Everything written to it is lost.
    Closed,
}

impl Output {
    /// The standard output of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        match signet_output::was_closed() {
            true => Self::Closed,
            false => Self::Open(io::stdout().lock()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Open(open) => open.write(octets),
            Self::Closed => Err(Errno::BADF.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Open(open) => open.flush(),
            Self::Closed => Ok(()),
        }
    }
}

/// The result of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The text for standard output.
    pub stdout: String,
    /// The text for standard error.
    pub stderr: String,
    /// The exit code; `docs/errors.md` has a table.
    pub code: u8,
}

impl Outcome {
    /// Writes both texts and returns the exit code of the process.
    ///
    /// Lost output is an error, except when the reader closed the pipe (`signet keys list | head`), because
    /// it then has what it wanted.
    pub fn deliver(self, stdout: &mut impl Write, stderr: &mut impl Write) -> u8 {
        let written = stdout.write_all(self.stdout.as_bytes()).and_then(|()| stdout.flush());
        // If this fails, the exit code still reports the failure.
        let _ = stderr.write_all(self.stderr.as_bytes());
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let _ = writeln!(
                    stderr,
                    "signet: the command finished, but its output was lost, because standard output cannot be \
                     written: {error}"
                );
                if self.code == 0 { NOT_WRITTEN } else { self.code }
            }
            _ => self.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            if octets.is_empty() { Ok(0) } else { Err(self.0.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn delivered(stdout: &mut impl Write, text: &str, code: u8) -> (u8, String) {
        let outcome = Outcome {
            stdout: text.to_owned(),
            stderr: String::new(),
            code,
        };
        let mut stderr = Vec::new();
        let code = outcome.deliver(stdout, &mut stderr);
        (code, String::from_utf8(stderr).expect("text"))
    }

    #[test]
    fn output_that_is_lost_is_an_error_and_a_reader_that_left_is_none() {
        let full = || Fails(io::ErrorKind::StorageFull);
        let (code, text) = delivered(&mut full(), "token", 0);
        assert_eq!(code, NOT_WRITTEN);
        assert!(text.contains("its output was lost"), "{text}");
        assert_eq!(
            delivered(&mut full(), "verdict", 1).0,
            1,
            "a verdict keeps its exit code"
        );
        assert_eq!(delivered(&mut full(), "", 0), (0, String::new()), "nothing was lost");
        let left = &mut Fails(io::ErrorKind::BrokenPipe);
        assert_eq!(delivered(left, "token", 0), (0, String::new()));
        assert_eq!(delivered(&mut Vec::new(), "token", 0), (0, String::new()));
    }

    #[test]
    fn what_is_written_to_a_closed_output_is_lost() {
        assert_eq!(delivered(&mut Output::Closed, "token", 0).0, NOT_WRITTEN);
        assert_eq!(
            delivered(&mut Output::Closed, "", 0),
            (0, String::new()),
            "nothing was lost"
        );
    }

    #[test]
    fn what_fails_only_when_it_is_flushed_is_lost_as_well() {
        let mut buffered = io::BufWriter::new(Fails(io::ErrorKind::StorageFull));
        assert_eq!(delivered(&mut buffered, "token", 0).0, NOT_WRITTEN);
    }
}
