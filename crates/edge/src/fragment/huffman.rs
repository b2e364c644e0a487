//! Finds the symbols in a string that is compressed with the code of HPACK (RFC 7541 §5.2, appendix B).

/// The lengths of code words, each with its last word. The code is canonical: the words of a length are consecutive numbers,
/// and a longer word begins with a greater number than any shorter word.
const LAST: [(u32, u64); 21] = [
    (5, 0x9),
    (6, 0x2d),
    (7, 0x7b),
    (8, 0xfd),
    (10, 0x3fc),
    (11, 0x7fc),
    (12, 0xffb),
    (13, 0x1ffd),
    (14, 0x3ffd),
    (15, 0x7ffe),
    (19, 0x7_fff2),
    (20, 0xf_ffed),
    (21, 0x1f_ffe8),
    (22, 0x3f_ffeb),
    (23, 0x7f_fff4),
    (24, 0xff_fff5),
    (25, 0x1ff_ffef),
    (26, 0x3ff_ffee),
    (27, 0x7ff_fff0),
    (28, 0xfff_fffe),
    (30, 0x3fff_ffff),
];
/// The word of `#`. That of `>` is the next.
const HASH: (u32, u64) = (12, 0xffa);

/// The bits of a symbol that is not complete yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits {
    bits: u64,
    many: u32,
}

impl Bits {
    /// Takes the next byte of a string, and turns each `#` that ends in it into a `>`. Returns whether there was one.
    pub(super) fn on_octet(&mut self, octet: &mut u8) -> bool {
        self.bits = self.bits << 8 | u64::from(*octet);
        self.many += 8;
        let mut found = false;
        while let Some((length, word)) = self.next() {
            self.many -= length;
            self.bits &= (1 << self.many) - 1;
            if (length, word) == HASH {
                // The two words differ only in their last bit, which is in this byte.
                *octet ^= 1 << self.many;
                found = true;
            }
        }
        found
    }

    /// The first symbol, if it is complete.
    fn next(self) -> Option<(u32, u64)> {
        LAST.iter()
            .take_while(|(length, _)| *length <= self.many)
            .map(|(length, last)| (*length, self.bits >> (self.many - length), *last))
            .find_map(|(length, word, last)| (word <= last).then_some((length, word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word of a length follows the last one of the length before.
    #[test]
    fn the_code_is_complete_and_has_all_symbols() {
        let (mut words, mut next, mut before) = (0, 0, 0);
        for (length, last) in LAST {
            next <<= length - before;
            words += last + 1 - next;
            (next, before) = (last + 1, length);
        }
        assert_eq!(words, 257, "256 octets and the end of a string");
        assert_eq!(next, 1 << before, "no bits are left that begin no word");
    }

    /// Puts `#` at every place within a byte, between symbols of many lengths.
    #[test]
    fn a_hash_becomes_a_greater_than_at_every_place() {
        const WORDS: [(u32, u64); 9] = [
            (5, 0x3),
            (6, 0x18),
            (7, 0x5c),
            (8, 0xfb),
            (10, 0x3fc),
            (11, 0x7fc),
            (13, 0x1ffd),
            (19, 0x7_fff0),
            (30, 0x3fff_fffc),
        ];
        for before in WORDS {
            for many in 0..8 {
                let string = |middle| {
                    let mut words = vec![before; many];
                    words.extend([middle, (5, 0x3), middle, before]);
                    octets(&words)
                };
                let mut changed = string(HASH);
                let (mut bits, mut found) = (Bits::default(), 0);
                for octet in &mut changed {
                    found += u32::from(bits.on_octet(octet));
                }
                assert_eq!(found, 2, "{before:?}, {many}");
                assert_eq!(changed, string((12, 0xffb)), "{before:?}, {many}");
                let mut bits = Bits::default();
                assert!(changed.iter_mut().all(|octet| !bits.on_octet(octet)));
            }
        }
    }

    /// The words one after the other, filled up with ones (RFC 7541 §5.2).
    fn octets(words: &[(u32, u64)]) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for (length, word) in words {
            bits.extend((0..*length).rev().map(|place| word >> place & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        let octet = |bits: &[bool]| bits.iter().fold(0, |octet, bit| octet << 1 | u8::from(*bit));
        bits.chunks(8).map(octet).collect()
    }
}
