//! A key of the ring document: its JSON form, and the checks before it is used.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use signet_core::jwk::Jwk;
use signet_core::{KeyRecord, KeyState, Kid, Revocation, Terms, Timestamp};

use crate::context::{Context, Purpose};
use crate::damage::Damage;

/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can express.
const LAST_INSTANT: i64 = 253_402_300_799_999;

/// A key with the data that only the store needs.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: KeyRecord,
    pub(crate) terms: Terms,
    /// The encrypted private key. Present exactly while the key may sign.
    pub(crate) wrapped: Option<Vec<u8>>,
}

/// A key in the JSON of the document. The order of the fields is chosen for human readers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryJson {
    kid: Kid,
    alg: String,
    state: KeyState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Revocation>,
    created_at: String,
    created_at_ms: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    predecessor: Option<Kid>,
    terms: Terms,
    public: Jwk,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wrapped: Option<String>,
}

impl Entry {
    pub(crate) fn kid(&self) -> &Kid {
        self.record.kid()
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.record.state == KeyState::Enabled
    }

    /// The context to which the encrypted private key is bound.
    pub(crate) fn context(&self, ring: &str) -> Context {
        Context::new(
            ring,
            Purpose::PrivateKey {
                kid: self.kid().clone(),
                algorithm: self.record.public.algorithm(),
                created_at: self.record.created_at,
                terms: self.terms,
            },
        )
    }

    /// Removes the private key. After that, the key can never sign again.
    pub(crate) fn disable(&mut self) {
        self.record.state = KeyState::Disabled;
        self.wrapped = None;
    }

    pub(crate) fn to_json(&self) -> Result<EntryJson, Damage> {
        Ok(EntryJson {
            kid: self.kid().clone(),
            alg: self.record.public.algorithm().as_str().to_owned(),
            state: self.record.state,
            revoked: self.record.revoked.clone(),
            created_at: rfc3339(self.record.created_at)?,
            created_at_ms: self.record.created_at,
            predecessor: self.record.predecessor.clone(),
            terms: self.terms,
            public: Jwk::from(&self.record.public),
            wrapped: self.wrapped.as_ref().map(|bytes| STANDARD.encode(bytes)),
        })
    }
}

impl TryFrom<EntryJson> for Entry {
    type Error = Damage;

    fn try_from(json: EntryJson) -> Result<Self, Damage> {
        let kid = &json.kid;
        let damage = |what: &str| Damage::new(format!("key {kid}: {what}"));
        let public = json
            .public
            .verifying_key()
            .map_err(|error| damage(&format!("its public key is refused: {error}")))?;
        if public.kid() != kid {
            return Err(damage("its kid is not the thumbprint of its public key"));
        }
        if json.public.kid.as_deref() != Some(kid.as_str()) || json.alg != public.algorithm().as_str() {
            return Err(damage("its kid or algorithm is not that of its public key"));
        }
        if rfc3339(json.created_at_ms)? != json.created_at {
            return Err(damage("its two creation times differ"));
        }
        let wrapped = json
            .wrapped
            .as_deref()
            .map(|text| STANDARD.decode(text))
            .transpose()
            .map_err(|_| damage("its wrapped private key is not base64"))?;
        let may_sign = json.state == KeyState::Enabled;
        if may_sign != wrapped.is_some() || (may_sign && json.revoked.is_some()) {
            return Err(damage(
                "its state, its revocation and its private key contradict each other",
            ));
        }
        Ok(Self {
            record: KeyRecord {
                public,
                created_at: json.created_at_ms,
                sequence: 0,
                predecessor: json.predecessor,
                terms: Some(json.terms),
                state: json.state,
                revoked: json.revoked,
            },
            terms: json.terms,
            wrapped,
        })
    }
}

fn rfc3339(instant: Timestamp) -> Result<String, Damage> {
    let millis = instant.as_millis();
    match u64::try_from(millis) {
        Ok(since_epoch) if millis <= LAST_INSTANT => {
            Ok(humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(since_epoch)).to_string())
        }
        _ => Err(Damage::new(format!(
            "a creation time of {millis} ms is outside the years 1970 to 9999"
        ))),
    }
}
