//! Random numbers that are a function of (seed, purpose, index, counter) and of nothing else:
//! Philox4x32-10.
//!
//! Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) turns a counter of
//! 128 bits and a key of 64 bits into 128 random bits, in any order. What is drawn for one tensor,
//! or one row, thus never depends on how much was drawn for another.
//!
//! ```text
//! id       = philox(counter: [index, index >> 32, purpose, 0], key: [seed, seed >> 32])
//! block(i) = philox(counter: [i, i >> 32, id[2], id[3]],       key: [id[0], id[1]])
//! word(c)  = block(c / 4)[c % 4]
//! ```

use serde::{Deserialize, Serialize};

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const WORDS_PER_BLOCK: u64 = 4;

/// What random numbers are for; each purpose has streams of its own. The tags go into every number,
/// and the names into saved states, so neither ever changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
#[repr(u32)]
pub enum Purpose {
    /// First values of parameters.
    Initialisation = 1,
    /// Choosing tokens when a model writes.
    Sampling = 2,
    /// The order of examples.
    Shuffle = 3,
    /// Data that are made up, and changes to data that are read.
    Data = 4,
    /// Which elements dropout zeroes.
    Dropout = 5,
    /// Which of many ways to pack memory is tried.
    Packing = 6,
}

/// All there is to know of a [`Stream`]; a stream made of it goes on where the other was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// The user's seed.
    pub seed: u64,
    /// What the numbers are for.
    pub purpose: Purpose,
    /// Which of the streams of that purpose: an ordinal, or [`name_index`] of a tensor's name.
    pub index: u64,
    /// Words of 32 bits drawn so far.
    pub counter: u64,
}

/// One stream of random numbers, read in order by the `next_` functions or anywhere by
/// [`Stream::at`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    state: State,
    /// Stands for seed, purpose and index: the key, then the upper half of every counter.
    identity: [u32; 4],
    /// The block of the next word.
    block: [u32; 4],
}

impl Stream {
    /// The stream of that seed, purpose and index, at its beginning.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Stream {
        Stream::resume(State { seed, purpose, index, counter: 0 })
    }

    /// The stream that [`Stream::state`] described, going on where it was.
    pub fn resume(state: State) -> Stream {
        let [index_low, index_high] = halves(state.index);
        let identity = philox([index_low, index_high, state.purpose as u32, 0], halves(state.seed));
        let mut stream = Stream { state, identity, block: [0; 4] };
        stream.block = stream.at(state.counter / WORDS_PER_BLOCK);
        stream
    }

    /// All that must be saved to go on from here.
    pub fn state(&self) -> State {
        self.state
    }

    /// Block `block` of the stream, wherever the stream is: words `4 * block` up to `4 * block +
    /// 4`.
    pub fn at(&self, block: u64) -> [u32; 4] {
        let [low, high] = halves(block);
        let [key_0, key_1, upper_0, upper_1] = self.identity;
        philox([low, high, upper_0, upper_1], [key_0, key_1])
    }

    /// The next word: 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let [counter, next] = [self.state.counter, self.state.counter.wrapping_add(1)];
        let word = self.block[(counter % WORDS_PER_BLOCK) as usize];
        if next % WORDS_PER_BLOCK == 0 {
            self.block = self.at(next / WORDS_PER_BLOCK);
        }
        self.state.counter = next;
        word
    }

    /// The next two words as one, the first being the lower half.
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        low | u64::from(self.next_u32()) << 32
    }

    /// A multiple of 2^-24, at least 0 and less than 1. Draws one word.
    pub fn next_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// A multiple of 2^-53, at least 0 and less than 1. Draws two words.
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// At least `low` and less than `high`, evenly; `low` itself where nothing lies between. Draws
    /// two words.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let (from, to) = (f64::from(low), f64::from(high));
        let x = nearest_f32(from + (to - from) * self.next_f64());
        // Rounding to `f32` may have gone up to `high`.
        if x < high { x } else { high.next_down().max(low) }
    }

    /// Normal, of mean 0 and variance 1, by Box and Muller in `f64`: `sqrt(-2 ln u) cos(2 pi v)`.
    /// Draws four words.
    ///
    /// The sine's half of the pair is left out, so that a stream's state is its counter. `|x| <
    /// 8.6`. `ln` and `cos` are the platform's: on another platform the last bit may differ.
    pub fn normal(&mut self) -> f32 {
        let u = 1.0 - self.next_f64(); // (0, 1]
        let v = self.next_f64();
        nearest_f32((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos())
    }

    /// Less than `n`, every number equally often, by Lemire's method; 0 if `n` is 0.
    ///
    /// Draws two words, seldom more: fewer than `n` of the 2^64 draws are rejected.
    pub fn below(&mut self, n: u64) -> u64 {
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            let (low, high) = (low_half(product), low_half(product >> 64));
            // 2^64 mod n of the 2^64 draws are one too many; `low >= n` spares the division.
            if low >= n || low >= n.wrapping_neg() % n {
                return high;
            }
        }
    }
}

/// Philox4x32-10 itself: 128 random bits of a counter and a key, lowest word first.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
        }
        let [low_0, high_0] = halves(u64::from(MULTIPLIERS[0]) * u64::from(counter[0]));
        let [low_1, high_1] = halves(u64::from(MULTIPLIERS[1]) * u64::from(counter[2]));
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
    }
    counter
}

/// A stream's index made of a tensor's name (FNV-1a, 64 bits): the same on every platform and in
/// every version.
pub fn name_index(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[expect(clippy::cast_possible_truncation, reason = "the half is what is asked for")]
fn low_half(x: u128) -> u64 {
    x as u64
}

/// Lower half, upper half.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is asked for")]
fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest `f32`")]
fn nearest_f32(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(purpose: Purpose, index: u64) -> Stream {
        Stream::new(42, purpose, index)
    }

    fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        (mean, values.map(|x| (x - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn philox_gives_the_known_answers_of_random123() {
        let ones = u32::MAX;
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]);
        assert_eq!(philox([ones; 4], [ones; 2]), [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]);
        // The third of the published three: digits of pi.
        let counter = [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344];
        let key = [0xA409_3822, 0x299F_31D0];
        assert_eq!(philox(counter, key), [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]);
    }

    #[test]
    fn numbers_in_order_are_the_numbers_at_their_places() {
        let mut stream = stream(Purpose::Data, 7);
        let in_order: Vec<u32> = (0..12).map(|_| stream.next_u32()).collect();
        let at_places: Vec<u32> = (0..3).flat_map(|block| stream.at(block)).collect();
        assert_eq!(in_order, at_places);
    }

    #[test]
    fn a_stream_resumed_from_any_state_goes_on_bit_for_bit() {
        for drawn in 0..9 {
            let mut whole = stream(Purpose::Shuffle, 1 << 40);
            for _ in 0..drawn {
                whole.next_u32();
            }
            let saved = serde_json::to_string(&whole.state()).unwrap();
            let mut resumed = Stream::resume(serde_json::from_str(&saved).unwrap());
            assert_eq!(resumed, whole);
            for _ in 0..9 {
                assert_eq!(resumed.normal().to_bits(), whole.normal().to_bits());
            }
        }
    }

    #[test]
    fn seed_purpose_and_both_halves_of_index_and_counter_each_change_the_numbers() {
        let base = stream(Purpose::Data, 1).at(0);
        let others = [
            Stream::new(43, Purpose::Data, 1).at(0),
            Stream::new(42 | 1 << 40, Purpose::Data, 1).at(0),
            stream(Purpose::Dropout, 1).at(0),
            stream(Purpose::Data, 2).at(0),
            stream(Purpose::Data, 1 | 1 << 40).at(0),
            stream(Purpose::Data, 1).at(1),
            stream(Purpose::Data, 1).at(1 << 40),
        ];
        for (i, other) in others.iter().enumerate() {
            assert!(base.iter().zip(other).all(|(a, b)| a != b), "{i}");
        }
    }

    #[test]
    fn floats_fill_their_intervals_evenly() {
        let mut stream = stream(Purpose::Data, 0);
        let values: Vec<f64> =
            (0..40_000).map(|i| if i % 2 == 0 { f64::from(stream.next_f32()) } else { stream.next_f64() }).collect();
        assert!(values.iter().all(|x| (0.0..1.0).contains(x)));
        let (mean, variance) = moments(values.iter().copied());
        // Five standard errors of the mean: 5 * sqrt(1 / 12 / 40000).
        assert!((mean - 0.5).abs() < 0.0073 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
    }

    #[test]
    fn uniform_never_reaches_its_upper_end_even_between_neighbours() {
        let mut stream = stream(Purpose::Data, 3);
        for _ in 0..1000 {
            assert_eq!(stream.uniform(1.0, 1f32.next_up()), 1.0);
            assert!((-0.1..0.1).contains(&stream.uniform(-0.1, 0.1)));
        }
        assert_eq!(stream.uniform(2.0, 2.0), 2.0);
    }

    #[test]
    fn normal_numbers_have_the_moments_and_the_tails_of_a_normal() {
        let mut stream = stream(Purpose::Initialisation, name_index("w"));
        let values: Vec<f64> = (0..40_000).map(|_| f64::from(stream.normal())).collect();
        let (mean, variance) = moments(values.iter().copied());
        assert!(mean.abs() < 0.025, "five standard errors: {mean}");
        assert!((variance - 1.0).abs() < 0.036, "five standard errors: {variance}");
        let beyond_two = values.iter().filter(|x| x.abs() > 2.0).count() as f64 / 40_000.0;
        assert!((beyond_two - 0.0455).abs() < 0.0053, "five standard errors: {beyond_two}");
        assert_eq!(stream.state().counter, 160_000);
    }

    #[test]
    fn below_gives_every_number_equally_often_and_nothing_else() {
        let mut stream = stream(Purpose::Sampling, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[usize::try_from(stream.below(7)).unwrap()] += 1;
        }
        // Five standard deviations: 5 * sqrt(70000 / 7 * 6 / 7).
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 463), "{counts:?}");
        assert_eq!((stream.below(0), stream.below(1)), (0, 0));
    }

    #[test]
    fn below_rejects_what_would_favour_some_numbers() {
        // Of n = 3 * 2^62 a quarter of all draws is rejected; unrejected, multiples of 3 would come
        // twice as often.
        let (mut stream, n) = (stream(Purpose::Sampling, 1), 3u64 << 62);
        let threes = (0..30_000).filter(|_| stream.below(n).is_multiple_of(3)).count();
        assert!(threes.abs_diff(10_000) < 409, "five standard deviations: {threes}");
        assert!(stream.state().counter > 60_000);
    }

    #[test]
    fn name_index_is_fnv_1a() {
        assert_eq!(name_index(""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(name_index("a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(name_index("foobar"), 0x8594_4171_F739_67E8);
    }
}
