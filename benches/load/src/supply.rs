//! The bodies of the requests: none, the same for all, or one line of a file for each.
//!
//! A supply of distinct bodies never starts again. If it is used up, the run is invalid, because repeated bodies
//! would have been seen before.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;

use crate::error::LoadError;

/// A source of bodies.
pub(crate) struct Supply {
    kind: Kind,
    next: Cell<usize>,
    opened: Instant,
}

enum Kind {
    Same(Bytes),
    /// Each line once.
    Distinct(Vec<Bytes>),
    /// Line by line, repeatedly. After the first round, all lines have been seen.
    Rounds(Vec<Bytes>),
}

impl Supply {
    /// Requests without a body.
    pub(crate) fn empty() -> Self {
        Self::of(Kind::Same(Bytes::new()))
    }

    /// Uses the whole file as the body of every request.
    pub(crate) fn same(path: &Path) -> Result<Self, LoadError> {
        Ok(Self::of(Kind::Same(read(path)?)))
    }

    /// Uses one line of the file for each request, each line once.
    pub(crate) fn distinct(path: &Path) -> Result<Self, LoadError> {
        Ok(Self::of(Kind::Distinct(lines(path)?)))
    }

    /// Uses one line of the file for each request, repeatedly.
    pub(crate) fn rounds(path: &Path) -> Result<Self, LoadError> {
        Ok(Self::of(Kind::Rounds(lines(path)?)))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            next: Cell::new(0),
            opened: Instant::now(),
        }
    }

    /// The body of the next request.
    pub(crate) fn next(&self) -> Result<Bytes, LoadError> {
        match &self.kind {
            Kind::Same(body) => Ok(body.clone()),
            Kind::Distinct(lines) => {
                let index = self.next.get();
                let body = lines.get(index).cloned().ok_or_else(|| LoadError::SupplyExhausted {
                    lines: lines.len(),
                    seconds: self.opened.elapsed().as_secs_f64(),
                })?;
                self.next.set(index + 1);
                Ok(body)
            }
            Kind::Rounds(lines) => {
                let index = self.next.get();
                self.next.set(if index + 1 == lines.len() { 0 } else { index + 1 });
                Ok(lines[index].clone())
            }
        }
    }

    /// The number of distinct bodies.
    pub(crate) fn len(&self) -> usize {
        match &self.kind {
            Kind::Same(_) => 1,
            Kind::Distinct(lines) | Kind::Rounds(lines) => lines.len(),
        }
    }
}

fn read(path: &Path) -> Result<Bytes, LoadError> {
    fs::read(path).map(Bytes::from).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The lines of a file, all as views of one buffer.
fn lines(path: &Path) -> Result<Vec<Bytes>, LoadError> {
    let text = read(path)?;
    let mut lines = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        if !line.is_empty() {
            lines.push(text.slice_ref(line));
        }
    }
    if lines.is_empty() {
        return Err(LoadError::Format {
            path: path.to_owned(),
            what: "not one line",
        });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn a_supply_of_distinct_bodies_ends_and_does_not_start_over() {
        let file = file("a\nb\n\nc");
        let supply = Supply::distinct(file.path()).expect("three lines");
        assert_eq!(supply.len(), 3);
        for line in ["a", "b", "c"] {
            assert_eq!(supply.next().expect("a line"), line);
        }
        for _ in 0..2 {
            assert!(matches!(
                supply.next(),
                Err(LoadError::SupplyExhausted { lines: 3, .. })
            ));
        }
    }

    #[test]
    fn a_supply_in_rounds_starts_over() {
        let file = file("a\nb\n");
        let supply = Supply::rounds(file.path()).expect("two lines");
        let taken: Vec<_> = (0..5).map(|_| supply.next().expect("a line")).collect();
        assert_eq!(taken, ["a", "b", "a", "b", "a"]);
    }

    #[test]
    fn one_body_for_all_keeps_its_line_ends() {
        let file = file("{\n}\n");
        let supply = Supply::same(file.path()).expect("a body");
        assert_eq!(supply.next().expect("a body"), "{\n}\n");
    }

    #[test]
    fn a_file_without_a_line_is_refused() {
        let file = file("\n\n");
        assert!(matches!(Supply::distinct(file.path()), Err(LoadError::Format { .. })));
    }
}
