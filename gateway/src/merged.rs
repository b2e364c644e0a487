//! Merges the answers of backends in the order of the file.

use crate::ask::{Answered, Part};
use crate::failed::Failed;
use crate::plan::{Fixed, When};
use crate::room::Room;
use crate::tree::Members;

/// The combined answers of the backends.
#[derive(Debug, Default)]
pub struct Brought {
    /// The members of all answers. `None` if there are no answers.
    pub members: Option<Members>,
    /// Whether all backends gave what was requested.
    pub is_complete: bool,
    /// Why backends gave nothing.
    pub failures: Vec<Failed>,
    /// The memory that the merged answer takes in addition to its parts.
    pub room: Room,
    /// The memory that the answers take, until the answer is written.
    _rooms: Vec<Room>,
}

impl Brought {
    /// Adds fixed members, if they are meant for this answer.
    pub fn add(&mut self, fixed: &Fixed) {
        let has_failed = !self.failures.is_empty();
        let is_meant = match fixed.when {
            When::Always => true,
            When::Success => !has_failed,
            When::Errored => has_failed,
            When::Complete => !has_failed && self.is_complete,
            When::Incomplete => !self.is_complete,
        };
        if is_meant {
            let members = self.members.get_or_insert_default();
            members.extend(fixed.data.clone());
        }
    }
}

/// Merges the answers, and holds their memory.
#[must_use]
pub fn gathered(asked: Vec<Result<Answered, Failed>>) -> Brought {
    let mut rooms = Vec::new();
    let parts = asked.into_iter().map(|asked| {
        asked.map(|(part, room)| {
            rooms.push(room);
            part
        })
    });
    let parts = parts.collect();
    Brought {
        _rooms: rooms,
        ..brought(parts)
    }
}

/// Merges the answers in the order of the file.
fn brought(parts: Vec<Result<Part, Failed>>) -> Brought {
    let mut brought = Brought {
        is_complete: true,
        ..Brought::default()
    };
    for part in parts {
        match part {
            Ok(part) => {
                brought.is_complete &= part.is_complete;
                brought.members.get_or_insert_default().extend(part.members);
            }
            Err(failed) => {
                brought.is_complete = false;
                brought.failures.push(failed);
            }
        }
    }
    brought
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::tree;

    fn part(text: &'static str) -> Result<Part, Failed> {
        Ok(Part {
            members: tree::open(&Bytes::from_static(text.as_bytes())).expect("an object"),
            is_complete: true,
        })
    }

    fn told(brought: &Brought) -> (String, bool) {
        let members = brought.members.clone().unwrap_or_default();
        (
            String::from_utf8(tree::write(&members)).expect("text"),
            brought.is_complete,
        )
    }

    #[test]
    fn of_two_members_with_one_name_that_of_the_later_backend_counts() {
        let merged = brought(vec![part(r#"{"a":1,"b":1}"#), part(r#"{"b":2,"c":2}"#)]);
        assert_eq!(told(&merged), (r#"{"a":1,"b":2,"c":2}"#.to_owned(), true));
        let merged = brought(vec![Err(Failed::Late), part(r#"{"b":2}"#)]);
        assert_eq!(told(&merged), (r#"{"b":2}"#.to_owned(), false));
        assert_eq!(brought(vec![Err(Failed::Late)]).members, None);
    }

    #[test]
    fn fixed_members_are_put_in_when_their_strategy_says() {
        use When::{Always, Complete, Errored, Incomplete, Success};
        for (parts, added) in [
            (vec![part("{}")], &[Always, Success, Complete][..]),
            (vec![part("{}"), Err(Failed::Late)], &[Always, Errored, Incomplete]),
            (vec![Err(Failed::Late)], &[Always, Errored, Incomplete]),
        ] {
            for when in [Always, Success, Errored, Complete, Incomplete] {
                let mut brought = brought(parts.clone());
                brought.add(&Fixed {
                    data: Members::from([("x".to_owned(), tree::quoted("y"))]),
                    when,
                });
                let is_there = brought.members.is_some_and(|members| members.contains_key("x"));
                assert_eq!(is_there, added.contains(&when), "{when:?}");
            }
        }
    }
}
