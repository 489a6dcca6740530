//! What a plan would take without one of the ways in which values share bytes.
//!
//! ```text
//! reuse     [== a ==]      [== b ==]      one range of bytes, at different times
//! in place  [== a ==|== b ==]             b is written over a, whose last reader it is
//! views     [== a ==]                     b is bytes of a under another shape
//!               b
//! ```

use serde::Serialize;

use super::{Plan, layout, lifetime};
use crate::graph::Role;
use crate::schedule::schedule_of_copies;

/// A way in which values share bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Saving {
    /// Bytes are used again as soon as nobody needs what lay there.
    Reuse,
    /// Results lie on what they were made from.
    InPlace,
    /// A reshape, or a part of the outermost dimension, is bytes of what it shows.
    Views,
}

impl Saving {
    /// All of them.
    pub const ALL: [Saving; 3] = [Saving::Reuse, Saving::InPlace, Saving::Views];
}

impl Plan {
    /// What [`Plan::planned_bytes`] would be without these savings, found by placing all values anew.
    ///
    /// It is a number and no plan: without [`Saving::InPlace`] no device could run it, as some ops work no other way.
    pub fn bytes_without(&self, savings: &[Saving]) -> u64 {
        let without = |saving| savings.contains(&saving);
        let copies = without(Saving::Views).then(|| schedule_of_copies(&self.graph, &self.target));
        let schedule = copies.as_ref().unwrap_or(&self.schedule);
        let tenants = match without(Saving::InPlace) {
            true => lifetime::tenants_apart(&self.graph, schedule),
            false => lifetime::tenants(&self.graph, schedule),
        };
        let made = if without(Saving::Reuse) {
            let align = layout::alignment(&self.target);
            let each = tenants.iter().map(|t| layout::round_up(t.interval.bytes, align));
            each.fold(0, u64::saturating_add)
        } else {
            let arenas = layout::lay_out(&self.graph, &tenants, &self.target).arenas;
            arenas.iter().filter(|a| a.role == Role::Activation).map(|a| a.bytes).fold(0, u64::saturating_add)
        };
        let kept = self.arenas.iter().filter(|a| a.role != Role::Activation).map(|a| a.bytes);
        kept.chain([self.staging.bytes(), made]).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, Binary, Function, View};
    use crate::plan::Staging;
    use crate::target::Target;
    use crate::tensor::TensorType;

    /// `z = view(tanh(tanh(x)))`, then `w = z + x`, each of 256 bytes.
    fn plan() -> Plan {
        let mut graph = crate::graph::Graph::default();
        graph.begin("p");
        let ty = TensorType::f32(&[8, 8]);
        let x = graph.held("x", Role::Input, ty.clone(), 1);
        let flat = graph.held("flat", Role::Input, TensorType::f32(&[64]), 1);
        let tanh = Activation { function: Function::Tanh };
        let a = graph.apply_one(tanh.clone(), &[x]).unwrap();
        let b = graph.apply_one(tanh, &[a]).unwrap();
        let z = graph.apply_one(View::reshape(&[64]), &[b]).unwrap();
        let w = graph.apply_one(Binary::Add, &[z, flat]).unwrap();
        let slot = graph.slot("w", Role::Result, 256, 1);
        graph.store(w, slot, 0);
        graph.protect();
        let target = Target::profile("webgpu-default").unwrap();
        Plan::new(graph, &target, Staging { upload_bytes: 256, readback_bytes: 256 })
    }

    #[test]
    fn each_saving_is_what_the_values_it_joins_take_apart() {
        let plan = plan();
        let made = |savings: &[Saving]| plan.bytes_without(savings) - (plan.planned_bytes() - 256);
        assert_eq!(made(&[]), 256, "a, b and z lie in the same bytes: the plan itself");
        assert_eq!(made(&[Saving::Reuse]), 256, "there is one range of bytes");
        assert_eq!(made(&[Saving::InPlace]), 2 * 256, "a and b side by side");
        assert_eq!(made(&[Saving::InPlace, Saving::Reuse]), 2 * 256);
        assert_eq!(made(&[Saving::Views]), 2 * 256, "b, and the copy that is read as 64 numbers");
        assert_eq!(made(&Saving::ALL), 3 * 256);
    }
}
