//! The four listeners, with connections on which a test can send anything.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::http::{Connection, Duplex};
use crate::harness::{Home, Sidecar, Spec};
use crate::tls;

/// If a client cannot write for this time, the other side has stopped reading.
const DEAF: Duration = Duration::from_millis(300);

/// A sidecar that may open more files than the tests need, and logs little.
pub(crate) struct Target {
    pub(crate) sidecar: Sidecar,
    certificate: Option<CertificateDer<'static>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Public,
    Tls,
    Admin,
    Socket,
}

pub(crate) const LISTENERS: [Listener; 4] = [Listener::Public, Listener::Tls, Listener::Admin, Listener::Socket];

impl Listener {
    pub(crate) fn target(self) -> Target {
        self.target_with(&[])
    }

    pub(crate) fn target_with(self, settings: &[(&str, &str)]) -> Target {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut files = getrlimit(Resource::Nofile);
        files.current = files.maximum;
        setrlimit(Resource::Nofile, files).expect("more files");
        let home = Home::new();
        let (spec, certificate) = match self {
            Self::Tls => {
                let certificate = tls::issue(&home);
                (tls::with_tls(&home), Some(certificate))
            }
            _ => (Spec::new(&home), None),
        };
        let sidecar = spec.set("SIGNET_LOG", "info").set_all(settings).start();
        Target { sidecar, certificate }
    }

    /// A path with a long answer that needs no permission.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Public | Self::Tls => "/.well-known/jwks.json",
            Self::Admin => "/metrics",
            Self::Socket => "/v1/ring",
        }
    }

    /// A connection on which nothing was sent, not even the start of TLS.
    pub(crate) fn open_silent(self, target: &Target) -> Box<dyn Duplex> {
        match self {
            Self::Tls => Self::Public.open(target),
            _ => self.open(target),
        }
    }

    /// A connection whose writes fail if the other side reads nothing for a while.
    pub(crate) fn open(self, target: &Target) -> Box<dyn Duplex> {
        let spec = target.sidecar.spec();
        match self {
            Self::Socket => {
                let stream = UnixStream::connect(spec.socket_path()).expect("connected");
                stream.set_write_timeout(Some(DEAF)).expect("a limit");
                Box::new(stream)
            }
            Self::Public => Box::new(tcp(spec.listen())),
            Self::Admin => Box::new(tcp(spec.admin_listen())),
            Self::Tls => {
                let mut roots = RootCertStore::empty();
                roots.add(target.certificate.clone().expect("TLS")).expect("a root");
                let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                    .with_safe_default_protocol_versions()
                    .expect("versions")
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                let name = ServerName::try_from(tls::NAME).expect("a name");
                let client = ClientConnection::new(Arc::new(config), name).expect("a client");
                Box::new(StreamOwned::new(client, tcp(spec.listen())))
            }
        }
    }
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_write_timeout(Some(DEAF)).expect("a limit");
    stream
}

impl Target {
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.sidecar.pid())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a line");
        let number = line.split_whitespace().nth(1).expect("a number");
        number.parse().expect("a number")
    }

    /// A connection to this listener, for requests.
    pub(crate) fn connect(&self, listener: Listener) -> Connection {
        Connection::over(listener.open(self)).expect("connected")
    }
}
