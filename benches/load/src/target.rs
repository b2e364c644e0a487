//! The target of the requests: `http://host:port/path` over TCP, or the path of a socket and
//! `/path` over a Unix socket.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::error::LoadError;

/// A server, and how to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    socket: Option<PathBuf>,
    /// Authority and path. HTTP/2 sends both; HTTP/1.1 sends the path and a `Host` header.
    pub uri: Uri,
    pub authority: Authority,
}

impl Target {
    /// Parses the URL. With `socket`, connections go to the socket and the URL's authority is only sent.
    pub(crate) fn parse(url: &str, socket: Option<PathBuf>) -> Result<Self, LoadError> {
        let bad = |what: &str| LoadError::Usage(format!("{url}: {what}"));
        let uri: Uri = url.parse().map_err(|_| bad("not a URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad(
                "write http://host:port/path (with --socket: http://localhost/path)",
            ));
        }
        let authority = uri.authority().cloned().ok_or_else(|| bad("no host"))?;
        if socket.is_none() && authority.port_u16().is_none() {
            return Err(bad("no port"));
        }
        Ok(Self { socket, uri, authority })
    }

    /// Opens one connection.
    pub(crate) async fn connect(&self) -> Result<Stream, LoadError> {
        let failed = |source| LoadError::Connect {
            target: self.to_string(),
            source,
        };
        if let Some(path) = &self.socket {
            return UnixStream::connect(path).await.map(Stream::Unix).map_err(failed);
        }
        let stream = TcpStream::connect(self.authority.as_str()).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Stream::Tcp(stream))
    }

    /// The transport: `unix` or `tcp`.
    pub(crate) fn transport(&self) -> &'static str {
        if self.socket.is_some() { "unix" } else { "tcp" }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "{} at {}", self.uri.path(), path.display()),
            None => write!(f, "{}", self.uri),
        }
    }
}

/// A connection of either kind.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_reached_are_refused_with_what_to_write() {
        for (url, what) in [
            ("https://localhost:1/x", "http://host:port/path"),
            ("/v1/sign", "http://host:port/path"),
            ("http://localhost/x", "no port"),
        ] {
            let error = Target::parse(url, None).expect_err(url);
            assert!(error.to_string().contains(what), "{url}: {error}");
        }
        assert!(Target::parse("http://localhost/x", Some("/tmp/s".into())).is_ok());
    }
}
