//! Files that others could write: what stands in them decides whom Signet believes, so it is not believed itself.
//!
//! Links are followed, as Kubernetes mounts secrets and settings as links. What counts is the file at their end, and the
//! directories in which somebody could put another in its place. A file system that is mounted read-only is one in which
//! nobody can: Kubernetes gives the directories of its volumes mode 0777.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

const GROUP_AND_OTHERS: u32 = 0o022;
const OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// More than any settings file has, in octets.
const LONGEST: u64 = 1024 * 1024;

/// Why a file is not believed. It names the file or the directory, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// Its mode lets others write it.
    #[error(
        "{} can be written by others than its owner (mode {mode:04o}), so that anybody among them decides what Signet does. \
         Take that away: `chmod go-w {}`",
        path.display(), path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is somebody else's.
    #[error(
        "{} belongs to user {owner}, neither to root nor to user {us}, as which Signet runs: its owner decides what Signet \
         does. Give it to one of them: `chown {us} {}`",
        path.display(), path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Anybody may put another in its place.
    #[error(
        "{} stands below {}, which every user may write (mode {mode:04o}) and which is not sticky: anybody can put another \
         file in its place. Take that away (`chmod o-w {}`), or move the file to a directory of its own",
        path.display(), directory.display(), directory.display()
    )]
    Directory {
        /// The file.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Refuses a file that somebody else than root and this process's user could write or replace. One that is not there, or
/// cannot be looked at, is for whoever reads it to complain of. A pipe is judged as a file is: whoever may write into it
/// decides what is read. That of a shell (`--config <(…)`) belongs to its user alone.
///
/// # Errors
/// [`Untrusted`].
pub fn refuse_writable(path: &Path) -> Result<(), Untrusted> {
    let Ok(found) = std::fs::metadata(path) else {
        return Ok(());
    };
    refuse_mode_of(path, &found)?;
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us && found.uid() != 0 {
        return Err(Untrusted::Owner {
            path: path.to_owned(),
            owner: found.uid(),
            us,
        });
    }
    let Ok(end) = path.canonicalize() else { return Ok(()) };
    let named = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    for directory in named.into_iter().chain(end.ancestors().skip(1)) {
        if let Some(mode) = writable_by_all(directory) {
            return Err(Untrusted::Directory {
                path: path.to_owned(),
                directory: directory.to_owned(),
                mode,
            });
        }
    }
    Ok(())
}

/// Refuses a file whose mode lets others write it. Whose it is does not matter: a secret may well be put there by an agent
/// that runs as a user of its own.
///
/// # Errors
/// [`Untrusted::Mode`].
pub fn refuse_mode(path: &Path) -> Result<(), Untrusted> {
    std::fs::metadata(path).map_or(Ok(()), |found| refuse_mode_of(path, &found))
}

fn refuse_mode_of(path: &Path, found: &Metadata) -> Result<(), Untrusted> {
    if is_null(found) || found.mode() & GROUP_AND_OTHERS == 0 {
        return Ok(());
    }
    Err(Untrusted::Mode {
        path: path.to_owned(),
        mode: found.mode() & 0o7777,
    })
}

/// Whether it is `/dev/null`, which everybody may write and nobody can put anything into.
fn is_null(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == rustix::fs::makedev(1, 3)
}

/// The mode of a directory in which every user may replace files.
fn writable_by_all(directory: &Path) -> Option<u32> {
    let mode = std::fs::metadata(directory).ok()?.mode() & 0o7777;
    let is_read_only =
        || rustix::fs::statvfs(directory).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY));
    (mode & OTHERS != 0 && mode & STICKY == 0 && !is_read_only()).then_some(mode)
}

/// The settings file, if others could not have written it.
///
/// # Errors
/// As the system says, `PermissionDenied` for a file that is [`Untrusted`], or `FileTooLarge` for one of more than 1 MiB.
pub fn read_settings(path: &Path) -> io::Result<String> {
    refuse_writable(path).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
    let mut text = String::new();
    if File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)? as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).expect("set");
    }

    fn file(directory: &Path) -> PathBuf {
        let path = directory.join("signet.toml");
        write(&path, "").expect("written");
        mode(&path, 0o644);
        path
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_that_they_may_read_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(directory.path());
        for good in [0o644, 0o600, 0o400, 0o440, 0o444, 0o755] {
            mode(&path, good);
            refuse_writable(&path).expect("nobody else may write it");
        }
        for bad in [0o666, 0o664, 0o646, 0o602, 0o620, 0o777] {
            mode(&path, bad);
            let text = refuse_writable(&path).expect_err("others may").to_string();
            assert!(
                text.contains(&format!("(mode {bad:04o})")) && text.contains("chmod go-w"),
                "{text}"
            );
            refuse_mode(&path).expect_err("others may");
        }
        refuse_writable(&directory.path().join("none")).expect("for the reader to say");
    }

    #[test]
    fn a_pipe_that_others_may_write_is_refused_as_a_file_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from(0o600)).expect("made");
        refuse_writable(&path).expect("nobody else may write it");
        mode(&path, 0o666);
        assert!(matches!(refuse_writable(&path), Err(Untrusted::Mode { .. })));
        refuse_mode(&path).expect_err("others may");
        mode(&path, 0o600);
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(65534), None).expect("given away");
            assert!(matches!(refuse_writable(&path), Err(Untrusted::Owner { .. })));
        }
        refuse_writable(Path::new("/dev/null")).expect("nobody can put anything into it");
        refuse_writable(Path::new("/dev/zero")).expect_err("it is no settings file");
    }

    #[test]
    fn a_settings_file_without_an_end_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(directory.path());
        write(&path, "#".repeat(1024 * 1024)).expect("written");
        read_settings(&path).expect("just short enough");
        write(&path, "#".repeat(1024 * 1024 + 1)).expect("written");
        read_settings(&path).expect_err("too long");
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
            assert_eq!(refuse_writable(&path).is_ok(), is_good, "{outer:o} {inner_mode:o}");
        }
        mode(directory.path(), 0o700);
    }

    /// `signet.toml -> ..data/signet.toml`, `..data -> ..2026`, as kubelet mounts a ConfigMap.
    #[test]
    fn links_as_kubernetes_makes_them_are_followed_to_their_end() {
        let volume = tempfile::tempdir().expect("a directory");
        let version = volume.path().join("..2026");
        create_dir(&version).expect("made");
        let end = file(&version);
        symlink("..2026", volume.path().join("..data")).expect("linked");
        let path = volume.path().join("signet.toml");
        symlink("..data/signet.toml", &path).expect("linked");
        refuse_writable(&path).expect("it is good");
        mode(&end, 0o666);
        assert!(matches!(refuse_writable(&path), Err(Untrusted::Mode { .. })));
        mode(&end, 0o644);
        mode(&version, 0o777);
        assert!(matches!(refuse_writable(&path), Err(Untrusted::Directory { .. })));
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(directory.path());
        if chown(&path, Some(65534), None).is_err() {
            return; // Only root can give a file away.
        }
        let text = refuse_writable(&path).expect_err("it is theirs").to_string();
        assert!(
            text.contains("belongs to user 65534") && text.contains("chown 0 "),
            "{text}"
        );
        refuse_mode(&path).expect("an agent's secret");
    }

    #[test]
    fn a_pipe_of_the_shell_is_no_file_of_others() {
        refuse_writable(Path::new("/dev/stdin")).expect("it is ours");
        refuse_writable(Path::new("/dev/null")).expect("it is a device of root's");
    }
}
