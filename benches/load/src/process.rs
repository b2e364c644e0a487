//! The usage of processes, as the kernel counts it: CPU time and resident memory.
//!
//! There are two sources of CPU time. `/proc/PID/task/*/schedstat` counts nanoseconds but loses a thread when it ends.
//! `/proc/PID/stat` includes ended threads but counts hundredths of a second. [`Usage::between`] uses the first and
//! checks it with the second. If a thread ended in between, it uses the second.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::error::LoadError;

/// The usage of the processes at one instant.
pub(crate) struct Sample {
    /// CPU time in nanoseconds, by process and thread.
    threads: BTreeMap<(u32, u32), u64>,
    /// CPU time in hundredths of a second, including ended threads.
    ticks: Ticks,
    resident_kib: u64,
    peak_kib: u64,
}

/// CPU time in user and kernel mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    user: u64,
    system: u64,
}

/// The usage of the processes between two instants.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Usage {
    /// CPU time in seconds, user and system.
    pub cpu_s: f64,
    /// The same from `/proc/PID/stat`.
    pub cpu_check_s: f64,
    /// The source of `cpu_s`: `schedstat`, or `stat` if a thread ended in the window.
    pub cpu_from: &'static str,
    /// The share of `cpu_check_s` that was spent in the kernel.
    pub kernel_share: f64,
    /// The sum of `VmRSS` at the second instant.
    pub rss_kib: u64,
    /// The sum of `VmHWM` at the second instant.
    pub rss_peak_kib: u64,
}

impl Sample {
    /// Reads both sources for all `pids`.
    pub(crate) fn take(pids: &[u32]) -> Result<Self, LoadError> {
        let mut sample = Self {
            threads: BTreeMap::new(),
            ticks: Ticks::default(),
            resident_kib: 0,
            peak_kib: 0,
        };
        for &pid in pids {
            sample.add(pid)?;
        }
        Ok(sample)
    }

    /// The resident memory and its maximum so far, in KiB.
    pub(crate) fn memory_kib(&self) -> (u64, u64) {
        (self.resident_kib, self.peak_kib)
    }

    fn add(&mut self, pid: u32) -> Result<(), LoadError> {
        let tasks = PathBuf::from(format!("/proc/{pid}/task"));
        let entries = fs::read_dir(&tasks).map_err(|source| LoadError::Read {
            path: tasks.clone(),
            source,
        })?;
        for entry in entries {
            let entry = entry.map_err(|source| LoadError::Read {
                path: tasks.clone(),
                source,
            })?;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let path = entry.path().join("schedstat");
            match fs::read_to_string(&path) {
                Ok(text) => {
                    let nanos = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
                    let nanos = nanos.ok_or(LoadError::Format {
                        path,
                        what: "no time on the CPU",
                    })?;
                    self.threads.insert((pid, thread), nanos);
                }
                // The thread ended between listing and reading.
                Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(3) => {}
                Err(source) => return Err(LoadError::Read { path, source }),
            }
        }
        let path = PathBuf::from(format!("/proc/{pid}/stat"));
        let text = fs::read_to_string(&path).map_err(|source| LoadError::Read {
            path: path.clone(),
            source,
        })?;
        let ticks = ticks(&text).ok_or(LoadError::Format {
            path,
            what: "no user and system time",
        })?;
        self.ticks.user += ticks.user;
        self.ticks.system += ticks.system;
        let path = PathBuf::from(format!("/proc/{pid}/status"));
        let text = fs::read_to_string(&path).map_err(|source| LoadError::Read {
            path: path.clone(),
            source,
        })?;
        let resident = kib(&text, "VmRSS:").zip(kib(&text, "VmHWM:"));
        let (now, peak) = resident.ok_or(LoadError::Format {
            path,
            what: "no resident size",
        })?;
        self.resident_kib += now;
        self.peak_kib += peak;
        Ok(())
    }
}

impl Usage {
    /// The difference between two samples.
    ///
    /// # Errors
    /// The two sources differ by more than their precision explains.
    pub(crate) fn between(before: &Sample, after: &Sample) -> Result<Self, LoadError> {
        let mut nanos = 0;
        for (thread, then) in &after.threads {
            nanos += then.saturating_sub(*before.threads.get(thread).unwrap_or(&0));
        }
        let ended = before.threads.keys().any(|thread| !after.threads.contains_key(thread));
        let by_thread = nanos as f64 / 1e9;
        let user = after.ticks.user.saturating_sub(before.ticks.user);
        let system = after.ticks.system.saturating_sub(before.ticks.system);
        let by_process = (user + system) as f64 / 100.0;
        let kernel_share = system as f64 / (user + system).max(1) as f64;
        // Both sources are updated at scheduler ticks, so they may differ by a few hundredths of a second. A thread
        // that started and ended within the window appears only in the time of its process.
        let blur = 0.05 + 0.01 * by_process;
        let (cpu_s, cpu_from) = if ended || by_process > by_thread + blur {
            (by_process, "stat")
        } else if by_thread > by_process + blur {
            return Err(LoadError::CpuAccounts { by_thread, by_process });
        } else {
            (by_thread, "schedstat")
        };
        let (rss_kib, rss_peak_kib) = (after.resident_kib, after.peak_kib);
        Ok(Self {
            cpu_s,
            cpu_check_s: by_process,
            cpu_from,
            kernel_share,
            rss_kib,
            rss_peak_kib,
        })
    }
}

/// Reads fields 14 and 15 of `/proc/PID/stat`. The second field, the name of the command, may
/// contain spaces and parentheses.
fn ticks(stat: &str) -> Option<Ticks> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user = fields.next()?.parse().ok()?;
    let system = fields.next()?.parse().ok()?;
    Some(Ticks { user, system })
}

fn kib(status: &str, name: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;

    fn sample(threads: &[(u32, u64)], ticks: u64) -> Sample {
        let threads = threads.iter().map(|&(thread, nanos)| ((1, thread), nanos)).collect();
        Sample {
            threads,
            ticks: Ticks { user: ticks, system: 0 },
            resident_kib: 10,
            peak_kib: 20,
        }
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let line = "7 (a ) (b) R 1 2 3 4 -1 4194304 101 0 1 0 250 50 9 9 20 0 1 0 63580";
        assert_eq!(ticks(line), Some(Ticks { user: 250, system: 50 }));
        assert_eq!(ticks("7 (cut"), None);
    }

    #[test]
    fn the_threads_are_summed_and_a_new_one_counts_from_zero() {
        let before = sample(&[(1, 1_000_000_000), (2, 0)], 100);
        let after = sample(&[(1, 2_000_000_000), (2, 500_000_000), (3, 250_000_000)], 275);
        let usage = Usage::between(&before, &after).expect("the accounts agree");
        assert_eq!(
            (usage.cpu_s, usage.cpu_check_s, usage.cpu_from),
            (1.75, 1.75, "schedstat")
        );
    }

    #[test]
    fn time_of_an_ended_thread_is_taken_from_the_process() {
        let before = sample(&[(1, 0), (2, 1_000_000_000)], 100);
        let after = sample(&[(1, 1_000_000_000)], 350);
        let usage = Usage::between(&before, &after).expect("the process knows more");
        assert_eq!((usage.cpu_s, usage.cpu_from), (2.5, "stat"));
    }

    #[test]
    fn time_of_a_thread_that_came_and_went_is_taken_from_the_process() {
        let before = sample(&[(1, 0)], 0);
        let after = sample(&[(1, 1_000_000_000)], 200);
        let usage = Usage::between(&before, &after).expect("the process knows more");
        assert_eq!((usage.cpu_s, usage.cpu_from), (2.0, "stat"));
    }

    #[test]
    fn more_time_in_the_threads_than_in_the_process_is_an_error() {
        let before = sample(&[(1, 0)], 0);
        let after = sample(&[(1, 3_000_000_000)], 200);
        assert!(matches!(
            Usage::between(&before, &after),
            Err(LoadError::CpuAccounts { .. })
        ));
    }

    #[test]
    fn a_busy_process_shows_in_both_accounts() {
        let mut busy = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .expect("a shell");
        let start = Instant::now();
        let pids = [busy.id()];
        let measured = Sample::take(&pids).and_then(|before| {
            // The machine may be shared, so wait for the work and not for a time.
            let mut after = Sample::take(&pids)?;
            while after.ticks.user < before.ticks.user + 20 && start.elapsed() < Duration::from_secs(20) {
                sleep(Duration::from_millis(5));
                after = Sample::take(&pids)?;
            }
            Usage::between(&before, &after)
        });
        busy.kill().expect("it runs");
        busy.wait().expect("it ends");
        let usage = measured.expect("the accounts agree");
        assert_eq!(usage.cpu_from, "schedstat");
        assert!((0.14..=0.30).contains(&usage.cpu_s), "{} s", usage.cpu_s);
        assert!(usage.rss_kib > 0 && usage.rss_peak_kib >= usage.rss_kib);
    }

    #[test]
    fn a_process_that_does_not_exist_is_named_in_the_error() {
        let error = Sample::take(&[u32::MAX]).err().expect("no such process");
        assert!(error.to_string().contains("/proc/4294967295"));
    }
}
