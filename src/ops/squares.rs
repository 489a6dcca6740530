//! `sum of x^2`, in 64 parts: what the lengths of gradients, and their bounds, are told from.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{Binding, Dispatch, Lowering, Operand, clamp};
use crate::shader;

/// Workgroups, and so partial sums, of each tensor.
pub(super) const PARTIALS: u32 = 64;
/// Threads of a workgroup.
const THREADS: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    accumulate: u32,
}

/// Sums the squares of input `i` into its own partial sums in output 1, chunk upon chunk.
pub(super) fn dispatches(at: &Lowering, i: usize) -> Vec<Dispatch> {
    let bytes = u64::from(PARTIALS) * 4;
    let own = i as u64 * bytes..(i as u64 + 1) * bytes;
    let (input, ty) = (Operand::Input(i), &at.inputs[i]);
    let constants = [("H", at.storage(input)), ("V", Lowering::width(ty.len()))];
    let chunks = at.chunks(ty.len());
    chunks
        .map(|chunk| {
            let accumulate = chunk.start > 0;
            let params = Params { len: clamp(chunk.end - chunk.start), accumulate: accumulate.into() };
            let sums = Operand::Output(1);
            let partials =
                if accumulate { Binding::update(sums, sums, own.clone()) } else { Binding::write(sums, own.clone()) };
            // The last half of an odd number of them has a word to itself.
            let end = if chunk.end == ty.len() { ty.bytes() } else { chunk.end * ty.dtype.bytes() };
            Dispatch {
                shader: shader!("sum_of_squares").with(&constants),
                params: bytes_of(&params).to_vec(),
                groups: [PARTIALS, 1, 1],
                bindings: vec![Binding::read(input, chunk.start * ty.dtype.bytes()..end), partials],
                tile: None,
            }
        })
        .collect()
}

/// The partial sums of a tensor.
pub(super) fn reference(at: &Lowering, x: &[f64]) -> Vec<f64> {
    let mut partials = vec![0.0; PARTIALS as usize];
    let stride = Lowering::width(x.len() as u64) as usize * THREADS;
    let mut rest = x;
    for chunk in at.chunks(x.len() as u64) {
        let (now, later) = rest.split_at(clamp(chunk.end - chunk.start) as usize);
        for (group, part) in now.chunks(stride).enumerate() {
            partials[group % PARTIALS as usize] += part.iter().map(|x| x * x).sum::<f64>();
        }
        rest = later;
    }
    partials
}
