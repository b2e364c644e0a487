//! Checks the transfer codings of a request (RFC 9112 §6.1): only `chunked` is allowed, and only once.
//!
//! hyper checks only that the last coding is `chunked`, and would pass on a body that is still compressed.

use http::Request;
use http::StatusCode;
use http::header::TRANSFER_ENCODING;

use crate::problem::Problem;

/// Checks the transfer codings of a request.
///
/// # Errors
/// [`Problem`] (501) for any coding other than `chunked`, or for several.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let fields = request.headers().get_all(TRANSFER_ENCODING).iter();
    let mut codings = fields
        .flat_map(|field| field.as_bytes().split(|octet| *octet == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty());
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "unknown_coding",
            "The transfer coding is not supported",
            "only the transfer coding chunked is supported (RFC 9112 §6.1); send the body unencoded, with \
             Content-Length or with Transfer-Encoding: chunked",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_is_the_only_coding_and_stands_there_once() {
        let checked = |fields: &[&str]| {
            let mut request = Request::builder();
            for field in fields {
                request = request.header(TRANSFER_ENCODING, *field);
            }
            check(&request.body(()).expect("a request"))
        };
        for good in [&[][..], &["chunked"], &["Chunked"], &[" chunked ,"]] {
            assert!(checked(good).is_ok(), "{good:?}");
        }
        for bad in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["identity, chunked"],
            &["chunked, chunked"],
            &["chunked;q=1"],
        ] {
            let problem = checked(bad).expect_err("refused");
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (501, "unknown_coding"),
                "{bad:?}"
            );
        }
    }
}
