//! What a device reaches.

use serde::{Deserialize, Serialize};

/// What a device reaches, in as few numbers as explain the times of steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Seconds that a workgroup takes for one unit of `Tile::cost`.
    pub unit_seconds: f64,
    /// Terms that a tile takes the time of beside those it sums, to begin and to store what it made.
    pub tile_terms: f64,
    /// Workgroups that are at work at once.
    pub workgroups: f64,
    /// Bytes that they move in a second, all together: what is changed in place is read and written.
    pub bytes_per_second: f64,
    /// Seconds of a dispatch that has nothing to do, from the end of the one before to its own.
    pub dispatch_seconds: f64,
    /// Seconds until the host has recorded a dispatch and handed it over.
    pub recording_seconds: f64,
    /// Seconds of a submission beside those of its dispatches.
    pub submission_seconds: f64,
    /// What the tallest tiles of products take beside what others let expect; of a software adapter. Where it was not
    /// measured they are not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tall_tiles: Option<f64>,
    /// What it takes to have what is read in a texture; of a software adapter. Where it was not found to be quicker
    /// nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub textures: Option<TextureRates>,
    /// What it takes to go through timesteps within a dispatch; of a graphics processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<Turns>,
}

/// What a workgroup that makes a row of a recurrence timestep by timestep takes for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turns {
    /// Seconds until all its threads have waited for one another.
    pub seconds: f64,
    /// Weights that it takes in in a second, again for each timestep. In halves they are no more.
    pub weights_per_second: f64,
}

/// What it takes to have what kernels read in a texture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextureRates {
    /// What tiles of products take beside what their sizes let expect. Where they were not found to be quicker so, their
    /// factors are in buffers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<f64>,
    /// What kernels that go through numbers side by side take beside the same of buffers. Where they were not found to be
    /// quicker so, or this was not measured, their numbers are in buffers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<f64>,
    /// Seconds that a dispatch takes longer, because a pass ends before it and another begins.
    pub seconds: f64,
    /// Bytes that are copied in a second.
    pub bytes_per_second: f64,
}

impl TextureRates {
    #[doc(hidden)]
    /// Those of a device that is told to have everything in a texture that a kernel could read there.
    pub const FREE: Self = Self { tiles: Some(0.01), streams: Some(0.01), seconds: 0.0, bytes_per_second: 1e15 };

    /// Seconds that a dispatch takes longer that has so many bytes copied there.
    pub fn seconds_of(&self, bytes: u64) -> f64 {
        self.seconds + bytes as f64 / self.bytes_per_second
    }

    fn are_sound(&self) -> bool {
        let shares = [self.tiles, self.streams].into_iter().flatten();
        let positive = shares.chain([self.bytes_per_second]).all(|x| x.is_finite() && x > 0.0);
        positive && self.seconds.is_finite() && self.seconds >= 0.0
    }
}

impl Turns {
    /// Those of no device in particular, for one that was not measured and that nothing is chosen by.
    pub(crate) const ASSUMED: Self = Self { seconds: 2e-6, weights_per_second: 15e9 };
}

impl Rates {
    /// Those of Mesa's software adapter with 256 bits on two idle cores of a server, by which plans are ranked
    /// where nothing was measured. A graphics processor has others, but much the same order of plans.
    pub const fn assumed() -> Self {
        Self {
            unit_seconds: 1.25e-10,
            tile_terms: 31.0,
            workgroups: 2.0,
            bytes_per_second: 9.5e9,
            dispatch_seconds: 50e-6,
            recording_seconds: 1.5e-6,
            submission_seconds: 60e-6,
            tall_tiles: None,
            textures: None,
            turns: None,
        }
    }

    /// Those of a software adapter on so many processors of that kind: it works on as many workgroups at once, each as
    /// fast as on two.
    pub fn of_software(processors: usize) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "no machine has so many")]
        let workgroups = processors.max(1) as f64;
        Self { workgroups, ..Self::assumed() }
    }

    /// The same, unless a number of them is none that a device can have.
    pub fn checked(self) -> Option<Self> {
        let positive = [self.unit_seconds, self.workgroups, self.bytes_per_second];
        let others = [self.tile_terms, self.dispatch_seconds, self.recording_seconds, self.submission_seconds];
        let sound = positive.iter().all(|x| x.is_finite() && *x > 0.0)
            && others.iter().all(|x| x.is_finite() && *x >= 0.0)
            && self.workgroups >= 1.0
            && self.tall_tiles.is_none_or(|share| share.is_finite() && share > 0.0)
            && self.textures.is_none_or(|textures| textures.are_sound())
            && self.turns.is_none_or(|turns| {
                turns.seconds.is_finite()
                    && turns.seconds >= 0.0
                    && turns.weights_per_second.is_finite()
                    && turns.weights_per_second > 0.0
            });
        sound.then_some(self)
    }

    /// The same of a device that works on so many workgroups at once, and is no faster with all of them at work.
    pub fn with_workgroups(self, workgroups: f64) -> Self {
        Self { workgroups, unit_seconds: self.unit_seconds * workgroups / self.workgroups, ..self }
    }
}
