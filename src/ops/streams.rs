//! Kernels that go through numbers side by side, and read them from the plan's texture where that is quicker.

use std::ops::Range;

use super::matmul::kernel::in_texture;
use super::{Binding, clamp};
use crate::shader::texture::{ROW_BYTES, TEXELS, rows};
use crate::target::{Target, Textures};

/// Numbers of an operand that a dispatch has in the texture, at most, where there is a choice: 8 rows, so that it takes
/// far longer to go through them than for a pass to end and another to begin, and that a plan's texture is no larger than
/// many factors of products want it.
pub(super) const PIECE: u64 = 8 * ROW_BYTES / 4;

/// Numbers of all operands together that a dispatch has in the texture, at most, where it has to go through all of them: 64
/// rows.
pub(super) const WHOLE: u64 = 64 * ROW_BYTES / 4;

/// Operands that a dispatch reads from the texture, at most: as many storage textures as WebGPU promises.
const OPERANDS: u64 = 4;

/// Numbers that a workgroup goes through.
const GROUP: u64 = 1024;

/// Operands of one length that a kernel goes through, in full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    /// Those that it reads.
    pub read: u64,
    /// Those that it writes.
    pub written: u64,
}

impl Streams {
    /// The same of a kernel whose work is not cut, so that all of its numbers are in the texture or none.
    pub(super) fn are_quicker_as_a_whole(self, target: &Target, len: u64) -> bool {
        self.read.saturating_mul(len) <= WHOLE && self.are_quicker_in_a_texture(target, len, len)
    }

    /// Whether so many numbers of each are gone through in less time with those that are read in the texture, of which a
    /// dispatch has `piece` at most; where they are in buffers one dispatch goes through all.
    pub(super) fn are_quicker_in_a_texture(self, target: &Target, len: u64, piece: u64) -> bool {
        let most = u64::from(target.limits.max_texture_dimension_2d);
        let wanted = self.read.saturating_mul(rows(4 * piece.min(len)) + 1);
        let rates = target.rates.filter(|_| target.textures != Textures::Never);
        let known = rates.and_then(|rates| Some((rates, rates.textures?, rates.textures?.streams?)));
        let fits = self.read <= OPERANDS && u64::from(TEXELS).max(wanted) <= most;
        let Some((rates, textures, share)) = known.filter(|_| fits) else {
            return false;
        };
        // As a plan's time is told of such dispatches.
        let bytes = |operands: u64, len: u64| len.saturating_mul(4 * operands) as f64;
        let busy = |len: u64| {
            let groups = len.div_ceil(GROUP).max(1) as f64;
            bytes(self.read + self.written, len) / rates.bytes_per_second * (rates.workgroups / groups).max(1.0)
        };
        let all: f64 = pieces(0..len, piece).map(|part| busy(part.end - part.start)).sum();
        let begun = len.div_ceil(piece) as f64 * (rates.dispatch_seconds + textures.seconds) - rates.dispatch_seconds;
        let copied = bytes(self.read, len) / textures.bytes_per_second;
        begun + copied + all * share < busy(len)
    }
}

/// Where a dispatch reads operands of one length from: the texture, in which they lie one below the other, or buffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Rows of each in the texture.
    rows: Option<u64>,
}

impl Source {
    /// The texture or not, of operands of which so many bytes are bound.
    pub(super) fn new(textured: bool, bound_bytes: u64) -> Self {
        Self { rows: textured.then(|| rows(bound_bytes)) }
    }

    /// The operand at `index` among them.
    pub(super) fn operand(self, index: u64, binding: Binding) -> Binding {
        Binding { texture_row: self.rows.map(|rows| clamp(index * rows)), ..binding }
    }

    /// What is changed in place is written where it is, and bound once more where it is read from the texture.
    pub(super) fn changed(self, index: u64, update: Binding) -> impl Iterator<Item = Binding> {
        let was = self.rows.map(|_| self.operand(index, Binding { writes: None, ..update.clone() }));
        [update].into_iter().chain(was)
    }

    /// Elements of four bytes from one of them to the next, as a kernel is told; 0 in buffers.
    pub(super) fn stride(self) -> u32 {
        self.rows.map_or(0, |rows| clamp(rows * ROW_BYTES / 4))
    }

    /// How a kernel is told that they are stored, which in buffers would be so.
    pub(super) fn storage(self, in_buffers: u32) -> u32 {
        if self.rows.is_some() { in_texture(in_buffers) } else { in_buffers }
    }
}

/// `range` in pieces of so many elements.
pub(super) fn pieces(range: Range<u64>, of: u64) -> impl Iterator<Item = Range<u64>> {
    let Range { start, end } = range;
    (0..(end - start).div_ceil(of)).map(move |i| {
        let from = start + i * of;
        from..from + of.min(end - from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Rates, TextureRates};

    #[test]
    fn many_numbers_are_gone_through_in_a_texture_and_few_are_not() {
        let textures = TextureRates { tiles: None, streams: Some(0.3), seconds: 5e-5, bytes_per_second: 25e9 };
        let rates = Rates { bytes_per_second: 1.6e9, textures: Some(textures), ..Rates::assumed() };
        let lavapipe = Target::profile("lavapipe").unwrap();
        let target = |textures| Target { rates: Some(Rates { textures, ..rates }), ..lavapipe.clone() };
        let streams = Streams { read: 4, written: 3 };
        let is = |target: &Target, len| streams.are_quicker_in_a_texture(target, len, PIECE);
        let found = target(Some(textures));
        assert!(is(&found, 1 << 20) && is(&found, PIECE) && !is(&found, 1 << 10));
        assert!(!is(&Target { textures: Textures::Never, ..found.clone() }, 1 << 20));
        let five = Streams { read: 5, written: 4 };
        assert!(!five.are_quicker_in_a_texture(&found, 1 << 20, PIECE), "no device has to have so many textures");
        for bad in [
            TextureRates { streams: None, ..textures },
            TextureRates { streams: Some(1.0), ..textures },
            TextureRates { bytes_per_second: 1e8, ..textures },
            TextureRates { seconds: 1.0, ..textures },
        ] {
            assert!(!is(&target(Some(bad)), 1 << 20), "{bad:?}");
        }
        assert!(!is(&target(None), 1 << 20) && !is(&lavapipe, 1 << 20));
        // No texture is so large, or has so many rows.
        for most in [u32::from(u16::MAX), TEXELS, TEXELS - 1, 8] {
            let mut small = found.clone();
            small.limits.max_texture_dimension_2d = most;
            assert_eq!(is(&small, 1 << 20), most >= TEXELS, "{most}");
            assert!(!streams.are_quicker_in_a_texture(&small, 1 << 32, 1 << 32));
        }
    }

    #[test]
    fn pieces_are_all_of_a_range_and_no_longer_than_asked() {
        let all: Vec<_> = pieces(10..35, 10).collect();
        assert_eq!(all, [10..20, 20..30, 30..35]);
        assert_eq!(pieces(5..5, 10).count(), 0);
    }
}
