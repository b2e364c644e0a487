//! Requests of HTTP/1.1, one after the other: finds where each head ends, and whether its target has a `#` in it.
//!
//! It frames requests as hyper does (RFC 9112 §§5, 6, 7.1), but it refuses none. hyper refuses a malformed request and closes
//! the connection, so what was found here then has no effect. This code stores a few numbers and no bytes, so it does
//! not matter how a request is cut into pieces, or how many requests arrive at once.

use memchr::{memchr, memchr2};

use super::Received;

const LENGTH: &[u8] = b"content-length";
const CODING: &[u8] = b"transfer-encoding";

/// Follows the bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    at: At,
    has_fragment: bool,
    is_chunked: bool,
    length: u64,
}

/// What the next byte is part of.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    /// The beginning of a request, or an empty line before it.
    #[default]
    Start,
    Method,
    /// The rest of the request line.
    Target,
    /// The beginning of a field, or the empty line after the last one.
    Field,
    /// The name of a field. So far it equals this name, up to this many bytes.
    Name(&'static [u8], usize),
    /// The value of `Content-Length`.
    Length,
    /// The rest of a field.
    Rest,
    /// The last byte of a head.
    End,
    /// A body, or a chunk with its line end, of which `left` bytes are still to come.
    Body {
        left: u64,
        in_chunks: bool,
    },
    /// The size of a chunk.
    Size(u64),
    /// The extensions between the size and the end of the line.
    Extension(u64),
    SizeEnd(u64),
    /// The beginning of a trailer field, or the empty line after the last one.
    Trailer,
    TrailerRest,
    TrailerEnd {
        is_last: bool,
    },
}

impl Heads {
    /// Examines new bytes.
    pub(crate) fn on_octets(&mut self, mut octets: &[u8], mut found: impl FnMut(Received)) {
        while let Some((first, others)) = octets.split_first() {
            octets = match self.at {
                At::Start | At::Method | At::Target => self.on_line(*first, octets),
                At::Field | At::Name(..) | At::Length | At::Rest => self.on_field(*first, octets, &mut found),
                At::End => {
                    self.on_end(&mut found);
                    others
                }
                _ => self.on_body(*first, octets),
            };
        }
    }

    /// Takes a part of a request line, and returns the bytes after it.
    fn on_line<'a>(&mut self, first: u8, octets: &'a [u8]) -> &'a [u8] {
        match self.at {
            At::Start if matches!(first, b'\r' | b'\n') => &octets[1..],
            At::Target => {
                let (line, rest) = cut(octets, memchr(b'\n', octets));
                self.has_fragment |= memchr(b'#', line).is_some();
                self.at = if rest.is_some() { At::Field } else { At::Target };
                rest.unwrap_or_default()
            }
            _ => {
                let end = memchr2(b' ', b'\n', octets);
                self.at = match end.map(|end| octets[end]) {
                    Some(b' ') => At::Target,
                    Some(_) => At::Field,
                    None => At::Method,
                };
                cut(octets, end).1.unwrap_or_default()
            }
        }
    }

    /// Takes a part of a header field, and returns the bytes after it.
    fn on_field<'a>(&mut self, first: u8, octets: &'a [u8], found: impl FnMut(Received)) -> &'a [u8] {
        self.at = match (self.at, first) {
            (At::Field, b'\n') => {
                self.on_end(found);
                return &octets[1..];
            }
            (At::Field, b'\r') => At::End,
            (At::Field, b'c' | b'C') => At::Name(LENGTH, 1),
            (At::Field, b't' | b'T') => At::Name(CODING, 1),
            (At::Name(..) | At::Length, b'\n') => At::Field,
            (At::Name(name, known), octet) => match name.get(known) {
                Some(next) if octet.eq_ignore_ascii_case(next) => At::Name(name, known + 1),
                None if octet == b':' => self.on_name(name),
                _ => At::Rest,
            },
            (At::Length, octet) => {
                if octet.is_ascii_digit() {
                    self.length = self.length.saturating_mul(10).saturating_add(u64::from(octet - b'0'));
                }
                At::Length
            }
            _ => {
                let (_, rest) = cut(octets, memchr(b'\n', octets));
                self.at = if rest.is_some() { At::Field } else { At::Rest };
                return rest.unwrap_or_default();
            }
        };
        &octets[1..]
    }

    /// One of the two fields that frame a body. If both are there, the coding counts.
    fn on_name(&mut self, name: &[u8]) -> At {
        if name == CODING {
            self.is_chunked = true;
            return At::Rest;
        }
        self.length = 0;
        At::Length
    }

    fn on_end(&mut self, mut found: impl FnMut(Received)) {
        let this = std::mem::take(self);
        self.at = match this.length {
            _ if this.is_chunked => At::Size(0),
            0 => At::Start,
            left => At::Body { left, in_chunks: false },
        };
        found(Received::Head {
            has_fragment: this.has_fragment,
        });
    }

    /// Takes a part of a body, and returns the bytes after it.
    fn on_body<'a>(&mut self, first: u8, octets: &'a [u8]) -> &'a [u8] {
        let mut used = 1;
        self.at = match (self.at, first) {
            (At::Body { left, in_chunks }, _) => {
                used = usize::try_from(left).map_or(octets.len(), |left| left.min(octets.len()));
                match (left - used as u64, in_chunks) {
                    (0, true) => At::Size(0),
                    (0, false) => At::Start,
                    (left, _) => At::Body { left, in_chunks },
                }
            }
            (At::Size(size) | At::Extension(size), b'\r') => At::SizeEnd(size),
            (At::Size(size), digit) => match char::from(digit).to_digit(16) {
                Some(digit) => At::Size(size.saturating_mul(16).saturating_add(u64::from(digit))),
                None => At::Extension(size),
            },
            (At::SizeEnd(0), _) => At::Trailer,
            (At::SizeEnd(size), _) => At::Body {
                left: size.saturating_add(2),
                in_chunks: true,
            },
            (At::Trailer | At::TrailerRest, b'\r') => At::TrailerEnd {
                is_last: matches!(self.at, At::Trailer),
            },
            (At::Trailer | At::TrailerRest, _) => At::TrailerRest,
            (At::TrailerEnd { is_last: true }, _) => At::Start,
            (At::TrailerEnd { is_last: false }, _) => At::Trailer,
            (at, _) => at,
        };
        &octets[used..]
    }
}

/// Splits the bytes at this position. The second part is missing if there is no such position.
fn cut(octets: &[u8], place: Option<usize>) -> (&[u8], Option<&[u8]>) {
    match place {
        Some(place) => (&octets[..place], Some(&octets[place + 1..])),
        None => (octets, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each head: whether its target has a `#`.
    fn heads<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<bool> {
        let (mut heads, mut all) = (Heads::default(), Vec::new());
        for piece in pieces {
            heads.on_octets(piece, |found| match found {
                Received::Head { has_fragment } => all.push(has_fragment),
                other => panic!("{other:?} over HTTP/1.1"),
            });
        }
        all
    }

    /// Asserts that the same is found however the bytes are cut.
    fn assert_found(text: &str, expected: &[bool]) {
        let octets = text.as_bytes();
        assert_eq!(heads([octets]), expected, "{text:?}");
        for length in [1, 2, 3, 7, 24] {
            assert_eq!(heads(octets.chunks(length)), expected, "{text:?} in pieces of {length}");
        }
        for cut in 0..octets.len() {
            let (one, other) = octets.split_at(cut);
            assert_eq!(heads([one, other]), expected, "{text:?}, cut after {cut}");
        }
    }

    const PLAIN: &str = "GET /a?b=c HTTP/1.1\r\nhost: a\r\n\r\n";
    const FRAGMENT: &str = "GET /a?b=c#d&e=f HTTP/1.1\r\nhost: a\r\n\r\n";

    #[test]
    fn a_number_sign_in_a_target_is_found() {
        assert_found(PLAIN, &[false]);
        assert_found(FRAGMENT, &[true]);
        for target in [
            "#",
            "/#",
            "/a#",
            "/a##b",
            "http://a/b#c",
            "http://a#b",
            "*#",
            "/a?#",
            "/%23#",
        ] {
            assert_found(&format!("GET {target} HTTP/1.1\r\n\r\n"), &[true]);
        }
        // Line ends and empty lines that httparse accepts.
        for text in [
            "\r\n\n\r\nGET /#a HTTP/1.1\nhost: a\n\n",
            "GET /#a HTTP/1.0\n\r\n",
            "GET /#a HTTP/1.1\r\nhost: a\r\n\n",
        ] {
            assert_found(text, &[true]);
        }
    }

    #[test]
    fn a_number_sign_elsewhere_is_none_in_a_target() {
        for text in [
            "GET /%23 HTTP/1.1\r\n\r\n",
            "G#T / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n#: #\r\nreferer: http://a/#b\r\nc#: d\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 6\r\n\r\nGET /#",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n6;#=#\r\nGET /#\r\n0;#\r\nx: #\r\n\r\n",
        ] {
            assert_found(text, &[false]);
        }
    }

    #[test]
    fn the_request_after_a_body_begins_where_that_ends() {
        for body in [
            "Content-Length:0\r\n\r\n",
            "CONTENT-LENGTH: \t17 \r\n\r\n#et / HTTP/1.1\r\n\r\n",
            "content-length: 2\r\ncontent-length: 2\r\n\r\n#\n",
            "content-lengths: 9\r\ncontent: 9\r\nt: 9\r\ntransfer: chunked\r\n\r\n",
            "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n1\r\n#\r\n00A \t;a=#\r\n#\r\n\r\n0\r\n\r\n\r\n0\r\n\n#\r\nb\n: #\r\n\r\n",
            // hyper follows the coding, whichever comes first.
            "content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n1\r\n#\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n1\r\n#\r\n0\r\n\r\n",
        ] {
            let first = format!("POST /a HTTP/1.1\r\nhost: #\r\n{body}");
            assert_found(
                &format!("{first}{PLAIN}{first}{FRAGMENT}"),
                &[false, false, false, true],
            );
        }
    }

    #[test]
    fn a_size_without_end_is_no_panic() {
        let size = "f".repeat(40);
        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_found(&format!("{head}{size}\r\n#"), &[false]);
        let length = "9".repeat(40);
        assert_found(
            &format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n#"),
            &[false],
        );
    }
}
