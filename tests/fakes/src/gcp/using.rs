//! Uses of keys: signing, encrypting, decrypting.

use serde_json::json;

use super::cipher::LONGEST;
use super::keys::{Answer, key};
use super::state::State;
use super::versions::parted;
use super::wire::{Problem, base64, body, crc, octets, only, symbol, verified};
use crate::server::Request;

pub(crate) fn sign(state: &State, request: &Request, name: &str) -> Answer {
    let sent = body(request, &["name", "digest", "digestCrc32c", "data", "dataCrc32c"])?;
    let (key_name, number) = parted(name);
    let missing = || Problem::not_found(&format!("CryptoKeyVersion {name}"));
    let key = state.keys.get(key_name).ok_or_else(missing)?;
    let version = key
        .versions
        .iter()
        .find(|version| Some(version.number) == number)
        .ok_or_else(missing)?;
    let lagging = state.disabling_lags && version.state == "DISABLED";
    if version.state != "ENABLED" && !lagging {
        return Err(Problem::state(name, version.state));
    }
    let algorithm = version.algorithm;
    let (signature, flag, whole) = if sent["digest"].is_object() {
        let hash = if algorithm.ends_with("SHA512") {
            "sha512"
        } else if algorithm.ends_with("SHA384") {
            "sha384"
        } else {
            "sha256"
        };
        only(&sent["digest"], &[hash])
            .map_err(|_| Problem::invalid(&format!("The digest must be {hash} for {algorithm}.")))?;
        let digest = octets(&sent["digest"][hash])?;
        let whole = verified(&sent["digestCrc32c"], &digest, "digest_crc32c")?;
        (version.material.sign(algorithm, &digest), "verifiedDigestCrc32c", whole)
    } else {
        let data = octets(&sent["data"])?;
        if data.len() > LONGEST {
            return Err(Problem::invalid("data must be at most 65536 bytes."));
        }
        let whole = verified(&sent["dataCrc32c"], &data, "data_crc32c")?;
        (
            version.material.sign_data(algorithm, &data),
            "verifiedDataCrc32c",
            whole,
        )
    };
    let signature = signature.ok_or_else(|| Problem::invalid(&format!("The request is not valid for {algorithm}.")))?;
    let mut answer = json!({
        "signature": base64(&signature),
        "signatureCrc32c": crc(&signature),
        "name": name,
        "protectionLevel": symbol(request, version.protection),
    });
    if whole {
        answer[flag] = json!(true);
    }
    Ok(answer)
}

pub(crate) fn encrypt(state: &State, request: &Request, name: &str) -> Answer {
    let fields = [
        "name",
        "plaintext",
        "plaintextCrc32c",
        "additionalAuthenticatedData",
        "additionalAuthenticatedDataCrc32c",
    ];
    let sent = body(request, &fields)?;
    let version = key(state, name)?.versions.last();
    let version = version.ok_or_else(|| Problem::new(400, "FAILED_PRECONDITION", "The key has no primary version."))?;
    let full = format!("{name}/cryptoKeyVersions/{}", version.number);
    if version.state != "ENABLED" {
        return Err(Problem::state(&full, version.state));
    }
    let (plaintext, aad) = (
        octets(&sent["plaintext"])?,
        octets(&sent["additionalAuthenticatedData"])?,
    );
    if plaintext.len() > LONGEST || aad.len() > LONGEST {
        return Err(Problem::invalid(
            "plaintext and additional_authenticated_data must be at most 65536 bytes each.",
        ));
    }
    let whole = verified(&sent["plaintextCrc32c"], &plaintext, "plaintext_crc32c")?;
    let aad_whole = verified(
        &sent["additionalAuthenticatedDataCrc32c"],
        &aad,
        "additional_authenticated_data_crc32c",
    )?;
    let sealed = version.material.encrypt(&plaintext, &aad);
    let sealed =
        sealed.ok_or_else(|| Problem::new(400, "FAILED_PRECONDITION", "The key's purpose is not ENCRYPT_DECRYPT."))?;
    let mut framed = version.number.to_be_bytes().to_vec();
    framed.extend(sealed);
    let mut answer = json!({
        "name": full,
        "ciphertext": base64(&framed),
        "ciphertextCrc32c": crc(&framed),
        "protectionLevel": symbol(request, version.protection),
    });
    for (flag, whole) in [
        ("verifiedPlaintextCrc32c", whole),
        ("verifiedAdditionalAuthenticatedDataCrc32c", aad_whole),
    ] {
        if whole {
            answer[flag] = json!(true);
        }
    }
    Ok(answer)
}

pub(crate) fn decrypt(state: &State, request: &Request, name: &str) -> Answer {
    let fields = [
        "name",
        "ciphertext",
        "ciphertextCrc32c",
        "additionalAuthenticatedData",
        "additionalAuthenticatedDataCrc32c",
    ];
    let sent = body(request, &fields)?;
    let (framed, aad) = (
        octets(&sent["ciphertext"])?,
        octets(&sent["additionalAuthenticatedData"])?,
    );
    verified(&sent["ciphertextCrc32c"], &framed, "ciphertext_crc32c")?;
    verified(
        &sent["additionalAuthenticatedDataCrc32c"],
        &aad,
        "additional_authenticated_data_crc32c",
    )?;
    let versions = &key(state, name)?.versions;
    let wrong = || Problem::invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.");
    let (number, sealed) = framed.split_first_chunk::<8>().ok_or_else(wrong)?;
    let number = u64::from_be_bytes(*number);
    let version = versions
        .iter()
        .find(|version| version.number == number)
        .ok_or_else(wrong)?;
    if version.state != "ENABLED" {
        return Err(Problem::state(
            &format!("{name}/cryptoKeyVersions/{number}"),
            version.state,
        ));
    }
    let plaintext = version.material.decrypt(sealed, &aad).ok_or_else(wrong)?;
    let mut answer = json!({
        "plaintextCrc32c": crc(&plaintext),
        "usedPrimary": versions.last().is_some_and(|last| last.number == number),
        "protectionLevel": symbol(request, version.protection),
    });
    if !plaintext.is_empty() {
        answer["plaintext"] = base64(&plaintext);
    }
    Ok(answer)
}
