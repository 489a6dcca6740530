//! Where the operands of a product are, and what a kernel is told of them.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{Extra, Product, Variant, Width, in_texture};
use crate::ops::{Binding, Dispatch, clamp};
use crate::shader::texture;
use crate::target::Target;
use crate::tensor::DType;

/// Where the operands of a product are. They may start at any element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operands {
    /// The left factor.
    pub a: Binding,
    /// The right factor.
    pub b: Binding,
    /// What [`Extra`] says.
    pub extra: Option<Binding>,
    /// The product, both read and written where it accumulates.
    pub c: Binding,
    /// How `a`, `b`, `extra` and `c` are stored.
    pub dtypes: [DType; 4],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    flags: u32,
    stride: u32,
    /// First elements of `a`, `b`, `extra` and `c` in what is bound, and of `c` where it is read.
    starts: [u32; 5],
}

impl Operands {
    /// Whether each starts at a multiple of four elements.
    pub fn start_at_quads(&self) -> bool {
        let Operands { a, b, extra, c, dtypes } = self;
        let mut all = [Some(a), Some(b), extra.as_ref(), Some(c)].into_iter().zip(dtypes);
        all.all(|(operand, dtype)| operand.is_none_or(|o| o.bytes.start % (4 * dtype.bytes()) == 0))
    }
}

/// Has what these bind read from the texture, one below the other, with the first elements that their kernel is told of,
/// which have so many bytes.
pub(crate) fn put_in_texture<'a>(factors: impl IntoIterator<Item = (&'a mut Binding, &'a mut u32, u64)>) {
    let mut row = 0;
    for (factor, start, element_bytes) in factors {
        factor.texture_row = Some(clamp(row));
        factor.texture_kept = false;
        *start += clamp(row * texture::ROW_BYTES / element_bytes);
        row += texture::rows(factor.bound_bytes());
    }
}

/// The dispatch of `product` by this kernel, which has to fit it.
pub fn dispatch_with(variant: Variant, product: &Product, target: &Target, operands: Operands) -> Dispatch {
    let wide = variant.width() == Width::Four;
    assert!(variant.fits(product) && (!wide || operands.start_at_quads()), "{variant:?} cannot make {product:?}");
    assert_eq!(operands.extra.is_some(), product.epilogue.extra != Extra::None, "the third operand of {product:?}");
    let Operands { a, b, extra, c, dtypes } = operands;
    // Something has to be bound, even though it is not read.
    let extra = extra.unwrap_or_else(|| a.clone());
    let mut bytes = dtypes.iter().map(|dtype| dtype.bytes());
    let mut bound = [a, b, extra, c].map(|o| o.aligned(target.place_align(), bytes.next().expect("one for each")));
    let mut was = bound[3].clone();
    was.0.writes = None;
    let adds = variant.is_textured() && product.reads_sums_from_texture(target, dtypes[3]);
    if variant.is_textured() {
        let [a, b, ..] = &mut bound;
        // The right factor in front, as the weight of a cell: of products with one weight it stays where it is.
        let copied = [(b, dtypes[1]), (a, dtypes[0])].into_iter().chain(adds.then_some((&mut was, dtypes[3])));
        put_in_texture(copied.map(|((factor, start), dtype)| (factor, start, dtype.bytes())));
    }
    let [a, b, extra, c] = bound.each_ref().map(|(_, start)| *start);
    let params = Params {
        m: product.m,
        n: product.n,
        k: product.k,
        flags: product.epilogue.flags(),
        stride: product.a_stride,
        starts: [a, b, extra, c, was.1],
    };
    let mut storages = dtypes.map(|dtype| target.storage(dtype));
    if adds {
        storages[3] = in_texture(storages[3]);
    }
    let [columns, rows] = variant.tile();
    let (rows, most) = (product.m.div_ceil(rows), target.limits.max_compute_workgroups_per_dimension);
    let folds = rows.div_ceil(most.max(1)).max(1);
    Dispatch {
        shader: variant.shader(product, storages),
        params: bytes_of(&params).to_vec(),
        groups: [product.n.div_ceil(columns), rows.div_ceil(folds), folds],
        bindings: bound.into_iter().chain(adds.then_some(was)).map(|(binding, _)| binding).collect(),
        tile: Some(variant.work_on(target, product.k)),
    }
}
