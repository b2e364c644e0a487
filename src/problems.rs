//! Problem documents for requests that fail because of the ring, an issuer or the provider.

use http::StatusCode;
use signet_api::ProviderError;
use signet_base::{Outage, rfc3339};
use signet_core::mint::MintRefusal;
use signet_edge::Problem;
use signet_verify::{NoKeys, NoVerdict};

use crate::error_kinds::http_status;
use crate::snapshot::NoSigner;

/// No key can sign now (503).
#[must_use]
pub fn signing_unavailable(none: &NoSigner) -> Problem {
    let since = rfc3339(none.outage.since);
    // The reason may name files and hosts. It belongs in the log and in /readyz, and clients must not see it.
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "signing_unavailable",
        "No key can sign now",
        format!("no key can sign since {since}; /readyz on the admin listener says why"),
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
        "the ring is being read for the first time; try again in a second. /readyz on the admin listener says since \
         when",
    )
    .retry_after(1)
}

/// This process was stopped for so long that what it knows of the ring may be wrong. It is reading the ring now.
#[must_use]
pub fn asleep(outage: &Outage) -> Problem {
    let since = rfc3339(outage.since);
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "asleep",
        "The sidecar is reading the ring",
        format!(
            "this process was suspended from {since} on, so it reads its ring before it answers; try again in a \
             second"
        ),
    )
    .retry_after(1)
}

/// The keys of a trusted issuer are unknown or too old. The reason is in the log and in `/readyz`.
#[must_use]
pub fn issuer_unavailable(why: NoKeys) -> Problem {
    let detail = match why {
        NoKeys::Never => "the keys of the token's issuer were never fetched",
        NoKeys::TooOld => "the last keys of the token's issuer are older than max_stale",
    };
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "issuer_unavailable",
        "The keys of the issuer are not available",
        format!("{detail}, so the token cannot be verified; /readyz on the admin listener says why"),
    )
    .retry_after(5)
}

/// The provider did not sign. Its answer may name accounts and hosts, so it is only logged.
#[must_use]
pub fn not_signed(error: &ProviderError) -> Problem {
    let (status, kind) = (http_status(error.kind), error.kind.as_str());
    let detail = format!("{} did not sign ({kind}); the log has the reason", error.provider);
    if !error.kind.is_transient() {
        return Problem::new(status, "provider_refused", "The provider refused to sign", detail);
    }
    // Whole seconds, rounded up, because an earlier request would be refused again.
    let wait = error
        .retry_after
        .map_or(0, |span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX));
    Problem::new(status, "provider_unavailable", "The provider cannot sign now", detail)
        .retry_after(wait.saturating_add(1))
}

/// The claims, or other parts of the request, cannot be signed.
#[must_use]
pub fn not_minted(refusal: MintRefusal) -> Problem {
    Problem::request(refusal.code(), refusal.to_string())
}

/// The token cannot be judged.
#[must_use]
pub fn undecided(why: NoVerdict) -> Problem {
    match why {
        NoVerdict::NoAudience => Problem::request(
            "audience_required",
            "the request names no audience; name the one that the token must have, or set SIGNET_AUDIENCE (RFC 8725 \
             §3.9)",
        ),
        NoVerdict::NoKeys(why) => issuer_unavailable(why),
    }
}
