//! Public keys that look like any other, but whose private half others know, need not know, or can compute.
//!
//! The cryptographic library takes each of them. One that an issuer publishes, by a fault of its tools or of its cards, makes
//! everybody that issuer.

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity as _;
use num_bigint::BigUint;

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Weakness {
    /// The octets are the encoding of no point (RFC 8032 §5.1.3), or not the one encoding of theirs.
    #[error("it is not the canonical encoding of a point of Ed25519 (RFC 8032 §5.1.3)")]
    NoPoint,
    /// The point has a part of small order. Signatures under a point of small order need no private key.
    #[error("its point has a part of small order, so that others can sign for it (RFC 8032 §8.9)")]
    SmallOrder,
    /// The modulus has a factor that anybody finds.
    #[error("its RSA modulus has a small factor (NIST SP 800-89 §5.3.3)")]
    SmallFactor,
    /// The two primes lie so close together that their mean leads to them, or are the same.
    #[error("its RSA modulus has two factors so close together that anybody finds them (CVE-2022-26320)")]
    CloseFactors,
    /// The modulus has the form of those that Infineon's library made.
    #[error("its RSA modulus has the fingerprint of ROCA, so that its factors can be computed (CVE-2017-15361)")]
    Roca,
}

/// Whether these 32 octets are a key that only its owner signs with.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn ed25519(x: &[u8]) -> Result<(), Weakness> {
    let compressed = CompressedEdwardsY::from_slice(x).map_err(|_| Weakness::NoPoint)?;
    let point = compressed.decompress().ok_or(Weakness::NoPoint)?;
    // A coordinate of 2^255 - 19 or more, or a sign of zero: two texts for one key.
    if point.compress() != compressed {
        return Err(Weakness::NoPoint);
    }
    // An honest key is a multiple of the base point, and never the neutral point.
    match point.is_torsion_free() && !point.is_identity() {
        true => Ok(()),
        false => Err(Weakness::SmallOrder),
    }
}

/// All odd primes up to 751, as SP 800-89 wants them tried.
fn primes() -> impl Iterator<Item = u32> {
    (3..=751_u32).step_by(2).filter(|number| {
        (3..)
            .step_by(2)
            .take_while(|factor| factor * factor <= *number)
            .all(|factor| number % factor != 0)
    })
}

/// The primes by which ROCA shows, of those that divide the constant M of that library.
const LAST_OF_ROCA: u32 = 167;

/// Whether this odd modulus, big-endian, has none of the faults that show without factoring it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn rsa(n: &[u8]) -> Result<(), Weakness> {
    let mut is_roca = true;
    for prime in primes() {
        let rest = n.iter().fold(0, |rest, octet| (rest << 8 | u32::from(*octet)) % prime);
        if rest == 0 {
            return Err(Weakness::SmallFactor);
        }
        if is_roca && prime <= LAST_OF_ROCA {
            is_roca = is_power_of_65537(rest, prime);
        }
    }
    // The factors of a modulus of ROCA, and so the modulus, are powers of 65537 modulo each of these primes. Of other moduli
    // one in 2^154 is so too.
    match is_roca {
        true => Err(Weakness::Roca),
        false if has_close_factors(n) => Err(Weakness::CloseFactors),
        false => Ok(()),
    }
}

/// Primes that are closer than FIPS 186-5 A.1.3 wants show at once. All broken keys that were found in the wild show in the
/// first round.
const ROUNDS_OF_FERMAT: u32 = 16;

/// Fermat's method: if n = (a + b)(a - b), then a² - n is a square, and a is just above the root of n if b is small.
fn has_close_factors(n: &[u8]) -> bool {
    let n = BigUint::from_bytes_be(n);
    let root = n.sqrt();
    let ceiling = match &root * &root == n {
        true => return true,
        false => root + 1_u32,
    };
    (0..ROUNDS_OF_FERMAT).any(|round| {
        let a = &ceiling + round;
        let square = &a * &a - &n;
        let b = square.sqrt();
        &b * &b == square
    })
}

fn is_power_of_65537(rest: u32, prime: u32) -> bool {
    let mut power = 1;
    loop {
        if power == rest {
            return true;
        }
        power = power * (65537 % prime) % prime;
        if power == 1 {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primes_are_those_of_the_standard() {
        let primes: Vec<u32> = primes().collect();
        // There are 133 primes up to 751, of which 2 is not odd.
        assert_eq!((primes.len(), primes[0], primes.last()), (132, 3, Some(&751)));
    }
}
