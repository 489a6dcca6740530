//! What memory is for.

/// What memory is for; the budget is told apart by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Weights and biases, kept from step to step.
    Parameter,
    /// The gradients of the parameters, summed over the micro-steps of a step.
    Gradient,
    /// What the optimizer remembers: momentum, moments.
    OptimizerState,
    /// Anything a node makes on the way.
    Activation,
    /// Recurrent state carried from window to window.
    CarriedState,
    /// A batch and the step's scalars, supplied before each step.
    Input,
    /// What is left for the host to read: loss, gradient norm, logits.
    Result,
    /// Buffers through which the host writes and reads.
    Staging,
    /// Parameters of dispatches, where the device takes no immediates.
    Uniforms,
    /// Where what kernels read is copied to, which some software adapters read faster there.
    Texture,
}

impl Role {
    /// Every role, in the order reports list them.
    pub const ALL: [Role; 10] = [
        Role::Parameter,
        Role::Gradient,
        Role::OptimizerState,
        Role::Activation,
        Role::CarriedState,
        Role::Input,
        Role::Result,
        Role::Staging,
        Role::Uniforms,
        Role::Texture,
    ];

    /// Whether few plans have any, so that reports do without it where there is none.
    pub fn is_seldom(self) -> bool {
        matches!(self, Role::Uniforms | Role::Texture)
    }

    /// What reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Parameter => "parameters",
            Role::Gradient => "gradients",
            Role::OptimizerState => "optimizer state",
            Role::Activation => "activations",
            Role::CarriedState => "carried state",
            Role::Input => "inputs",
            Role::Result => "results",
            Role::Staging => "staging",
            Role::Uniforms => "uniforms",
            Role::Texture => "texture",
        }
    }
}
