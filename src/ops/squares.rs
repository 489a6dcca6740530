//! `sum of x^2`, in 64 parts: what the lengths of gradients, and their bounds, are told from.

use std::ops::Range;

use bytemuck::{Pod, Zeroable, bytes_of};

use super::streams::{Source, Streams, WHOLE, pieces};
use super::{Binding, Dispatch, Lowering, Operand, clamp};
use crate::shader;
use crate::target::DeviceKind;
use crate::tensor::DType;

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
    let width = Lowering::width(ty.len());
    chunks(at, ty.len())
        .map(|chunk| {
            let len = chunk.end - chunk.start;
            let one = Streams { read: 1, written: 0 };
            let textured = ty.dtype == DType::F32 && width == 4 && one.are_quicker_as_a_whole(at.target, len);
            let source = Source::new(textured, 4 * len);
            let storage = source.storage(at.storage(input));
            let accumulate = chunk.start > 0;
            let params = Params { len: clamp(len), accumulate: accumulate.into() };
            let sums = Operand::Output(1);
            let partials =
                if accumulate { Binding::update(sums, sums, own.clone()) } else { Binding::write(sums, own.clone()) };
            // The last half of an odd number of them has a word to itself.
            let end = if chunk.end == ty.len() { ty.bytes() } else { chunk.end * ty.dtype.bytes() };
            let read = Binding::read(input, chunk.start * ty.dtype.bytes()..end);
            Dispatch {
                shader: shader!("sum_of_squares").with(&[("H", storage), ("V", width)]),
                params: bytes_of(&params).to_vec(),
                groups: [PARTIALS, 1, 1],
                bindings: vec![source.operand(0, read), partials],
                tile: None,
            }
        })
        .collect()
}

/// What each dispatch sums of so many numbers: on a software adapter no more than may be in the texture, which is so much
/// that another dispatch is next to nothing beside it; whether they are there or not, so that the same sums come out.
fn chunks(at: &Lowering, len: u64) -> impl Iterator<Item = Range<u64>> + use<> {
    let most = if at.target.device_kind == DeviceKind::Cpu { WHOLE } else { u64::MAX };
    at.chunks(len).flat_map(move |chunk| pieces(chunk, most))
}

/// The partial sums of a tensor.
pub(super) fn reference(at: &Lowering, x: &[f64]) -> Vec<f64> {
    let mut partials = vec![0.0; PARTIALS as usize];
    let stride = Lowering::width(x.len() as u64) as usize * THREADS;
    let mut rest = x;
    for chunk in chunks(at, x.len() as u64) {
        let (now, later) = rest.split_at(clamp(chunk.end - chunk.start) as usize);
        for (group, part) in now.chunks(stride).enumerate() {
            partials[group % PARTIALS as usize] += part.iter().map(|x| x * x).sum::<f64>();
        }
        rest = later;
    }
    partials
}
