//! Typed indices: a `ValueId` cannot be used where a `NodeId` is meant.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The id of the `index`-th row of its table.
            pub fn at(index: usize) -> Self {
                Self(u32::try_from(index).expect("a graph has fewer than 2^32 parts"))
            }

            /// Position in the table this id points into.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }
    };
}

id!(/// A tensor of the graph: something a node made, or what a slot held when a program began.
    ValueId, "v");
id!(/// One application of an op.
    NodeId, "n");
id!(/// Memory that outlives a program: parameters, gradients, optimizer state, carried state, inputs.
    SlotId, "s");
id!(/// One device buffer of a plan.
    ArenaId, "a");
