//! What of a timestep is read from the plan's texture: its factors, and the gates.

use super::cell::{Cell, Step, Stored};
use crate::ops::Binding;
use crate::ops::matmul::kernel::{Variant, in_texture, put_in_texture};
use crate::shader::texture::{BLOCK_ROWS, TEXEL_BYTES, rows};
use crate::target::Target;

/// The weight among what a timestep binds.
pub(super) const WEIGHT: usize = 1;

/// `stored` as a kernel is told that has the factors of these names in the texture.
pub(super) fn with_factors_in_texture<'a>(
    stored: &'a Stored,
    names: &'a [&str],
) -> impl Iterator<Item = (&'static str, u32)> + 'a {
    stored.iter().map(|&(name, of)| (name, if names.contains(&name) { in_texture(of) } else { of }))
}

impl Cell {
    /// Whether a kernel reads the gates from the texture, as it does where its factors are there, and gates kept in full
    /// and read by fours.
    pub(super) fn reads_gates_from_texture(
        &self,
        variant: Variant,
        step: Step,
        target: &Target,
        stored: &Stored,
    ) -> bool {
        let is_read = self.changed.is_some() && variant.is_textured() && stored.contains(&("H", 0));
        let by_fours = self.gates == 0 || self.gates_apart(variant) > 0;
        is_read && by_fours && self.rows_fit(variant, step, self.gates_bytes(step), target)
    }

    /// Whether a texture has room for the factors.
    pub(super) fn has_room(&self, variant: Variant, step: Step, target: &Target) -> bool {
        variant.has_room(&self.product(step, self.gates_apart(variant)), target)
            && self.rows_fit(variant, step, 0, target)
    }

    /// Whether the factors and so many bytes more have room in a texture.
    fn rows_fit(&self, variant: Variant, step: Step, more: u64, target: &Target) -> bool {
        // A left factor that lies in two places has rows for each, and columns in the first that its product does not tell of.
        let apart = if self.factors > 2 { 4 * u64::from(step.batch) * u64::from(step.hidden) } else { 0 };
        let product = self.product(step, self.gates_apart(variant));
        let all = u64::from(product.texture_rows()) + rows(apart) + 1 + rows(more) + 1;
        all.next_multiple_of(BLOCK_ROWS) <= target.limits.max_texture_dimension_2d.into()
    }

    /// Bytes of all gates of a timestep, of four for each unit at most.
    pub(super) fn gates_bytes(&self, step: Step) -> u64 {
        u64::from(step.batch).saturating_mul(16 * u64::from(step.hidden))
    }

    /// Has the factors of a timestep's product read from the texture, the weight in front, where it stays from one timestep
    /// to the next; where the product has no terms, as little of them as there can be. Where `gates` are read from there
    /// too, they are bound once more, behind all else.
    pub(super) fn put_in_texture(
        &self,
        bound: &mut Vec<(Binding, u32)>,
        element_bytes: &[u64],
        depth: u32,
        gates: bool,
    ) {
        let changed = self.changed.and_then(|at| bound.get(at)).filter(|_| gates);
        let mut before = changed.map(|(gates, start)| (Binding { writes: None, ..gates.clone() }, *start));
        let (mut weight, mut others) = (Vec::new(), Vec::new());
        for (at, ((factor, start), bytes)) in bound.iter_mut().zip(element_bytes).take(self.factors).enumerate() {
            if depth == 0 {
                factor.bytes.end = factor.bytes.end.min(factor.bytes.start + TEXEL_BYTES);
            }
            if at == WEIGHT { &mut weight } else { &mut others }.push((factor, start, *bytes));
        }
        let behind = before.iter_mut().map(|(gates, start)| (gates, start, 4));
        put_in_texture(weight.into_iter().chain(others).chain(behind));
        bound.extend(before);
    }
}
