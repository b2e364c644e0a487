//! What requests are answered when the ring, an issuer or the provider is in the way.

use http::StatusCode;
use signet_api::ProviderError;
use signet_base::{Outage, rfc3339};
use signet_core::mint::MintRefusal;
use signet_edge::Problem;
use signet_verify::{NoKeys, NoVerdict};

use crate::kinds::http_status;
use crate::snapshot::NoSigner;

/// No key can sign now.
#[must_use]
pub fn signing_unavailable(none: &NoSigner) -> Problem {
    let since = rfc3339(none.outage.since);
    // The reason may name files and hosts: it is for the log and for /readyz, not for every client.
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "signing_unavailable",
        "No key can sign now",
        format!("no key can sign since {since}; the reason stands in /readyz of the admin listener"),
    )
    .retry_after(5)
}

/// The ring is not open yet.
#[must_use]
pub fn starting() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "starting",
        "The sidecar is starting",
        "the ring is opened and read for the first time; /readyz says since when",
    )
    .retry_after(1)
}

/// This process was stopped for so long that what it knows of the ring may be wrong by now. Reading it is under way.
#[must_use]
pub fn asleep(outage: &Outage) -> Problem {
    let since = rfc3339(outage.since);
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "asleep",
        "The ring must be read first",
        format!("this process did not run since {since}, and reads its ring before it answers; try again in a second"),
    )
    .retry_after(1)
}

/// The keys of a trusted issuer are not known, or too old to be believed. Why stands in the log and in `/readyz`.
#[must_use]
pub fn issuer_unavailable(why: NoKeys) -> Problem {
    let detail = match why {
        NoKeys::Never => "the keys of the token's issuer could not be fetched yet",
        NoKeys::TooOld => "the keys of the token's issuer could not be fetched for too long",
    };
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "issuer_unavailable",
        "The keys of the issuer are not known",
        format!("{detail}, so that nothing can be said of the token; /readyz of the admin listener has the reason"),
    )
    .retry_after(5)
}

/// The provider did not sign. What it said may name accounts and hosts: that is for the log.
#[must_use]
pub fn not_signed(error: &ProviderError) -> Problem {
    let (status, kind) = (http_status(error.kind), error.kind.as_str());
    let detail = format!("{} did not sign ({kind}); the log has more", error.provider);
    if !error.kind.is_transient() {
        return Problem::new(status, "provider_refused", "The provider refused to sign", detail);
    }
    // Whole seconds, rounded up: sooner than asked for would be refused again.
    let wait = error
        .retry_after
        .map_or(0, |span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX));
    Problem::new(status, "provider_unavailable", "The provider does not sign now", detail)
        .retry_after(wait.saturating_add(1))
}

/// The claims, or what was asked for with them, cannot be signed.
#[must_use]
pub fn not_minted(refusal: MintRefusal) -> Problem {
    Problem::request(refusal.code(), refusal.to_string())
}

/// Nothing can be said of a token.
#[must_use]
pub fn undecided(why: NoVerdict) -> Problem {
    match why {
        NoVerdict::NoAudience => Problem::request(
            "audience_required",
            "name the audience that the token must be for, or set SIGNET_AUDIENCE (RFC 8725 §3.9)",
        ),
        NoVerdict::NoKeys(why) => issuer_unavailable(why),
    }
}
