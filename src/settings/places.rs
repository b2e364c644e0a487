//! Detects two settings that name the same file. Signet would overwrite one with the other, and the next start would
//! fail. Links, relative paths and hard links are resolved.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use signet_config::{Reader, Source};

use super::names::{ProviderName, Store};
use super::{Settings, issuers, parse};

/// Files in the data directory that no setting names, and their purpose.
const OF_DATA_DIR: [(&str, &str, Use); 3] = [
    (crate::last_good::FILE_NAME, "the last good public ring", Use::Written),
    ("start.lock", "the lock of the first start", Use::Written),
    (
        signet_issuers::DIRECTORY,
        "the last good keys of trusted issuers",
        Use::Directory,
    ),
];
/// Variables of providers that name a file, besides those that end in `_FILE`.
const FILES: [&str; 6] = [
    "VAULT_CACERT",
    "VAULT_CLIENT_CERT",
    "VAULT_CLIENT_KEY",
    "AWS_CA_BUNDLE",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "GOOGLE_APPLICATION_CREDENTIALS",
];
/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// What Signet does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Signet only reads it. Several settings may name it; a certificate and its key may be in one file.
    Read,
    /// It is a key file, which several rings may share.
    Key,
    /// Signet creates or replaces it.
    Written,
    /// Signet creates or replaces everything below it.
    Directory,
}

/// A file, and the setting from which it follows.
struct UsedFile {
    setting: Named,
    /// What the file is, if it is not the one that the setting names but one next to or below it.
    part: &'static str,
    path: PathBuf,
    used: Use,
    found: Option<Metadata>,
}

/// A setting by its name in the table, or another one by its place.
#[derive(Clone, PartialEq, Eq)]
enum Named {
    Setting(&'static str),
    Other(String),
}

impl Named {
    fn place(&self, r: &Reader) -> String {
        match self {
            Self::Setting(name) => r.place(name),
            Self::Other(place) => place.clone(),
        }
    }
}

/// Refuses settings that name the same file.
pub(super) fn judge(r: &mut Reader, settings: &Settings) {
    let places = places(r, settings);
    let mut told: Vec<(&Named, &Named)> = Vec::new();
    for (at, one) in places.iter().enumerate() {
        for other in &places[..at] {
            let pair = (&one.setting, &other.setting);
            if one.setting != other.setting && one.collides(other) && !told.contains(&pair) {
                told.push(pair);
                refuse(r, one, other);
            }
        }
    }
}

fn refuse(r: &mut Reader, one: &UsedFile, other: &UsedFile) {
    // Blame the setting that somebody wrote.
    let strength = |place: &UsedFile| match &place.setting {
        Named::Setting(name) => r.source(name),
        Named::Other(_) => Source::File,
    };
    let (wrong, other) = match strength(one) >= strength(other) {
        true => (one, other),
        false => (other, one),
    };
    let described = |place: &UsedFile, name: &str| match place.part {
        "" => format!("the file of {name}"),
        part => format!("{part}, which belongs to {name}"),
    };
    let its_own = match wrong.part {
        "" => format!("names {}", wrong.path.display()),
        part => format!("leads to {}, {part}", wrong.path.display()),
    };
    let text = format!(
        "{its_own}, which is also {}: one would overwrite the other. Write a different path for each",
        described(other, &other.setting.place(r))
    );
    match &wrong.setting {
        Named::Setting(name) => r.refuse(name, text),
        Named::Other(place) => r.refuse_at(place.clone(), text),
    }
}

impl UsedFile {
    fn collides(&self, other: &Self) -> bool {
        if matches!((self.used, other.used), (Use::Read, Use::Read) | (Use::Key, Use::Key)) {
            return false;
        }
        let is_same = |one: &Metadata, other: &Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
        let is_below = |one: &Self, other: &Self| other.used == Use::Directory && one.path.starts_with(&other.path);
        let is_one_file = self.found.as_ref().zip(other.found.as_ref());
        self.path == other.path
            || is_below(self, other)
            || is_below(other, self)
            || is_one_file.is_some_and(|(one, other)| is_same(one, other))
    }
}

/// All files that follow from the settings.
fn places(r: &mut Reader, settings: &Settings) -> Vec<UsedFile> {
    let mut places = Vec::new();
    let mut add = |setting: &Named, part, path: &Path, used| {
        let path = end_of(path);
        places.push(UsedFile {
            found: std::fs::metadata(&path).ok(),
            setting: setting.clone(),
            part,
            path,
            used,
        });
    };
    if r.is_given("config")
        && r.knows(&["config"])
        && let Some(path) = r.optional("config", parse::path)
    {
        add(&Named::Setting("config"), "", &path, Use::Read);
    }
    if let Some(tls) = &settings.tls {
        add(&Named::Setting("tls_cert_file"), "", &tls.certificate, Use::Read);
        add(&Named::Setting("tls_key_file"), "", &tls.key, Use::Read);
    }
    for trusted in &settings.trusted_issuers {
        if let Some(path) = &trusted.ca_file {
            let place = issuers::place(r, trusted.issuer.as_str(), Some("ca_file"));
            add(&Named::Other(place), "", path, Use::Read);
        }
    }
    let names_a_file = |name: &&str| name.ends_with("_FILE") || FILES.contains(name);
    for name in settings.variables.names().filter(names_a_file) {
        if let Some(path) = settings.variables.get(name) {
            add(
                &Named::Other(format!("{name} (environment)")),
                "",
                Path::new(path),
                Use::Read,
            );
        }
    }

    let data_dir = Named::Setting("data_dir");
    add(&data_dir, "", &settings.data_dir, Use::Written);
    for (name, part, used) in OF_DATA_DIR {
        add(&data_dir, part, &settings.data_dir.join(name), used);
    }
    for (at, origin) in settings.origins().enumerate() {
        let named = |name: &'static str| match at {
            0 => Named::Setting(name),
            _ => {
                let provider = origin.provider.in_variables();
                Named::Other(format!("SIGNET_ALSO_{provider}_{}", name.to_ascii_uppercase()))
            }
        };
        if let Some(Store::File(path)) = &origin.store {
            let store = named("store");
            add(&store, "", path, Use::Written);
            add(&store, "the lock of the ring", &beside(path, ".lock"), Use::Written);
            add(
                &store,
                "the next ring while it is written",
                &beside(path, ".tmp"),
                Use::Written,
            );
        }
        if origin.provider == ProviderName::Local {
            let key_file = named("local_key_file");
            add(&key_file, "", &origin.local_key_file, Use::Key);
            let unproven = beside(&origin.local_key_file, ".new");
            add(
                &key_file,
                "the temporary key file that exists until the first ring is written",
                &unproven,
                Use::Key,
            );
        }
    }
    let socket = Named::Setting("socket");
    add(&socket, "", &settings.socket.path, Use::Written);
    add(
        &socket,
        "the lock of the socket",
        &beside(&settings.socket.path, ".lock"),
        Use::Written,
    );
    places
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Resolves a path, even if nothing is there yet.
fn end_of(path: &Path) -> PathBuf {
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..MOST_LINKS {
        if let Ok(end) = path.canonicalize() {
            return end;
        }
        let Some(parent) = path.parent().map(Path::to_owned) else {
            return path;
        };
        match path.components().next_back() {
            Some(Component::Normal(name)) => match std::fs::read_link(&path) {
                // The target of the link does not exist.
                Ok(target) => path = parent.join(target),
                Err(_) => return end_of(&parent).join(name),
            },
            _ => return end_of(&parent).parent().map_or(parent, Path::to_owned),
        }
    }
    path
}
