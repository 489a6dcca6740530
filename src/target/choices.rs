//! What is chosen of a plan where a device could do it in more than one way.

/// How a recurrence goes through a window of timesteps, where it could do so in more than one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Windows {
    /// In whichever way is quicker, by what is known of the device.
    #[default]
    Quicker,
    /// In one dispatch each timestep.
    Stepwise,
    /// In one dispatch, wherever there is a kernel for that.
    Whole,
}

/// Whether kernels may read factors of products, and numbers that they go through, from a texture, into which these are
/// copied before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Textures {
    /// Wherever that is quicker, by what a probe has found of the device.
    #[default]
    Quicker,
    /// Nowhere: the texture takes memory.
    Never,
}
