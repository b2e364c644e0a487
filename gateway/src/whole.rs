//! Reads the whole answer of a backend into memory, within a bound, and decodes gzip on the way.
//!
//! The bound counts what comes out of the decoder, so a small answer that expands to a huge one is given up in time.

use std::io::{self, Write as _};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::failed::Failed;
use crate::room::Room;
use crate::upstream::UpstreamBody;

/// How an answer is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// The answer is not coded.
    Identity,
    /// The answer is compressed by gzip.
    Gzip,
    /// The answer cannot be decoded here.
    Other,
}

impl Coding {
    /// The coding of an answer with these headers (RFC 9110 §8.4).
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut fields = headers.get_all(CONTENT_ENCODING).iter();
        let (first, second) = (fields.next(), fields.next());
        let is = |name: &[u8]| first.is_some_and(|field| field.as_bytes().trim_ascii().eq_ignore_ascii_case(name));
        match second {
            Some(_) => Self::Other,
            None if first.is_none() || is(b"identity") || is(b"") => Self::Identity,
            None if is(b"gzip") || is(b"x-gzip") => Self::Gzip,
            None => Self::Other,
        }
    }
}

/// Reads a body.
///
/// # Errors
/// [`Failed`], if the body is broken, cannot be decoded, is longer than `limit`, or if there is no memory for it.
pub async fn read(mut body: UpstreamBody, coding: Coding, limit: usize) -> Result<(Bytes, Room), Failed> {
    if coding == Coding::Other {
        return Err(Failed::Compressed);
    }
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(Failed::TooLong);
    }
    let mut sink = Sink::new(limit);
    let mut received = 0_usize;
    // The usual answer is one piece, which is not copied.
    let mut first = Bytes::new();
    let mut decoder = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failed::Broken(signet_base::chain(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        received = received.saturating_add(data.len());
        // Parts of gzip that are empty when decoded could arrive for ever.
        if received > limit {
            return Err(Failed::TooLong);
        }
        match coding {
            Coding::Gzip => {
                let decoder = decoder.get_or_insert_with(|| MultiGzDecoder::new(Sink::new(limit)));
                if let Err(error) = decoder.write_all(&data) {
                    return Err(undecodable(decoder.get_mut(), &error));
                }
            }
            _ if received == data.len() => {
                sink.room.grow(data.len())?;
                first = data;
            }
            _ => {
                if sink.octets.is_empty() {
                    sink.octets.extend_from_slice(&first);
                }
                sink.take(&data)?;
            }
        }
    }
    if let Some(mut decoder) = decoder {
        if let Err(error) = decoder.try_finish() {
            return Err(undecodable(decoder.get_mut(), &error));
        }
        sink = std::mem::replace(decoder.get_mut(), Sink::new(0));
    }
    match sink.octets.is_empty() {
        true => Ok((first, sink.room)),
        false => Ok((sink.octets.freeze(), sink.room)),
    }
}

fn undecodable(sink: &mut Sink, error: &io::Error) -> Failed {
    let full = sink.failed.take();
    full.unwrap_or_else(|| Failed::Broken(format!("the answer is no gzip: {error}")))
}

/// The bytes so far.
#[derive(Debug)]
struct Sink {
    octets: BytesMut,
    limit: usize,
    room: Room,
    failed: Option<Failed>,
}

impl Sink {
    fn new(limit: usize) -> Self {
        Self {
            octets: BytesMut::new(),
            limit,
            room: Room::default(),
            failed: None,
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Failed> {
        if self.octets.len() + data.len() > self.limit {
            return Err(Failed::TooLong);
        }
        self.room.grow(data.len())?;
        self.octets.extend_from_slice(data);
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.take(data) {
            Ok(()) => Ok(data.len()),
            Err(failed) => {
                self.failed = Some(failed);
                Err(io::ErrorKind::FileTooLarge.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_coding_by_gzip_is_decoded() {
        for (fields, coding) in [
            (&[][..], Coding::Identity),
            (&["identity"], Coding::Identity),
            (&["GZip"], Coding::Gzip),
            (&["x-gzip"], Coding::Gzip),
            (&["br"], Coding::Other),
            (&["gzip, gzip"], Coding::Other),
            (&["gzip", "gzip"], Coding::Other),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(field));
            }
            assert_eq!(Coding::of(&headers), coding, "{fields:?}");
        }
    }
}
