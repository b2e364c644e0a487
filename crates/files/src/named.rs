//! Files that a setting names. Their content decides what Signet does and whom it trusts.
//!
//! Links are followed, because Kubernetes mounts secrets and settings as links. The checks are made on the file at the
//! end of the links, and on the directories in which somebody could replace it. A file system that is mounted read-only
//! is safe, even though Kubernetes gives its volumes mode 0777.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::content::{self, Demands, Other, Owner, Unread};

const GROUP_AND_OTHERS: u32 = 0o022;
const OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The maximum size of such a file in bytes, larger than any bundle of certificate authorities.
pub const LONGEST: u64 = 4 * 1024 * 1024;

/// Why a file was not read. The text names the file or directory and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Others than the owner can write to the file.
    #[error(
        "{} can be written by users other than its owner (mode {mode:04o}), who could change what Signet does. Run \
         `chmod go-w {}`",
        path.display(), path.display()
    )]
    Mode {
        /// The path of the file.
        path: PathBuf,
        /// The permission bits of the file.
        mode: u32,
    },
    /// The file belongs to neither root nor us.
    #[error(
        "{} belongs to user {owner}, neither to root nor to the user of Signet, {us}: its owner could change what \
         Signet does. Run `chown {us} {}`",
        path.display(), path.display()
    )]
    Owner {
        /// The path of the file.
        path: PathBuf,
        /// The owner of the file.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Anybody can replace the file.
    #[error(
        "{} is in or below {}, which every user may write (mode {mode:04o}) and which is not sticky: any user could \
         replace the file. Run `chmod o-w {}`, or move the file to a directory of its own",
        path.display(), directory.display(), directory.display()
    )]
    Directory {
        /// The path of the file.
        path: PathBuf,
        /// The directory in which anybody can replace files.
        directory: PathBuf,
        /// The permission bits of the directory.
        mode: u32,
    },
    /// The path is a pipe, a socket or a device.
    #[error(
        "{} is {other}, not a regular file: Signet would have to wait for its writer, and it reads most files again \
         later. Write the content into a file, and do not use `<(...)` or `/dev/stdin`",
        path.display()
    )]
    NotRegular {
        /// The path that was given.
        path: PathBuf,
        /// What was found there.
        other: Other,
    },
    /// The file is too long.
    #[error("{} is longer than {longest} bytes, so it is not a file of this kind", path.display())]
    TooLong {
        /// The path of the file.
        path: PathBuf,
        /// The maximum size in bytes.
        longest: u64,
    },
    /// The file is not UTF-8.
    #[error("{} is not UTF-8 text", path.display())]
    NotText {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file does not exist, or the system refused to read it.
    #[error("{} cannot be read: {error}", path.display())]
    System {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        let kind = match refused {
            Refused::System { error, .. } => return error,
            Refused::TooLong { .. } => io::ErrorKind::FileTooLarge,
            Refused::NotText { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::PermissionDenied,
        };
        Self::new(kind, refused)
    }
}

/// What a file is for. This decides who may have written it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The file decides what Signet does or whom it trusts: settings, certificates and their keys, certificate
    /// authorities. Only root and the user of this process may own it, write it or replace it.
    Trusted,
    /// The file holds a secret with which Signet logs in somewhere. An agent that runs as another user may have written
    /// it, so any user may own it, but only the owner may write it.
    Secret,
}

impl Rule {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Refused`] if the file breaks this rule or cannot be read.
    pub fn read(self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Refused> {
        match content::read(CWD, path, &self.demands()) {
            Ok(Some(content)) => {
                self.judge_directories(path)?;
                Ok(content)
            }
            Ok(None) => Err(refused(path, Unread::System(Errno::NOENT.into()))),
            Err(Unread::NotRegular(Other::Null)) => Ok(Zeroizing::new(Vec::new())),
            Err(unread) => Err(refused(path, unread)),
        }
    }

    /// Reads the file as text.
    ///
    /// # Errors
    /// [`Refused`] if the file breaks this rule, cannot be read or is not UTF-8.
    pub fn read_text(self, path: &Path) -> Result<Zeroizing<String>, Refused> {
        let content = self.read(path)?;
        let text = std::str::from_utf8(&content).map_err(|_| Refused::NotText { path: path.to_owned() })?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Checks a file that a library reads by itself. If it is missing or cannot be opened, this succeeds, and the
    /// library reports the error.
    ///
    /// # Errors
    /// [`Refused`] if the file breaks this rule.
    pub fn look(self, path: &Path) -> Result<(), Refused> {
        match content::look(CWD, path, &self.demands()) {
            Ok(true) => self.judge_directories(path),
            Ok(false) | Err(Unread::NotRegular(Other::Null) | Unread::System(_)) => Ok(()),
            Err(unread) => Err(refused(path, unread)),
        }
    }

    /// Checks all files of a directory that a library reads, and that nobody else can add one.
    ///
    /// # Errors
    /// [`Refused`] if the directory or a file in it breaks this rule.
    pub fn look_in(self, directory: &Path) -> Result<(), Refused> {
        let (Ok(found), Ok(entries)) = (std::fs::metadata(directory), std::fs::read_dir(directory)) else {
            return Ok(());
        };
        let (path, owner, us) = (directory.to_owned(), found.uid(), rustix::process::geteuid().as_raw());
        let mode = found.mode() & 0o7777;
        if mode & GROUP_AND_OTHERS != 0 {
            return Err(Refused::Mode { path, mode });
        }
        if self == Self::Trusted && owner != us && owner != 0 {
            return Err(Refused::Owner { path, owner, us });
        }
        self.judge_directories(directory)?;
        for entry in entries.flatten() {
            match self.look(&entry.path()) {
                // The library reads only the regular files.
                Ok(()) | Err(Refused::NotRegular { .. } | Refused::System { .. }) => {}
                refused => return refused,
            }
        }
        Ok(())
    }

    const fn demands(self) -> Demands {
        Demands {
            follow_links: true,
            owner: match self {
                Self::Trusted => Owner::UsOrRoot,
                Self::Secret => Owner::Anybody,
            },
            forbidden_mode: GROUP_AND_OTHERS,
            longest: LONGEST,
        }
    }

    fn judge_directories(self, path: &Path) -> Result<(), Refused> {
        if self == Self::Secret {
            return Ok(());
        }
        let Ok(end) = path.canonicalize() else { return Ok(()) };
        let named = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        for directory in named.into_iter().chain(end.ancestors().skip(1)) {
            if let Some(mode) = writable_by_all(directory) {
                return Err(Refused::Directory {
                    path: path.to_owned(),
                    directory: directory.to_owned(),
                    mode,
                });
            }
        }
        Ok(())
    }
}

fn refused(path: &Path, unread: Unread) -> Refused {
    let path = path.to_owned();
    let system = |error: io::Error, path| Refused::System { path, error };
    match unread {
        Unread::Mode { mode, .. } => Refused::Mode { path, mode },
        Unread::Owner { owner, us } => Refused::Owner { path, owner, us },
        Unread::NotRegular(other) => Refused::NotRegular { path, other },
        Unread::TooLong { longest } => Refused::TooLong { path, longest },
        Unread::Directory => system(Errno::ISDIR.into(), path),
        // Links are followed here, so this error means too many links.
        Unread::Link => system(Errno::LOOP.into(), path),
        Unread::System(error) => system(error, path),
    }
}

/// The mode of the directory, if every user may replace files in it.
fn writable_by_all(directory: &Path) -> Option<u32> {
    let mode = std::fs::metadata(directory).ok()?.mode() & 0o7777;
    let is_read_only =
        || rustix::fs::statvfs(directory).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY));
    (mode & OTHERS != 0 && mode & STICKY == 0 && !is_read_only()).then_some(mode)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    const BOTH: [Rule; 2] = [Rule::Trusted, Rule::Secret];

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).expect("set");
    }

    fn file(directory: &Path) -> PathBuf {
        let path = directory.join("signet.toml");
        write(&path, "text").expect("written");
        mode(&path, 0o644);
        path
    }

    /// Judges a path with [`Rule::read`] and with [`Rule::look`], and checks that both agree.
    fn judged(rule: Rule, path: &Path) -> Result<(), Refused> {
        let (read, looked) = (rule.read(path), rule.look(path));
        assert_eq!(
            read.as_ref().map(drop).map_err(ToString::to_string),
            looked.as_ref().map(drop).map_err(ToString::to_string)
        );
        read.map(drop)
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_that_they_may_read_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(directory.path());
        for rule in BOTH {
            for good in [0o644, 0o600, 0o400, 0o440, 0o444, 0o755] {
                mode(&path, good);
                judged(rule, &path).expect("nobody else may write it");
            }
            for bad in [0o666, 0o664, 0o646, 0o602, 0o620, 0o777] {
                mode(&path, bad);
                let text = judged(rule, &path).expect_err("others may").to_string();
                assert!(
                    text.contains(&format!("(mode {bad:04o})")) && text.contains("chmod go-w"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_file_that_is_missing_is_for_its_reader_to_say() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("none");
        for rule in BOTH {
            rule.look(&path).expect("the reader reports it");
            let error = io::Error::from(rule.read(&path).expect_err("it is not there"));
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            let text = rule.read(directory.path()).expect_err("a directory").to_string();
            assert!(text.contains("Is a directory"), "{text}");
        }
    }

    /// Nobody writes to these pipes, so a reader that waits for them would hang.
    #[test]
    fn what_a_reader_would_wait_for_is_refused_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(CWD, &pipe, rustix::fs::Mode::from(0o600)).expect("made");
        let link = directory.path().join("link");
        symlink("pipe", &link).expect("linked");
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("bound");
        let (end, _other_end) = io::pipe().expect("a pipe");
        let of_shell = PathBuf::from(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&end)));
        for rule in BOTH {
            for (path, what) in [
                (&pipe, "is a pipe, not a regular file"),
                (&link, "is a pipe, not a regular file"),
                (&of_shell, "is a pipe, not a regular file"),
                (&socket, "is a socket, not a regular file"),
                (&PathBuf::from("/dev/zero"), "is a device, not a regular file"),
            ] {
                let text = judged(rule, path).expect_err("nothing to wait for").to_string();
                assert!(text.contains(what) && text.contains("into a file"), "{text}");
            }
            let nothing = Path::new("/dev/null");
            rule.look(nothing)
                .expect("/dev/null is accepted, because it is always empty");
            assert!(rule.read(nothing).expect("nothing").is_empty());
        }
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(directory.path());
        let longest = usize::try_from(LONGEST).expect("it fits");
        for rule in BOTH {
            write(&path, "#".repeat(longest)).expect("written");
            assert_eq!(rule.read_text(&path).expect("just short enough").len(), longest);
            write(&path, "#".repeat(longest + 1)).expect("written");
            let error = io::Error::from(judged(rule, &path).expect_err("too long"));
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        }
        write(&path, [0xff]).expect("written");
        let error = io::Error::from(Rule::Secret.read_text(&path).expect_err("no text"));
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_file_that_others_may_replace_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let inner = directory.path().join("inner");
        create_dir(&inner).expect("made");
        let path = file(&inner);
        for (outer, inner_mode, is_good) in [
            (0o755, 0o755, true),
            (0o1777, 0o755, true),
            (0o1777, 0o1777, true),
            (0o755, 0o777, false),
            (0o777, 0o755, false),
        ] {
            mode(directory.path(), outer);
            mode(&inner, inner_mode);
            assert_eq!(
                judged(Rule::Trusted, &path).is_ok(),
                is_good,
                "{outer:o} {inner_mode:o}"
            );
            judged(Rule::Secret, &path).expect("an agent's directory");
        }
        mode(directory.path(), 0o700);
    }

    /// The links that kubelet makes for a ConfigMap: `signet.toml -> ..data/signet.toml`, `..data -> ..2026`.
    #[test]
    fn links_as_kubernetes_makes_them_are_followed_to_their_end() {
        let volume = tempfile::tempdir().expect("a directory");
        let version = volume.path().join("..2026");
        create_dir(&version).expect("made");
        let end = file(&version);
        symlink("..2026", volume.path().join("..data")).expect("linked");
        let path = volume.path().join("signet.toml");
        symlink("..data/signet.toml", &path).expect("linked");
        for rule in BOTH {
            judged(rule, &path).expect("it is good");
            assert_eq!(rule.read_text(&path).expect("read").as_str(), "text");
        }
        mode(&end, 0o666);
        for rule in BOTH {
            assert!(matches!(judged(rule, &path), Err(Refused::Mode { .. })));
        }
        mode(&end, 0o644);
        mode(&version, 0o777);
        assert!(matches!(judged(Rule::Trusted, &path), Err(Refused::Directory { .. })));
    }

    #[test]
    fn a_file_of_another_user_is_refused_unless_it_is_a_secret() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(directory.path());
        if chown(&path, Some(65534), None).is_err() {
            return; // Only root can give a file away.
        }
        let text = judged(Rule::Trusted, &path).expect_err("it is theirs").to_string();
        assert!(
            text.contains("belongs to user 65534") && text.contains("chown 0 "),
            "{text}"
        );
        judged(Rule::Secret, &path).expect("an agent's secret");
    }
}
