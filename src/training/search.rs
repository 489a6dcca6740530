//! The largest size that fits, in as few plans as may be: planning takes as long as the plan is large.

/// Sizes past one that does not fit that are looked at too: a row more may take a few bytes less, where places are
/// multiples of some bytes or steps run in another order.
pub(super) const LOOKED_PAST: u32 = 3;

/// What is known of a size.
pub(super) struct Tried<T> {
    /// Bytes that it takes.
    pub(super) bytes: u64,
    /// What comes of it, if it fits.
    pub(super) found: Option<T>,
}

/// What bytes are where they are all that is exceeded, and go up with the size as if they were added to row by row.
#[derive(Clone, Copy)]
pub(super) struct Slope {
    /// What may be taken.
    pub(super) allowed: u64,
    /// A size that takes more, and how much.
    pub(super) above: (u32, u64),
}

/// What `fit` makes of the largest of `1..=most` that fits, where what fits does so at every smaller size but for fewer
/// than [`LOOKED_PAST`] in a row; `None` where the least does not.
///
/// With a `slope`, the next to be tried is where bytes reach what is allowed on the straight line between two that are
/// known, and every third is halfway, as the line may be none. Without one sizes are doubled until one does not fit,
/// and only then halved between: what fits is often a small part of what was asked.
pub(super) fn largest_of<T>(most: u32, slope: Option<Slope>, fit: impl Fn(u32) -> Tried<T>) -> Option<T> {
    let (mut low, mut high, mut slope) = (0, most, slope);
    let (mut best, mut low_bytes, mut doubling) = (None, 0, true);
    let mut tries = 0;
    while low < high {
        let halfway = low + (high - low).div_ceil(2);
        let middle = match slope {
            _ if low == 0 => 1,
            Some(slope) if tries % 3 != 0 => slope.reached((low, low_bytes)).clamp(low + 1, high),
            None if doubling => low.saturating_mul(2).clamp(1, high),
            _ => halfway,
        };
        tries += 1;
        let Tried { bytes, found } = fit(middle);
        let fits = found.is_some();
        if fits {
            (best, low, low_bytes) = (found, middle, bytes);
        } else if low == 0 {
            return None;
        } else {
            (high, doubling) = (middle - 1, false);
            // What is exceeded though there are bytes enough is something else.
            slope = slope.filter(|slope| bytes > slope.allowed).map(|slope| Slope { above: (middle, bytes), ..slope });
        }
    }
    // The one behind the largest was found not to fit.
    let past = |low: u32| low.saturating_add(2)..=low.saturating_add(1 + LOOKED_PAST).min(most);
    while let Some((size, found)) = past(low).rev().filter(|_| low > 0).find_map(|size| Some((size, fit(size).found?)))
    {
        (best, low) = (Some(found), size);
    }
    best
}

impl Slope {
    /// Where bytes reach what is allowed on the way up from a size that fits.
    fn reached(self, (low, low_bytes): (u32, u64)) -> u32 {
        let Self { allowed, above: (high, high_bytes) } = self;
        let [left, rise] = [allowed, high_bytes].map(|bytes| u128::from(bytes.saturating_sub(low_bytes)));
        let sizes = left * u128::from(high.saturating_sub(low)) / rise.max(1);
        low.saturating_add(u32::try_from(sizes).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The largest of `1..=most` of which `bytes` tells no more than are `allowed`, and how many were tried.
    fn largest(most: u32, allowed: u64, bytes: &dyn Fn(u32) -> u64, with_slope: bool) -> (Option<u32>, u32) {
        let tried = Cell::new(0);
        let slope = Slope { allowed, above: (most + 1, bytes(most + 1).max(allowed + 1)) };
        let found = largest_of(most, with_slope.then_some(slope), |size| {
            tried.set(tried.get() + 1);
            Tried { bytes: bytes(size), found: (bytes(size) <= allowed).then_some(size) }
        });
        (found, tried.get())
    }

    #[test]
    fn the_largest_that_fits_is_found_where_a_few_smaller_ones_do_not() {
        for with_slope in [false, true] {
            for most in 1..70 {
                assert_eq!(largest(most, 0, &|_| 0, with_slope).0, Some(most));
                assert_eq!(largest(most, 0, &|_| 1, with_slope), (None, 1));
                for limit in 1..=u64::from(most) {
                    // Bytes that go up with rows, evenly, faster and faster, slower and slower.
                    let curves: [&dyn Fn(u64) -> u64; 3] = [&|n| n, &|n| n * n, &|n| 1000 * u64::from(n.ilog2())];
                    for curve in curves {
                        let bytes = |size: u32| curve(u64::from(size));
                        let (found, tried) = largest(most, curve(limit), &bytes, with_slope);
                        let wanted = (1..=most).rev().find(|&size| bytes(size) <= curve(limit));
                        assert_eq!(found, wanted, "{limit} of {most}");
                        let halvings = most.ilog2() + 2;
                        let enough = if with_slope { 3 * halvings } else { 2 * halvings } + LOOKED_PAST;
                        assert!(tried <= enough, "{tried} tries for {limit} of {most}");
                    }
                    // But for those of every so many.
                    for every in 2..10 {
                        for less in 1..3 {
                            let bytes = |size: u32| u64::from(size - if size.is_multiple_of(every) { less } else { 0 });
                            let wanted = (1..=most).rev().find(|&size| bytes(size) <= limit);
                            let found = largest(most, limit, &bytes, with_slope).0;
                            assert_eq!(found, wanted, "{limit} of {most}, {less} less every {every}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_that_go_up_evenly_take_a_handful_of_tries_however_many_sizes_there_are() {
        for most in [1 << 10, 1 << 16, 1 << 30] {
            for limit in [2, 1000, most / 3, most - 1] {
                let (found, tried) = largest(most, 77 + 5 * u64::from(limit), &|size| 77 + 5 * u64::from(size), true);
                assert_eq!(found, Some(limit));
                assert!(tried <= 5 + LOOKED_PAST, "{tried} tries for {limit} of {most}");
            }
        }
    }

    #[test]
    fn where_something_else_is_exceeded_sizes_are_halved_between() {
        let tried = Cell::new(0);
        let slope = Slope { allowed: 1 << 40, above: (1 << 20, 1 << 41) };
        let found = largest_of((1 << 20) - 1, Some(slope), |size| {
            tried.set(tried.get() + 1);
            Tried { bytes: size.into(), found: (size <= 1234).then_some(size) }
        });
        assert_eq!(found, Some(1234));
        assert!(tried.get() <= 26, "{}", tried.get());
    }
}
