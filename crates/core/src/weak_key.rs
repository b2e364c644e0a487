//! Detection of weak public keys: others know the private half, can compute it, or do not need it to sign.
//!
//! The cryptographic library accepts all of them. If an issuer publishes one, because of a faulty tool or smart card,
//! anybody can sign as that issuer.

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity as _;
use num_bigint::BigUint;

/// Why a public key is too weak to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Weakness {
    /// The bytes are not a point (RFC 8032 §5.1.3), or not the canonical encoding of one.
    #[error("it is not the canonical encoding of an Ed25519 point (RFC 8032 §5.1.3)")]
    NoPoint,
    /// The point has a component of small order. With a point of small order, anybody can sign.
    #[error("its point has a small-order component, so others can sign for it (RFC 8032 §8.9)")]
    SmallOrder,
    /// The modulus has a factor that is easy to find.
    #[error("its RSA modulus has a small factor (NIST SP 800-89 §5.3.3)")]
    SmallFactor,
    /// The two primes are equal, or so close that Fermat's method finds them.
    #[error("the two factors of its RSA modulus are so close that anybody can find them (CVE-2022-26320)")]
    CloseFactors,
    /// The modulus is a prime, so the private exponent follows from the public one.
    #[error("its RSA modulus is a prime, so that anybody computes its private key (NIST SP 800-89 §5.3.3)")]
    Prime,
    /// The modulus is a power of a smaller number.
    #[error("its RSA modulus is a power of a smaller number (NIST SP 800-89 §5.3.3)")]
    Power,
    /// The modulus has the structure of Infineon's RSA library (ROCA, CVE-2017-15361).
    #[error("its RSA modulus was made by a faulty generator (ROCA), so its factors can be computed (CVE-2017-15361)")]
    Roca,
    /// The issuer published so many new RSA keys at once that this one was not examined. It is examined the next time.
    #[error("the issuer published too many new RSA keys at once, so it was not examined yet")]
    NotJudged,
}

/// Checks that these 32 bytes are an Ed25519 key with which only its owner can sign.
///
/// # Errors
/// The [`Weakness`] of the key.
pub(crate) fn ed25519(x: &[u8]) -> Result<(), Weakness> {
    let compressed = CompressedEdwardsY::from_slice(x).map_err(|_| Weakness::NoPoint)?;
    let point = compressed.decompress().ok_or(Weakness::NoPoint)?;
    // A coordinate of 2^255 − 19 or more, or a sign bit on zero, would be a second encoding of the same key.
    if point.compress() != compressed {
        return Err(Weakness::NoPoint);
    }
    // An honest key is a multiple of the base point and is not the identity.
    match point.is_torsion_free() && !point.is_identity() {
        true => Ok(()),
        false => Err(Weakness::SmallOrder),
    }
}

/// All odd primes up to 751, the trial divisors of NIST SP 800-89.
fn primes() -> impl Iterator<Item = u32> {
    (3..=751_u32).step_by(2).filter(|number| {
        (3..)
            .step_by(2)
            .take_while(|factor| factor * factor <= *number)
            .all(|factor| number % factor != 0)
    })
}

/// The largest prime of the ROCA test. All primes up to it divide the constant M of Infineon's library.
const LAST_OF_ROCA: u32 = 167;

/// Checks an odd big-endian modulus for the weaknesses that can be found without factoring it.
///
/// # Errors
/// The [`Weakness`] of the key.
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
    // A ROCA modulus is a power of 65537 modulo each of these primes, because its factors are. Of other moduli, one
    // in 2^154 has this property.
    match is_roca {
        true => Err(Weakness::Roca),
        false if has_close_factors(n) => Err(Weakness::CloseFactors),
        false => Ok(()),
    }
}

/// How many rounds of Fermat's method to run. Primes closer than FIPS 186-5 A.1.3 allows are found at once; all broken
/// keys found in practice fall in the first round.
const ROUNDS_OF_FERMAT: u32 = 16;

/// Fermat's method: if n = (a + b)(a − b), then a² − n is a square. If b is small, a is just
/// above the square root of n.
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
