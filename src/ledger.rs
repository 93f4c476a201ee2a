//! The Merkle log of one ledger (RFC 6962): a frontier that grows leaf by leaf and gives the root
//! at any size. Pure; the store keeps it in the receipt of every commit, so that events and tree
//! head move together.

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The right edge of a tree: the roots of its largest complete subtrees, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Rebuilds a frontier from what a receipt holds; `None` where size and peaks cannot belong
    /// together.
    pub fn restore(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let wanted = usize::try_from(size.count_ones()).ok()?;
        (peaks.len() == wanted).then_some(Self { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first: one for each bit set in the size.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf, given its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = join(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root of the tree; of the empty tree the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Sha256::digest([]).into(),
            Some(last) => peaks.fold(*last, |right, left| join(left, &right)),
        }
    }
}

/// The hash of an inner node: SHA-256 over `0x01`, left and right.
fn join(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([1u8]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(data: &[u8]) -> Hash {
        Sha256::digest([&[0u8], data].concat()).into()
    }

    /// The definition of RFC 6962 §2.1, straight: split at the largest power of two below n.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => Sha256::digest([]).into(),
            1 => leaves[0],
            n => {
                let split = (n - 1).next_power_of_two() >> usize::from(!(n - 1).is_power_of_two());
                join(&by_definition(&leaves[..split]), &by_definition(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_definition_at_every_size() {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        assert_eq!(frontier.root(), by_definition(&leaves));
        for n in 0u8..70 {
            leaves.push(leaf(&[n]));
            frontier.push(leaf(&[n]));
            assert_eq!(frontier.root(), by_definition(&leaves), "size {}", leaves.len());
        }
    }

    #[test]
    fn a_frontier_goes_on_where_its_receipt_ended() {
        let mut whole = Frontier::default();
        (0u8..20).for_each(|n| whole.push(leaf(&[n])));
        let mut again = Frontier::restore(whole.size(), whole.peaks().to_vec()).unwrap();
        whole.push(leaf(b"next"));
        again.push(leaf(b"next"));
        assert_eq!(whole.root(), again.root());
        assert_eq!(Frontier::restore(3, vec![[0; 32]]), None);
    }
}
