//! Why a backend gave no usable answer, with the texts for the client and for the log.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::plan::template::NoUrl;
use crate::redirect;
use crate::room::NoMemory;
use crate::telemetry::series::Reason;
use crate::tree::Unfit;
use crate::upstream::Unreached;

/// The maximum size in bytes of an answer that is not streamed.
pub const LONGEST: usize = 8 * 1024 * 1024;

/// Why a backend gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The status is not 200, 201 or 204.
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// The body, if it is shown.
        body: Bytes,
        /// The type of the body.
        content_type: Option<HeaderValue>,
    },
    /// The backend did not answer in time.
    Late,
    /// The backend cannot be reached. The text is for the log.
    Unreachable(String),
    /// The answer was aborted. The text is for the log.
    Broken(String),
    /// The answer has another form than the file requires.
    Unfit(Unfit),
    /// The answer is coded in a way that is not decoded here.
    Compressed,
    /// The answer is too long.
    TooLong,
    /// There is no memory for the answer now.
    NoRoom,
    /// There were too many redirects.
    Redirects,
    /// The backend was not called, because these values give no URL.
    NoUrl(NoUrl),
}

/// The text for the client. It names no internal host or URL.
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, .. } => write!(f, "a backend answered {}", status.as_u16()),
            Self::Late => f.write_str("a backend did not answer in time"),
            Self::Unreachable(_) => f.write_str("a backend cannot be reached"),
            Self::Broken(_) => f.write_str("a backend aborted its response"),
            Self::Unfit(unfit) => write!(f, "a backend's response cannot be used: {unfit}"),
            Self::Compressed => f.write_str("a backend's response cannot be used: it is compressed, and not by gzip"),
            Self::TooLong => write!(f, "a backend's response is longer than {} MiB", LONGEST / 1024 / 1024),
            Self::Redirects => write!(f, "a backend redirected more than {} times", redirect::MOST),
            Self::NoRoom => f.write_str("too many long responses are being processed"),
            Self::NoUrl(_) => {
                f.write_str("a backend was not called: a value for its URL is missing or not valid in a URL")
            }
        }
    }
}

impl Failed {
    /// The reason in the metrics.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Status { .. } => Reason::Status,
            Self::Late => Reason::Timeout,
            Self::Unreachable(_) => Reason::Connect,
            Self::Broken(_) => Reason::Broken,
            Self::Unfit(_) | Self::Compressed | Self::Redirects => Reason::Unusable,
            Self::TooLong | Self::NoRoom => Reason::TooLong,
            Self::NoUrl(_) => Reason::NoUrl,
        }
    }

    /// The cause, only for the log.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Unreachable(why) | Self::Broken(why) => why,
            _ => "",
        }
    }
}

impl From<NoMemory> for Failed {
    fn from(_: NoMemory) -> Self {
        Self::NoRoom
    }
}

impl From<Unfit> for Failed {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NoMemory(_) => Self::NoRoom,
            unfit => Self::Unfit(unfit),
        }
    }
}

impl From<Unreached> for Failed {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Connect(why) => Self::Unreachable(why),
            Unreached::Broken(why) => Self::Broken(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_is_told_names_no_host() {
        let failed = Failed::Unreachable("tcp connect error: http://inside:8080".to_owned());
        assert_eq!(failed.to_string(), "a backend cannot be reached");
        assert!(failed.detail().contains("inside"));
    }
}
