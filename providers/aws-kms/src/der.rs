//! ECDSA signatures from KMS's DER (RFC 3279 §2.2.3) to the form of a JWS (RFC 7518 §3.4): R and S, each as long as the
//! field.

/// R and S behind each other, each of `len` octets. `None` for anything that is not the one DER encoding of a signature.
pub(crate) fn to_jose(der: &[u8], len: usize) -> Option<Vec<u8>> {
    let (body, rest) = element(der, 0x30)?;
    let (r, body) = element(body, 0x02)?;
    let (s, end) = element(body, 0x02)?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    let mut jose = Vec::with_capacity(2 * len);
    for integer in [r, s] {
        let magnitude = magnitude(integer)?;
        let padding = len.checked_sub(magnitude.len())?;
        jose.resize(jose.len() + padding, 0);
        jose.extend_from_slice(magnitude);
    }
    Some(jose)
}

/// The content of the element of this tag at the front, and what follows it. Lengths below 256 are all there is: a
/// signature on P-521 takes 139 octets.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, der) = der.split_first()?;
    let (first, der) = der.split_first()?;
    let (len, der) = match first {
        0..=0x7f => (usize::from(*first), der),
        0x81 => {
            let (len, der) = der.split_first()?;
            (*len >= 0x80).then_some((usize::from(*len), der))?
        }
        _ => return None,
    };
    (*found == tag && len <= der.len()).then(|| der.split_at(len))
}

/// A positive INTEGER without the octet that keeps it positive.
fn magnitude(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        // Zero is no part of a signature.
        [] | [0] => None,
        [0, next, ..] if *next < 0x80 => None,
        [0, rest @ ..] => Some(rest),
        [first, ..] if *first >= 0x80 => None,
        whole => Some(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for part in [r, s] {
            body.extend([0x02, u8::try_from(part.len()).expect("short")]);
            body.extend_from_slice(part);
        }
        let mut der = vec![0x30];
        if body.len() >= 0x80 {
            der.push(0x81);
        }
        der.push(u8::try_from(body.len()).expect("short"));
        der.extend(body);
        der
    }

    #[test]
    fn short_numbers_are_padded_and_the_sign_octet_goes() {
        assert_eq!(
            to_jose(&der(&[1], &[0, 0xff]), 4),
            Some(vec![0, 0, 0, 1, 0, 0, 0, 0xff])
        );
        let long = [&[0], [0x80; 66].as_slice()].concat();
        assert_eq!(
            to_jose(&der(&long, &long), 66).map(|jose| jose.len()),
            Some(132),
            "the long form of a length"
        );
    }

    #[test]
    fn anything_but_the_one_encoding_is_refused() {
        let good = der(&[1, 2], &[3, 4]);
        assert!(to_jose(&good, 2).is_some());
        for end in 0..good.len() {
            assert_eq!(to_jose(&good[..end], 2), None, "cut at {end}");
        }
        let trailing = [good.as_slice(), &[0]].concat();
        let mut inner = der(&[1, 2], &[3, 4]);
        inner[1] += 2;
        inner.extend([5, 0]);
        let long_length = [&[0x30, 0x81, 8][..], &good[2..]].concat();
        for bad in [
            trailing,
            inner,
            long_length,
            der(&[0, 1], &[2]),
            der(&[0], &[2]),
            der(&[], &[2]),
            der(&[0x80], &[2]),
            der(&[1, 2, 3], &[2]),
            [&[0x31], &good[1..]].concat(),
        ] {
            assert_eq!(to_jose(&bad, 2), None, "{bad:?}");
        }
    }
}
