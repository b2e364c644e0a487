//! Tells whether files have changed, without reading them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A value that changes when a file does, also when the link of a mounted secret is switched to another directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<Option<[i64; 6]>>);

impl Stamp {
    /// The stamp of these files as they are now. A file that is missing has one too.
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self(paths.into_iter().map(of_file).collect())
    }
}

fn of_file(path: &Path) -> Option<[i64; 6]> {
    let file = std::fs::metadata(path).ok()?;
    // The inode, because a file that is put in place of another may have its times.
    Some([
        file.ino().cast_signed(),
        file.len().cast_signed(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_has_another_stamp_and_so_has_a_missing_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        let stamp = || Stamp::of([path.as_path()]);
        let missing = stamp();
        std::fs::write(&path, "a").expect("written");
        let first = stamp();
        assert_ne!(missing, first);
        assert_eq!(first, stamp());
        std::fs::write(directory.path().join("next"), "b").expect("written");
        std::fs::rename(directory.path().join("next"), &path).expect("renamed");
        assert_ne!(first, stamp());
    }
}
