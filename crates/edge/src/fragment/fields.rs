//! The fields of a head as HPACK writes them (RFC 7541 §6): finds where each ends, and whether a `:path` has a `#` in it.
//!
//! It examines only literal values. A field from the dynamic table of the connection was a literal before. Its `#` was
//! replaced at that time, also in h2's table, so this code needs no table. It recognises the name `:path` by its number
//! in the static table, or as a literal. A client could also refer to that name in the dynamic table. No encoder of a
//! common gateway does, because each searches the static table first.

use super::huffman::Bits;

/// `:path` in the static table.
const PATH: [u64; 2] = [4, 5];
/// The same name as a literal, not compressed.
const NAME: &[u8] = b":path";
/// The same name as a literal, compressed.
const COMPRESSED: &[u8] = b"\xb9\x58\xd3\x3f";
/// h2 refuses numbers of more bits.
const MOST_BITS: u32 = 28;

/// Follows the bytes of one head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields(At);

#[derive(Clone, Copy, Debug, Default)]
enum At {
    /// The first byte of a field.
    #[default]
    Field,
    /// The rest of a number.
    Number {
        number: u64,
        bits: u32,
        of: Of,
    },
    /// The first byte of a string.
    String(Text),
    Octets {
        left: u64,
        text: Text,
        is_compressed: bool,
    },
    /// The head is malformed, and h2 ends the connection.
    Lost,
}

/// What a number counts.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// A whole field in the table, or the size of the table.
    Whole,
    /// The name in the table of a field whose value follows.
    Name,
    Length {
        text: Text,
        is_compressed: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Text {
    /// A name, with the number of its bytes so far if they equal the beginning of `:path`.
    Name(Option<usize>),
    /// The value of `:path`.
    Path(Bits),
    Value,
}

impl Fields {
    /// Examines new bytes, and replaces each `#` in a `:path` with a `>`. Returns whether there was one.
    pub(super) fn on_octets(&mut self, mut octets: &mut [u8]) -> bool {
        let mut found = false;
        while let Some(first) = octets.first().copied() {
            let used = match self.0 {
                At::Octets { left, .. } => usize::try_from(left).map_or(octets.len(), |left| left.min(octets.len())),
                At::Lost => octets.len(),
                _ => 1,
            };
            let (these, others) = octets.split_at_mut(used);
            self.0 = match self.0 {
                At::Field => match first {
                    0x80.. => begin(first, 7, Of::Whole),
                    0x40.. => begin(first, 6, Of::Name),
                    0x20.. => begin(first, 5, Of::Whole),
                    _ => begin(first, 4, Of::Name),
                },
                At::Number { bits, .. } if bits > MOST_BITS => At::Lost,
                At::Number { number, bits, of } => {
                    let number = number + (u64::from(first & 0x7f) << bits);
                    match first & 0x80 {
                        0 => after(number, of),
                        _ => At::Number {
                            number,
                            bits: bits + 7,
                            of,
                        },
                    }
                }
                At::String(text) => {
                    let is_compressed = first & 0x80 != 0;
                    begin(first, 7, Of::Length { text, is_compressed })
                }
                At::Octets {
                    left,
                    text,
                    is_compressed,
                } => {
                    let text = text.on_octets(these, is_compressed, &mut found);
                    after(left - used as u64, Of::Length { text, is_compressed })
                }
                At::Lost => At::Lost,
            };
            octets = others;
        }
        found
    }
}

/// A number begins in the last bits of a byte.
fn begin(first: u8, bits: u32, of: Of) -> At {
    let most = (1 << bits) - 1;
    let number = u64::from(first) & most;
    match number == most {
        true => At::Number { number, bits: 0, of },
        false => after(number, of),
    }
}

/// What comes after a number.
fn after(number: u64, of: Of) -> At {
    match of {
        Of::Whole => At::Field,
        Of::Name => At::String(match number {
            0 => Text::Name(Some(0)),
            number if PATH.contains(&number) => Text::Path(Bits::default()),
            _ => Text::Value,
        }),
        Of::Length {
            text: Text::Name(known),
            is_compressed,
        } if number == 0 => {
            let name = if is_compressed { COMPRESSED } else { NAME };
            At::String(match known == Some(name.len()) {
                true => Text::Path(Bits::default()),
                false => Text::Value,
            })
        }
        Of::Length { .. } if number == 0 => At::Field,
        Of::Length { text, is_compressed } => At::Octets {
            left: number,
            text,
            is_compressed,
        },
    }
}

impl Text {
    fn on_octets(self, octets: &mut [u8], is_compressed: bool, found: &mut bool) -> Self {
        match self {
            Self::Name(known) => {
                let name = if is_compressed { COMPRESSED } else { NAME };
                Self::Name(known.and_then(|known| {
                    let end = known + octets.len();
                    (name.get(known..end) == Some(octets)).then_some(end)
                }))
            }
            Self::Path(mut bits) => {
                for octet in octets {
                    let hash = match is_compressed {
                        true => bits.on_octet(octet),
                        false => *octet == b'#',
                    };
                    if hash && !is_compressed {
                        *octet = b'>';
                    }
                    *found |= hash;
                }
                Self::Path(bits)
            }
            Self::Value => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As curl 7.88 with nghttp2 1.52 wrote `GET /v1/authorize?audience=a#x&scope=admin`: `:method`, `:path` compressed,
    /// `:scheme`, `:authority`, `user-agent` and `accept`.
    const COMPRESSED_PATH: &str = "82049d63b8581da99cf61bd97fc1db218b510b00ffebfcc2087acb00e4a4d57f86418b089d5c0b8170dc65c75a77\
                                   7a8825b650c3abbcf2e153032a2f2a";
    /// The same for `GET /a%23/é\|#~`, which is shorter without compression.
    const PLAIN_PATH: &str = "82040c2f612532332fc3a95c7c237e86418b089d5c0b8170dc6dc7841f7a8825b650c3abbcf2e153032a2f2a";

    fn octets(hex: &str) -> Vec<u8> {
        let digit = |octet: u8| u8::try_from(char::from(octet).to_digit(16).expect("a digit")).expect("small");
        let pairs = hex.as_bytes().chunks(2);
        pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    /// The head afterwards and whether a `#` was found, which must be the same however the head is cut.
    fn watched(head: &[u8]) -> (Vec<u8>, bool) {
        let watch = |length: usize| {
            let (mut fields, mut head, mut found) = (Fields::default(), head.to_vec(), false);
            for piece in head.chunks_mut(length) {
                found |= fields.on_octets(piece);
            }
            (head, found)
        };
        let whole = watch(head.len());
        for length in 1..head.len() {
            assert_eq!(watch(length), whole, "in pieces of {length}");
        }
        whole
    }

    #[track_caller]
    fn assert_changes(head: &[u8], old: &[u8], new: &[u8]) {
        let place = head
            .windows(old.len())
            .position(|part| part == old)
            .expect("it is there");
        let mut expected = head.to_vec();
        expected[place..place + new.len()].copy_from_slice(new);
        assert_eq!(watched(head), (expected, true));
    }

    #[track_caller]
    fn assert_is_left(head: &[u8]) {
        assert_eq!(watched(head), (head.to_vec(), false));
    }

    #[test]
    fn a_number_sign_in_a_path_is_found_and_changed() {
        assert_changes(&octets(COMPRESSED_PATH), b"\x00\xff\xeb\xfc", b"\x00\xff\xef\xfc");
        assert_changes(&octets(PLAIN_PATH), b"|#~", b"|>~");
        // Each way to write a field that is not in the table, with the name from the table or written out.
        for name in [
            &b"\x04"[..],
            b"\x05",
            b"\x44",
            b"\x45",
            b"\x14",
            b"\x00\x05:path",
            b"\x40\x84\xb9\x58\xd3\x3f",
        ] {
            let head = [b"\x82\x86", name, b"\x03/#a\x84"].concat();
            assert_changes(&head, b"/#a", b"/>a");
        }
    }

    #[test]
    fn a_number_sign_elsewhere_is_left() {
        for head in [
            &b"\x82\x86\x04\x02/a\x41\x01#"[..],
            b"\x0f\x24\x03a#b",
            b"\x00\x01#\x02##",
            b"\x00\x05:patH\x01#",
            b"\x00\x04:pat\x01#",
            b"\x00\x06:path#\x01#",
            b"\x40\x83\xb9\x58\xd3\x01#",
            b"\x00\x04\xb9\x58\xd3\x3f\x01#",
            // A size of the table, and a name of the table of this connection.
            b"\x3f\xe1\x1f\x04\x01/\x7e\x01#",
            b"\x04\x00\x0f\x24\x01#",
        ] {
            assert_is_left(head);
        }
        // A long value, whose length takes several bytes.
        let long = [b"\x0f\x24\x7f\xad\x02", &b"#".repeat(428)[..], b"\x84"].concat();
        assert_is_left(&long);
        assert_changes(&[&long[..], b"\x04\x02/#"].concat(), b"/#", b"/>");
    }

    #[test]
    fn a_number_without_end_is_no_panic() {
        for start in [b"\xff", b"\x7f", b"\x3f", b"\x0f"] {
            assert_is_left(&[&start[..], &[0xff; 40], b"#"].concat());
        }
        assert_is_left(b"\x04\x7f\xff\xff\xff\xff\xff\xff\xff\xff\x7f#");
    }
}
