//! Random bytes for `jti`, drawn in large batches.
//!
//! AWS-LC's generator mixes in the processor's own randomness at every call, which takes a microsecond or two. A `jti`
//! must be unique, but not secret from this process, so each thread may keep a stock. Keys are never made from it.

use std::cell::RefCell;
use std::ops::Range;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

/// The length of a `jti` before encoding, in bytes.
const LEN: usize = 16;
/// The number of random bytes that a thread draws at once.
const STOCK: usize = 64 * LEN;

struct Stock {
    octets: [u8; STOCK],
    left: Range<usize>,
}

thread_local! {
    static OWN: RefCell<Stock> = const { RefCell::new(Stock { octets: [0; STOCK], left: 0..0 }) };
}

/// 128 random bits that nobody else gets.
///
/// # Errors
/// The system has no entropy.
pub fn octets() -> Result<[u8; LEN], Unspecified> {
    OWN.with_borrow_mut(|stock| {
        if stock.left.len() < LEN {
            rand::fill(&mut stock.octets)?;
            stock.left = 0..STOCK;
        }
        let mut unique = [0; LEN];
        unique.copy_from_slice(&stock.octets[stock.left.start..stock.left.start + LEN]);
        stock.left.start += LEN;
        Ok(unique)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_are_the_same_across_many_draughts_and_threads() {
        let draw = || (0..10_000).map(|_| octets().expect("entropy")).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let all: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert!(!all.contains(&[0; LEN]));
    }
}
