//! The key file: 32 random bytes as one line of base64, after comment lines that say what it is.
//!
//! The file is first written as `<name>.new`, and renamed when the first ring that it sealed is on disk. So its final
//! name proves that a ring existed, and a first start that dies at any point can be continued by the next one.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signet_api::{ErrorKind, ProviderError};
use signet_sealed::disk::{Disk, Rules};
use zeroize::Zeroizing;

use crate::config::Layout;
use crate::error::Refusal;

const KEY_LEN: usize = 32;

const RULES: Rules = Rules {
    follow_links: true,
    forbidden_mode: 0o007,
    kind: ErrorKind::InvalidConfig,
    longest: 4096,
    remedy: "Only the user of the sidecar may read it: give it to that user with mode 0600 (`chmod 600`), or in \
         Kubernetes set `defaultMode: 0400` on the secret's volume",
};

const COMMENT: &str = "\
# Signet: the key that seals the private keys in the ring file. Secret.
# Without it the ring is lost: keep a copy, but not in the same place as copies of the ring file.
";

/// The key in the file, wiped when dropped.
#[derive(PartialEq, Eq)]
pub(crate) struct Key(Zeroizing<[u8; KEY_LEN]>);

impl Key {
    pub(crate) fn octets(&self) -> &[u8] {
        &*self.0
    }

    fn generate() -> Result<Self, ProviderError> {
        let mut octets = Zeroizing::new([0; KEY_LEN]);
        aws_lc_rs::rand::fill(&mut *octets).map_err(|_| Refusal::Library)?;
        Ok(Self(octets))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text
            .split(|octet| *octet == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        let (line, rest) = (lines.next()?, lines.next());
        // The buffer is larger than a key, because base64 decodes whole groups of three, and a
        // longer line must be noticed.
        let mut octets = Zeroizing::new([0; KEY_LEN + 4]);
        let len = STANDARD.decode_slice(line, &mut *octets).ok()?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if len != KEY_LEN || rest.is_some() {
            return None;
        }
        key.copy_from_slice(&octets[..KEY_LEN]);
        Some(Self(key))
    }

    fn text(&self) -> Zeroizing<Vec<u8>> {
        let line = Zeroizing::new(STANDARD.encode(self.octets()));
        let mut text = Zeroizing::new(Vec::with_capacity(COMMENT.len() + line.len() + 1));
        text.extend_from_slice(COMMENT.as_bytes());
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
        text
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// The key, and whether its file has its final name.
#[derive(Debug)]
pub(crate) struct FoundKey {
    pub(crate) key: Key,
    pub(crate) is_named: bool,
}

/// Reads the key from its final or its temporary name. `None` if there is no file.
pub(crate) fn read(layout: &Layout) -> Result<Option<FoundKey>, ProviderError> {
    for (path, is_named) in [(&layout.key_file, true), (&layout.new_key_file, false)] {
        if let Some(key) = read_one(&layout.key_disk, path)? {
            return Ok(Some(FoundKey { key, is_named }));
        }
    }
    Ok(None)
}

/// Reads the key of an existing ring without creating or renaming anything, for commands that only read. Blocks.
pub(crate) fn look(layout: &Layout) -> Result<FoundKey, ProviderError> {
    let traces = layout.traces_found()?;
    let ring_exists = layout.ring_disk.exists(&layout.ring_file)?;
    match read(layout)? {
        _ if !ring_exists && !traces.is_empty() => Err(Refusal::ring_missing(&layout.ring_file, &traces).into()),
        Some(found) => Ok(found),
        None => Err(Refusal::KeyMissing {
            ring: layout.ring_file.clone(),
            key: layout.key_file.clone(),
        }
        .into()),
    }
}

/// Reads the key of the ring, or creates it if this is the first start. Blocks.
pub(crate) fn read_or_make(layout: &Layout) -> Result<FoundKey, ProviderError> {
    layout.data_disk.make_directory(&layout.data_dir)?;
    if let Some(key) = read_one(&layout.key_disk, &layout.key_file)? {
        return named(layout, key);
    }
    let _lock = layout.data_disk.lock(&layout.start_lock)?;
    // Another process may have completed the first start while this one waited for the lock.
    if let Some(key) = read_one(&layout.key_disk, &layout.key_file)? {
        return named(layout, key);
    }
    let traces = layout.traces_found()?;
    let ring_exists = layout.ring_disk.exists(&layout.ring_file)?;
    let unnamed = read_one(&layout.key_disk, &layout.new_key_file);
    match (unnamed, ring_exists) {
        // An earlier start died after it created the ring and before it renamed the key file. The
        // ring was made with this key.
        (Ok(Some(key)), true) => {
            layout.key_disk.rename(&layout.new_key_file, &layout.key_file)?;
            Ok(FoundKey { key, is_named: true })
        }
        (Err(error), true) => Err(error),
        (Ok(None), true) => Err(Refusal::KeyMissing {
            ring: layout.ring_file.clone(),
            key: layout.key_file.clone(),
        }
        .into()),
        (_, false) if !traces.is_empty() => Err(Refusal::ring_missing(&layout.ring_file, &traces).into()),
        // An earlier start died before it created the ring, or another process is about to create it.
        (Ok(Some(key)), false) => Ok(FoundKey { key, is_named: false }),
        // A file that cannot be read here has not sealed anything yet, so it is replaced.
        (Ok(None) | Err(_), false) => {
            let key = Key::generate()?;
            layout.key_disk.replace(&layout.new_key_file, &key.text())?;
            tracing::info!(
                key_file = %layout.key_file.display(),
                "first start: created the key file that encrypts the ring; keep a copy of it"
            );
            Ok(FoundKey { key, is_named: false })
        }
    }
}

/// Renames the key file to its final name, if it has this key and was not renamed yet. Hold the start lock. Blocks.
pub(crate) fn name(layout: &Layout, key: &Key) -> Result<(), ProviderError> {
    if layout.key_disk.exists(&layout.key_file)? {
        return Ok(());
    }
    match read_one(&layout.key_disk, &layout.new_key_file)? {
        Some(found) if found == *key => layout.key_disk.rename(&layout.new_key_file, &layout.key_file),
        _ => Err(Refusal::KeyChanged {
            key: layout.key_file.clone(),
        }
        .into()),
    }
}

fn named(layout: &Layout, key: Key) -> Result<FoundKey, ProviderError> {
    let traces = layout.traces_found()?;
    if !layout.ring_disk.exists(&layout.ring_file)? {
        if !traces.is_empty() {
            return Err(Refusal::ring_missing(&layout.ring_file, &traces).into());
        }
        tracing::warn!(
            key_file = %layout.key_file.display(),
            ring_file = %layout.ring_file.display(),
            "there is a key file but no ring, so a new ring is created. If there was a ring before, stop Signet and \
             restore it from a backup"
        );
    }
    Ok(FoundKey { key, is_named: true })
}

fn read_one(disk: &Disk, path: &Path) -> Result<Option<Key>, ProviderError> {
    let Some(text) = disk.read(path, &RULES)? else {
        return Ok(None);
    };
    match Key::parse(&text) {
        Some(key) => Ok(Some(key)),
        None => Err(Refusal::NotAKey { key: path.to_owned() }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_text() {
        let key = Key::generate().expect("random");
        assert!(Key::parse(&key.text()).expect("parses") == key);
        assert!(key.text().starts_with(b"# Signet"));
    }

    #[test]
    fn what_is_not_one_line_of_32_octets_is_no_key() {
        let line = |len: usize| STANDARD.encode(vec![7; len]);
        for text in [
            String::new(),
            "# only a comment\n".to_owned(),
            line(31),
            line(33),
            line(64),
            format!("{}\n{}\n", line(32), line(32)),
            line(32).trim_end_matches('=').to_owned(),
            "not base64".to_owned(),
        ] {
            assert!(Key::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        let padded = format!("\n# comment\r\n  {}  \r\n\n", line(32));
        assert!(
            Key::parse(padded.as_bytes()).is_some(),
            "surrounding white space is allowed"
        );
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let key = Key::generate().expect("random");
        assert_eq!(format!("{key:?}"), "Key");
    }
}
