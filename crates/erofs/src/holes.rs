//! Which parts of a file are holes.

/// The smallest part that is told, as a power of two: a page.
const SMALLEST: u32 = 12;

/// How many parts a file is divided into at most. Each takes four bytes of the index.
const MOST: u64 = 1 << 14;

/// Which parts of a file are holes: it is divided into chunks of one size, a power of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holes {
    bits: u32,
    /// Of each chunk, whether something is in it.
    filled: Vec<bool>,
}

impl Holes {
    /// A file of this size that is nothing but a hole.
    pub fn new(size: u64) -> Self {
        let mut bits = SMALLEST;
        while size.div_ceil(1 << bits) > MOST {
            bits += 1;
        }
        let chunks = usize::try_from(size.div_ceil(1 << bits)).unwrap_or_default();
        Self { bits, filled: vec![false; chunks] }
    }

    /// Says that there are `len` bytes at `offset`, which are none of the hole.
    pub fn fill(&mut self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let chunk = |at: u64| usize::try_from(at >> self.bits).unwrap_or(usize::MAX);
        let (first, last) = (chunk(offset), chunk(offset + (len - 1)));
        for filled in self.filled.iter_mut().take(last.saturating_add(1)).skip(first) {
            *filled = true;
        }
    }

    /// How many bytes are told to be none of the hole: those that aren't, and what shares a chunk with them.
    pub fn told(&self) -> u64 {
        (self.filled.iter().filter(|filled| **filled).count() as u64) << self.bits
    }

    /// The size of a chunk as a power of two.
    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    /// Of each chunk, whether something is in it.
    pub(crate) fn filled(&self) -> &[bool] {
        &self.filled
    }

    /// What they take in memory.
    pub fn bytes(&self) -> usize {
        self.filled.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_file_and_are_not_too_many() {
        for size in [0, 1, 4096, 4097, 1 << 26, (1 << 26) + 1, 1 << 40, (1 << 41) - 1] {
            let holes = Holes::new(size);
            let chunks = holes.filled.len() as u64;
            assert!(chunks <= MOST && chunks << holes.bits >= size, "{size}");
            assert!(chunks == 0 || (chunks - 1) << holes.bits < size, "{size}");
        }
    }

    #[test]
    fn what_is_touched_is_filled() {
        let filled = |pieces: &[(u64, u64)]| {
            let mut holes = Holes::new(5 * 4096 + 1);
            pieces.iter().for_each(|(offset, len)| holes.fill(*offset, *len));
            holes.filled.iter().map(|filled| u8::from(*filled)).collect::<Vec<_>>()
        };
        assert_eq!(filled(&[]), [0, 0, 0, 0, 0, 0]);
        assert_eq!(filled(&[(0, 1), (5 * 4096, 1)]), [1, 0, 0, 0, 0, 1]);
        assert_eq!(filled(&[(4095, 2)]), [1, 1, 0, 0, 0, 0]);
        assert_eq!(filled(&[(4096, 4096), (8192, 0)]), [0, 1, 0, 0, 0, 0]);
        let mut holes = Holes::new(1 << 40);
        holes.fill(5, 1);
        assert_eq!(holes.told(), 1 << 26);
        // Beyond the end there is nothing to fill.
        assert_eq!(filled(&[(1 << 40, u64::MAX - (1 << 40))]), [0, 0, 0, 0, 0, 0]);
    }
}
