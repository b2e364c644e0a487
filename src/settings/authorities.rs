//! Checks `SSL_CERT_FILE` and `SSL_CERT_DIR`: the certificate authorities that all clients of this process trust,
//! including those of the vendors' SDKs. An attacker who can write to them can impersonate any provider and issuer, so
//! all subcommands check them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use signet_files::{Rule, no_authorities};

const FILE: &str = "SSL_CERT_FILE";
const DIRECTORIES: &str = "SSL_CERT_DIR";

/// The problems, each with its variable.
pub(super) fn problems(env: &BTreeMap<OsString, OsString>) -> Vec<(&'static str, String)> {
    let set = |name: &str| env.get(OsStr::new(name)).filter(|value| !value.is_empty());
    let file = set(FILE).and_then(|path| Some((FILE, of_file(Path::new(path)).err()?)));
    // It may have several paths, separated by colons (openssl-env(7)).
    let directories = set(DIRECTORIES).into_iter().flat_map(std::env::split_paths);
    let refused = |path: std::path::PathBuf| {
        let refused = Rule::Trusted.look_in(&path).err()?;
        Some((DIRECTORIES, format!("is refused: {refused}")))
    };
    file.into_iter().chain(directories.filter_map(refused)).collect()
}

/// Checks a file. A missing or empty file is not reported here, but by a client that needs an authority.
fn of_file(path: &Path) -> Result<(), String> {
    Rule::Trusted
        .look(path)
        .map_err(|refused| format!("is refused: {refused}"))?;
    match Rule::Trusted.read(path) {
        Ok(content) if !content.is_empty() => match no_authorities(&content) {
            Some(problem) => Err(format!("is {}, which {problem}", path.display())),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn authorities_that_others_could_write_are_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let good = directory.path().join("good.pem");
        let bad = directory.path().join("bad.pem");
        let pipe = directory.path().join("pipe");
        write(&good, "").expect("written");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from(0o600)).expect("made");
        let of = |name: &str, value: &Path| -> Vec<String> {
            let env = [(name.into(), value.into())].into();
            let told = problems(&env).into_iter();
            told.map(|(name, problem)| format!("{name}: {problem}")).collect()
        };
        assert!(of(FILE, &good).is_empty());
        assert!(of(DIRECTORIES, directory.path()).is_empty());
        let none = directory.path().join("none");
        assert!(
            of(FILE, &none).is_empty() && of(DIRECTORIES, &none).is_empty(),
            "the client reports it"
        );
        assert!(of(FILE, &pipe)[0].contains("is a pipe"));
        write(&bad, "junk").expect("written");
        let junk = of(FILE, &bad);
        assert!(junk[0].contains("bad.pem, which has no certificate in PEM"), "{junk:?}");
        write(&bad, "").expect("written");
        set_permissions(&bad, Permissions::from_mode(0o666)).expect("set");
        for (name, value) in [(FILE, bad.as_path()), (DIRECTORIES, directory.path())] {
            let told = of(name, value);
            assert!(
                told[0].starts_with(name) && told[0].contains("bad.pem can be written by users other than its owner"),
                "{told:?}"
            );
        }
        std::fs::remove_file(&bad).expect("removed");
        set_permissions(directory.path(), Permissions::from_mode(0o1777)).expect("set");
        let told = of(DIRECTORIES, directory.path());
        assert!(told[0].contains("(mode 1777)"), "others may add an authority: {told:?}");
    }
}
