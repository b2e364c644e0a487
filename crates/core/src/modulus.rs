//! Detects RSA moduli that look normal but that anybody can factor: those with a small factor, primes, and powers.
//!
//! The test for a prime computes a modular power, which takes milliseconds. Each key of an issuer is therefore judged
//! once, and [`Judged`] keeps the verdict as long as the issuer publishes the key.

use std::collections::HashMap;
use std::sync::LazyLock;

use num_bigint::BigUint;

use crate::weak_key::Weakness;

/// The largest factor to look for. It is also the usual public exponent, which a faulty tool may use as a factor.
const LARGEST_FACTOR: u32 = 65_537;

/// The number of rounds of the quick test. Of the numbers that are no k-th power, each round lets one in k pass. A
/// number that passes all rounds is examined closely.
const WITNESSES: usize = 8;

/// How much work one reading of an issuer's keys may cause, in [`work`]: 8 new moduli of 8192 bits, or 64 of 4096, which take
/// seconds. Without a limit, an issuer with 256 new keys at each reading would keep a processor busy.
const MOST_WORK: usize = 4096;

/// The odd primes up to [`LARGEST_FACTOR`].
static PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut is_composite = vec![false; LARGEST_FACTOR as usize + 1];
    let mut primes = Vec::new();
    for number in (3..=LARGEST_FACTOR).step_by(2) {
        if is_composite[number as usize] {
            continue;
        }
        primes.push(number);
        let square = number.saturating_mul(number);
        (square..=LARGEST_FACTOR)
            .step_by(2 * number as usize)
            .for_each(|multiple| is_composite[multiple as usize] = true);
    }
    primes
});

/// The verdicts on the RSA moduli that an issuer published last.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    verdicts: HashMap<Vec<u8>, Result<(), Weakness>>,
    /// The [`work`] for the verdicts that no earlier reading gave.
    spent: usize,
}

impl Judged {
    /// Records a modulus, big-endian, as good, because it was judged before.
    pub(crate) fn is_good(&mut self, n: &[u8]) {
        self.verdicts.insert(n.to_vec(), Ok(()));
    }

    /// The verdict on a modulus, which is big-endian and odd: that of `before`, or a new one.
    ///
    /// # Errors
    /// The weakness of the modulus, or [`Weakness::NotJudged`] if this reading has already caused [`MOST_WORK`]. The latter is
    /// not kept, so the next reading judges the modulus.
    pub(crate) fn judge(&mut self, n: &[u8], before: &Self) -> Result<(), Weakness> {
        let known = self.verdicts.get(n).or_else(|| before.verdicts.get(n)).copied();
        let verdict = match known {
            Some(verdict) => verdict,
            None if self.spent + work(n) > MOST_WORK => return Err(Weakness::NotJudged),
            None => {
                self.spent += work(n);
                judge(n)
            }
        };
        self.verdicts.insert(n.to_vec(), verdict);
        verdict
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.verdicts.len()
    }
}

/// The cost of a judgement, which grows with the cube of the length: 1 for 1024 bits.
fn work(n: &[u8]) -> usize {
    n.len().div_ceil(128).pow(3)
}

/// Judges a modulus, big-endian and odd.
fn judge(n: &[u8]) -> Result<(), Weakness> {
    let n = BigUint::from_bytes_be(n);
    let rests = rests(&n);
    if rests.contains(&0) {
        return Err(Weakness::SmallFactor);
    }
    match is_power(&n, &rests) {
        true => Err(Weakness::Power),
        false if is_prime(&n) => Err(Weakness::Prime),
        false => Ok(()),
    }
}

/// The remainders of the number after division by each of [`PRIMES`]. Four primes have a product of 64 bits, so the
/// long division is done for four at once.
fn rests(n: &BigUint) -> Vec<u32> {
    let rest_of = |rest: u64, prime: u32| u32::try_from(rest % u64::from(prime)).unwrap_or_default();
    let mut rests = Vec::with_capacity(PRIMES.len());
    for primes in PRIMES.chunks(4) {
        let product: u64 = primes.iter().map(|prime| u64::from(*prime)).product();
        let rest = u64::try_from(n % product).unwrap_or_default();
        rests.extend(primes.iter().map(|prime| rest_of(rest, *prime)));
    }
    rests
}

/// Whether the number, without a factor in [`PRIMES`], is the power of another with an odd exponent. A square has two factors that are
/// the same, and was refused for that.
///
/// If q is a prime with q - 1 = k m, the k-th powers modulo q are the numbers whose m-th power is 1: one in k.
fn is_power(n: &BigUint, rests: &[u32]) -> bool {
    // The root is larger than any of the primes, that is 2^16.
    let highest = u32::try_from(n.bits() / 16).unwrap_or(u32::MAX);
    let exponents = PRIMES.iter().take_while(|exponent| **exponent <= highest);
    exponents.copied().any(|exponent| {
        let has_root = |(prime, rest): (&u32, &u32)| power(*rest, (prime - 1) / exponent, *prime) == 1;
        let witnesses = PRIMES
            .iter()
            .zip(rests)
            .filter(|(prime, _)| (**prime - 1) % exponent == 0);
        witnesses.take(WITNESSES).all(has_root) && n.nth_root(exponent).pow(exponent) == *n
    })
}

/// Fermat's test to base 2. A product of two large primes passes it only with negligible probability.
fn is_prime(n: &BigUint) -> bool {
    let one = BigUint::from(1_u32);
    BigUint::from(2_u32).modpow(&(n - &one), n) == one
}

fn power(base: u32, mut exponent: u32, modulus: u32) -> u32 {
    let modulus = u64::from(modulus);
    let (mut base, mut power) = (u64::from(base), 1);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power * base % modulus;
        }
        base = base * base % modulus;
        exponent /= 2;
    }
    u32::try_from(power).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2^exponent - 1, which is a prime for these exponents: 521, 607, 1279, 2203, 3217.
    fn mersenne(exponent: u32) -> BigUint {
        (BigUint::from(1_u32) << exponent) - 1_u32
    }

    fn verdict(n: &BigUint) -> Result<(), Weakness> {
        judge(&n.to_bytes_be())
    }

    #[test]
    fn the_primes_are_all_odd_ones_up_to_the_usual_exponent() {
        // There are 6542 primes below 2^16, of which 2 is not odd, and the next one is 65537.
        let ends = (PRIMES.len(), PRIMES[0], PRIMES.last());
        assert_eq!(ends, (6542, 3, Some(&LARGEST_FACTOR)));
        let is_prime = |number: u32| {
            let mut factors = (2..).take_while(|factor| factor * factor <= number);
            factors.all(|factor| !number.is_multiple_of(factor))
        };
        assert!(PRIMES.iter().all(|prime| is_prime(*prime)));
    }

    #[test]
    fn a_rest_is_that_of_a_division_by_each_prime() {
        let n = BigUint::from(3_u32).pow(1300) + 2_u32;
        let expected = PRIMES.iter().map(|prime| u32::try_from(&n % *prime).expect("small"));
        assert_eq!(rests(&n), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_modulus_with_a_factor_up_to_the_usual_exponent_is_refused() {
        for factor in [3, 757, 65_521, LARGEST_FACTOR] {
            let n = mersenne(2203) * factor;
            assert_eq!(verdict(&n), Err(Weakness::SmallFactor), "{factor}");
        }
        // The next prime is larger than the factors that are looked for.
        assert_eq!(verdict(&(mersenne(2203) * 65_539_u32)), Ok(()));
    }

    #[test]
    fn a_modulus_that_is_a_prime_is_refused() {
        for exponent in [2203, 3217] {
            assert_eq!(verdict(&mersenne(exponent)), Err(Weakness::Prime), "{exponent}");
        }
        assert_eq!(verdict(&(mersenne(1279) * mersenne(2203))), Ok(()), "two primes");
        assert_eq!(
            verdict(&(mersenne(521) * mersenne(607) * mersenne(1279))),
            Ok(()),
            "three primes (RFC 8017 §3.1)"
        );
    }

    #[test]
    fn a_modulus_that_is_a_power_is_refused_whatever_its_root_is() {
        for (root, exponent) in [
            (mersenne(1279), 3),
            (mersenne(521), 5),
            (mersenne(607), 7),
            (mersenne(521) * mersenne(607), 3),
            (mersenne(521), 9),
            // The highest exponents: of the smallest root that has no small factor.
            (BigUint::from(65_539_u32), 131),
            (BigUint::from(65_539_u32), 509),
        ] {
            let n = root.pow(exponent);
            assert_eq!(verdict(&n), Err(Weakness::Power), "{exponent}");
        }
    }

    #[test]
    fn a_verdict_is_asked_for_once_and_forgotten_with_its_modulus() {
        let n = (mersenne(1279) * mersenne(2203)).to_bytes_be();
        let prime = mersenne(2203).to_bytes_be();
        // A new judgement would not give these verdicts, so they show that the earlier ones are used.
        let before = Judged {
            verdicts: HashMap::from([(n.clone(), Err(Weakness::Roca)), (prime.clone(), Ok(()))]),
            spent: 0,
        };
        let mut now = Judged::default();
        assert_eq!(now.judge(&n, &before), Err(Weakness::Roca));
        assert_eq!(
            now.judge(&n, &Judged::default()),
            Err(Weakness::Roca),
            "twice in one set"
        );
        assert_eq!((now.len(), before.len()), (1, 2));
        let mut next = Judged::default();
        assert_eq!(next.judge(&prime, &now), Err(Weakness::Prime));
    }

    #[test]
    fn one_reading_judges_a_bounded_number_of_new_moduli_and_the_next_one_goes_on() {
        // Each is odd and divisible by 3, so that its judgement takes no time, and costs as much as any of 8192 bits.
        let moduli: Vec<Vec<u8>> = (0..10_u8)
            .map(|number| [&[0xff; 1022][..], &[3, 6 * number + 3]].concat())
            .collect();
        let mut before = Judged::default();
        let verdicts = |reading: &mut Judged, before: &Judged| -> Vec<Weakness> {
            let verdicts = moduli.iter().map(|n| reading.judge(n, before));
            verdicts.map(|verdict| verdict.expect_err("divisible by 3")).collect()
        };
        let first = verdicts(&mut before, &Judged::default());
        assert_eq!(first[..8], [Weakness::SmallFactor; 8]);
        assert_eq!(first[8..], [Weakness::NotJudged; 2]);
        let next = verdicts(&mut Judged::default(), &before);
        assert_eq!(next, [Weakness::SmallFactor; 10]);
    }
}
