//! Reads messages of HTTP/1.1 as they are on the wire.

use std::io::BufRead;

/// The first value of a header.
pub(crate) fn first<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(at, _)| at == name)
        .map(|(_, value)| value.as_str())
}

/// The first line of a message, and its headers with names in lower case.
pub(crate) fn head(stream: &mut impl BufRead) -> std::io::Result<(String, Vec<(String, String)>)> {
    let first = line(stream)?;
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            return Ok((first, headers));
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn line(stream: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The body of a message, up to its stated length, its last chunk, or the end of the connection.
pub(crate) fn body(
    stream: &mut impl BufRead,
    headers: &[(String, String)],
    to_the_end: bool,
) -> std::io::Result<Vec<u8>> {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(at, _)| at == name)
            .map(|(_, value)| value.as_str())
    };
    let mut body = Vec::new();
    if header("transfer-encoding").is_some() {
        loop {
            let length = usize::from_str_radix(&line(stream)?, 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; length];
            stream.read_exact(&mut chunk)?;
            line(stream)?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }
    match header("content-length") {
        Some(length) => {
            body.resize(length.parse().map_err(std::io::Error::other)?, 0);
            stream.read_exact(&mut body)?;
        }
        None if to_the_end => drop(stream.read_to_end(&mut body)?),
        None => {}
    }
    Ok(body)
}
