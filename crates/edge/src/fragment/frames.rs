//! Frames of HTTP/2 (RFC 9113 §4): finds those that carry a head, and where each head ends.
//!
//! It replaces a `#` in a `:path` with a `>`, which `http` refuses in targets. h2 then resets the stream of that request as
//! malformed (RFC 9113 §8.1.1), and continues with the others.

use super::Received;
use super::fields::Fields;

/// The length of the preface.
const PREFACE: usize = 24;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The length of a priority, in bytes.
const OF_PRIORITY: usize = 5;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(crate) struct Frames {
    at: At,
    fields: Fields,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// The head of a frame, and how many of its bytes have arrived.
    Head([u8; 9], usize),
    /// The byte that gives the length of the padding. `left` is the rest of the frame, with this byte.
    Padding { left: usize, flags: u8 },
    /// A part of a head: `before` counts the bytes before its fields, `left` those of the fields, `after` the padding.
    Part {
        before: usize,
        left: usize,
        after: usize,
        is_last: bool,
    },
    /// This many bytes that are not part of a head.
    Others(usize),
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            at: At::Others(PREFACE),
            fields: Fields::default(),
        }
    }
}

const NEXT: At = At::Head([0; 9], 0);

impl Frames {
    /// Examines new bytes.
    pub(crate) fn on_octets(&mut self, mut octets: &mut [u8], mut found: impl FnMut(Received)) {
        while let Some(first) = octets.first().copied() {
            let used = match self.at {
                At::Others(left) => left,
                At::Part { before: 0, left, .. } => left,
                At::Part { before, .. } => before,
                At::Head(..) | At::Padding { .. } => 1,
            };
            let (these, others) = octets.split_at_mut(used.min(octets.len()));
            let used = these.len();
            self.at = match self.at {
                At::Others(left) => others_left(left - used),
                At::Head(mut head, known) => {
                    head[known] = first;
                    match known == 8 {
                        true => self.on_head(head),
                        false => At::Head(head, known + 1),
                    }
                }
                At::Padding { left, flags } => part(left - 1, usize::from(first), flags),
                At::Part {
                    before: 0,
                    left,
                    after,
                    is_last,
                } => {
                    if self.fields.on_octets(these) {
                        found(Received::Fragment);
                    }
                    At::Part {
                        before: 0,
                        left: left - used,
                        after,
                        is_last,
                    }
                }
                At::Part {
                    before,
                    left,
                    after,
                    is_last,
                } => At::Part {
                    before: before - used,
                    left,
                    after,
                    is_last,
                },
            };
            if let At::Part {
                before: 0,
                left: 0,
                after,
                is_last,
            } = self.at
            {
                if is_last {
                    found(Received::Fields);
                }
                self.at = others_left(after);
            }
            octets = others;
        }
    }

    fn on_head(&mut self, head: [u8; 9]) -> At {
        let [high, middle, low, kind, flags, ..] = head;
        let left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            HEADERS => {
                self.fields = Fields::default();
                match flags & PADDED {
                    0 => part(left, 0, flags),
                    _ if left == 0 => NEXT,
                    _ => At::Padding { left, flags },
                }
            }
            CONTINUATION => part(left, 0, flags & END_HEADERS),
            _ => others_left(left),
        }
    }
}

/// The part of a head in a frame that has `left` bytes left. If the padding is too long, h2 ends the connection.
fn part(left: usize, padding: usize, flags: u8) -> At {
    let before = if flags & PRIORITY == 0 { 0 } else { OF_PRIORITY };
    match left.checked_sub(before + padding) {
        Some(fields) => At::Part {
            before,
            left: fields,
            after: padding,
            is_last: flags & END_HEADERS != 0,
        },
        None => others_left(left),
    }
}

fn others_left(left: usize) -> At {
    match left {
        0 => NEXT,
        left => At::Others(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END_STREAM: u8 = 0x1;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Returns the changed frames and the findings, which must be the same however the bytes are cut.
    fn watched(frames: &[Vec<u8>]) -> (Vec<u8>, Vec<Received>) {
        let octets = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frames.concat()[..]].concat();
        let watch = |length: usize| {
            let (mut frames, mut octets, mut all) = (Frames::default(), octets.clone(), Vec::new());
            for piece in octets.chunks_mut(length) {
                frames.on_octets(piece, |found| all.push(found));
            }
            (octets.split_off(PREFACE), all)
        };
        let whole = watch(octets.len());
        for length in 1..octets.len() {
            assert_eq!(watch(length), whole, "in pieces of {length}");
        }
        whole
    }

    #[test]
    fn heads_are_found_wherever_their_parts_stand() {
        let ends = END_HEADERS | END_STREAM;
        for (skipped, frames) in [
            (0, vec![frame(HEADERS, ends, b"\x82\x04\x02/#")]),
            (1, vec![frame(HEADERS, ends | PADDED, b"\x03\x04\x02/#\x04\x01#")]),
            (5, vec![frame(HEADERS, ends | PRIORITY, b"\x04\x01##\x04\x04\x02/#")]),
            (
                6,
                vec![frame(
                    HEADERS,
                    ends | PADDED | PRIORITY,
                    b"\x01\x04\x01##\x04\x04\x02/##",
                )],
            ),
            (
                9,
                vec![
                    frame(HEADERS, END_STREAM, b"\x82\x04\x02"),
                    frame(CONTINUATION, END_HEADERS, b"/#"),
                ],
            ),
            // The flags of padding and priority mean nothing in a continuation, and a part may be empty.
            (
                18,
                vec![
                    frame(HEADERS, END_STREAM, b""),
                    frame(CONTINUATION, PADDED | PRIORITY, b"\x82\x04\x02"),
                    frame(CONTINUATION, END_HEADERS, b"/#"),
                ],
            ),
        ] {
            let data = frame(0, 0, b"\x04\x02/#");
            let settings = frame(4, 0, b"");
            let before = [settings.clone(), data.clone()].concat();
            let all = [vec![before.clone()], frames.clone(), vec![data, settings]].concat();
            let (changed, found) = watched(&all);
            assert_eq!(found, [Received::Fragment, Received::Fields], "{frames:?}");
            let mut expected = all.concat();
            let from = before.len() + 9 + skipped;
            let place = expected[from..].windows(2).position(|part| part == b"/#");
            expected[from + place.expect("it is there") + 1] = b'>';
            assert_eq!(changed, expected);
        }
    }

    #[test]
    fn a_head_without_its_end_is_none_and_malformed_frames_are_no_panic() {
        let part = frame(HEADERS, END_STREAM, b"\x82\x04\x01/");
        assert_eq!(watched(std::slice::from_ref(&part)).1, []);
        let others = frame(CONTINUATION, END_HEADERS, b"");
        assert_eq!(watched(&[part, others]).1, [Received::Fields]);
        for payload in [&b""[..], b"\x05", b"\xff\x04\x02/#"] {
            let malformed = frame(HEADERS, END_HEADERS | PADDED, payload);
            assert_eq!(watched(&[malformed]).1, []);
        }
        assert_eq!(watched(&[frame(HEADERS, END_HEADERS | PRIORITY, b"\x04")]).1, []);
    }

    #[test]
    fn a_target_with_what_a_number_sign_becomes_is_refused() {
        for target in ["/>", "/a>b", "/a?>", "/a?b=c>d", ">"] {
            let parsed = http::uri::PathAndQuery::from_maybe_shared(bytes::Bytes::copy_from_slice(target.as_bytes()));
            assert!(parsed.is_err(), "{target}");
        }
    }
}
