//! Sentences for the details of conditions.

use signet_core::{Lapse, Timestamp};

use signet_base::rfc3339;

/// Says that an issuer's keys come from disk, if this process has fetched none.
pub(super) fn from_disk(kept: Option<Timestamp>) -> String {
    kept.map_or_else(String::new, |fetched_at| {
        format!(", which were read from disk and fetched at {},", rfc3339(fetched_at))
    })
}

/// Says why another key may soon sign elsewhere.
pub(super) fn put_off(lapse: Option<Lapse>) -> String {
    match lapse {
        None => String::new(),
        Some(Lapse { to: None, .. }) => {
            "; a new key starts to sign only after the ring was read again, because other replicas may not have it"
                .to_owned()
        }
        Some(Lapse { from, to: Some(to) }) => format!(
            "; the ring was not read from {} to {}, so a key that other replicas may not have yet starts to sign \
             later here",
            rfc3339(from),
            rfc3339(to)
        ),
    }
}
