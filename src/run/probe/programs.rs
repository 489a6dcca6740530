//! The programs that a probe runs: see the table in front of the probe.

use crate::error::Error;
use crate::graph::{Graph, Role};
use crate::ids::SlotId;
use crate::ops::matmul::kernel::{Epilogue, Product, Variant, choose, variants};
use crate::ops::{Adam, Binary, ColumnSum, Copy, Fill, Layout, Lstm, LstmGradient, Matmul, ShapeError, Update};
use crate::plan::{Plan, Rates, Staging};
use crate::target::{DeviceKind, Target, TextureRates, Windows};
use crate::tensor::TensorType;

/// The products that are timed; the other programs have names of their own.
pub(super) const PRODUCTS: [(&str, Layout); 3] = [("nn", Layout::Nn), ("nt", Layout::Nt), ("tn", Layout::Tn)];
/// The one of them that is made in other ways as well.
pub(super) const LARGE: (&str, Layout) = PRODUCTS[1];
/// A product that is next to nothing, and its extents.
pub(super) const TINY: (&str, [u32; 3]) = ("tiny", [8, 8, 4]);
/// What moves bytes.
pub(super) const STREAMS: [&str; 3] = ["columns", "sum", UPDATE];
/// The one of them that is made with what it reads in a texture as well.
pub(super) const UPDATE: &str = "update";
/// What goes through timesteps in one dispatch, forward and back, and its units.
pub(super) const WINDOWS: [(&str, u32); 2] = [("few units", 32), ("more units", 128)];
/// Timesteps of these, and rows.
const WINDOW: [u32; 2] = [32, 32];
/// Rows, columns and terms of the product that is short.
const SHORT: [u32; 3] = [512, 512, 16];
/// Rows of which columns are summed: few enough for there to be many columns.
const ROWS: u32 = 128;
/// Elements that the dispatches with next to nothing to do go through, two workgroups of them.
const IDLE: u32 = 2048;

/// How large the probe's tensors are: large enough for all workgroups, and as small as that allows.
#[derive(Clone, Copy)]
struct Sizes {
    /// Rows, columns and terms of the large products. Rows of some KiB, as in training, are slower to walk than short
    /// ones.
    product: [u32; 3],
    /// The same of a product that is one tile whatever kernel makes it.
    tile: [u32; 3],
    /// Elements of what is streamed.
    len: u32,
}

impl Sizes {
    fn of(target: &Target) -> Self {
        match target.device_kind {
            // A step of a run works on no more at a time.
            DeviceKind::Cpu => Self { product: [512, 1024, 512], tile: [8, 16, 4096], len: 1 << 19 },
            // More than its caches hold.
            DeviceKind::Discrete => Self { product: [2048, 2048, 512], tile: [8, 4, 4096], len: 1 << 23 },
            _ => Self { product: [1024, 1024, 512], tile: [8, 4, 4096], len: 1 << 20 },
        }
    }
}

/// The plan of the probe's programs, and the slot to wait for.
pub(super) fn plan(target: &Target) -> Result<(Plan, SlotId), Error> {
    let fault = |e: ShapeError| Error::Input(format!("a probe of the device: {e}"));
    let mut graph = Graph::default();
    let waited_for = write(&mut graph, Sizes::of(target)).map_err(fault)?;
    // What a software adapter takes for a window is told by what it takes for products.
    if target.device_kind != DeviceKind::Cpu {
        WINDOWS.iter().try_for_each(|&(name, hidden)| window(&mut graph, name, hidden)).map_err(fault)?;
    }
    graph.protect();
    let target = &Target { windows: Windows::Whole, ..unmeasured(target) };
    let plan = Plan::new(graph, target, Staging::for_traffic(0, 0, 0, 4096));
    plan.replay()?;
    Ok((plan, waited_for))
}

/// A way to make the large product that is chosen only where a probe found it quicker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// By the tallest tiles.
    Tall,
    /// With its factors in a texture.
    Textured,
}

impl Other {
    /// The plan of the product made so, with a texture also of one that is next to nothing, and the slot to wait for; `None` where there is no
    /// kernel for it.
    pub(super) fn plan(self, target: &Target) -> Result<Option<(Plan, SlotId)>, Error> {
        if !variants(target, false).into_iter().any(|variant| self.is_by(variant)) {
            return Ok(None);
        }
        let mut graph = Graph::default();
        let Sizes { product: [m, n, k], .. } = Sizes::of(target);
        let [a, b, made, waited_for] =
            [m * k, k * n, m * n, 1].map(|len| graph.slot("probe", Role::Result, 4 * u64::from(len), 1));
        let products = [(LARGE.0, [m, n, k]), TINY];
        for (name, extents) in products.into_iter().take(if self == Other::Textured { 2 } else { 1 }) {
            product(&mut graph, name, (LARGE.1, extents), [a, b], made)
                .map_err(|e| Error::Input(format!("a probe of the device: {e}")))?;
        }
        graph.protect();
        let plan = Plan::new(graph, &self.preferred(target), Staging::for_traffic(0, 0, 0, 4096));
        plan.replay()?;
        Ok(Some((plan, waited_for)))
    }

    /// How much longer the product would take so than otherwise, if what the sizes of tiles let expect were so.
    pub(super) fn work(self, target: &Target) -> f64 {
        let product = Product::new(LARGE.1, Sizes::of(target).product, Epilogue::default());
        let of = |target: &Target| choose(&product, target, true, false).cost(&product, 1.0) as f64;
        of(&self.preferred(target)) / of(&unmeasured(target))
    }

    fn is_by(self, variant: Variant) -> bool {
        match self {
            Other::Tall => variant.is_tall(),
            Other::Textured => matches!(variant, Variant::Textured { .. }),
        }
    }

    /// A device that seems to be so fast so that it is chosen.
    fn preferred(self, target: &Target) -> Target {
        let rates = match self {
            Other::Tall => Rates { tall_tiles: Some(0.01), ..Rates::assumed() },
            Other::Textured => Rates { textures: Some(TextureRates::FREE), ..Rates::assumed() },
        };
        Target { rates: Some(rates), ..target.clone() }
    }
}

/// The plan of the optimizer's update with what it reads in a texture, and the slot to wait for.
pub(super) fn update_in_texture(target: &Target) -> Result<(Plan, SlotId), Error> {
    let mut graph = Graph::default();
    let waited_for = graph.slot("probe", Role::Result, 4, 1);
    let len = Sizes::of(target).len;
    let [kept @ .., gradient] = [(); 4].map(|()| graph.slot("probe", Role::Parameter, 4 * u64::from(len), 1));
    update(&mut graph, len, kept, gradient).map_err(|e| Error::Input(format!("a probe of the device: {e}")))?;
    graph.protect();
    let plan = Plan::new(graph, &Other::Textured.preferred(target), Staging::for_traffic(0, 0, 0, 4096));
    plan.replay()?;
    Ok((plan, waited_for))
}

/// One of which nothing is known.
fn unmeasured(target: &Target) -> Target {
    Target { rates: None, ..target.clone() }
}

/// Writes the programs; returns the slot to wait for.
fn write(graph: &mut Graph, sizes: Sizes) -> Result<SlotId, ShapeError> {
    let Sizes { product: [m, n, k], tile, len } = sizes;
    let slot = |graph: &mut Graph, role, len: u32| graph.slot("probe", role, 4 * u64::from(len), 1);
    let waited_for = slot(graph, Role::Result, 1);

    graph.begin("idle");
    let [filled, added] = [(); 2].map(|()| slot(graph, Role::Result, IDLE));
    let value = graph.apply_one(Fill { value: 0.0, shape: vec![IDLE] }, &[])?;
    let value = graph.store(value, filled, 0);
    let sum = graph.apply_one(Binary::Add, &[value, value])?;
    graph.store(sum, added, 0);

    let made = slot(graph, Role::Result, m * n);
    let factors = [m * k, k * n].map(|len| slot(graph, Role::Input, len));
    for (name, layout) in PRODUCTS {
        product(graph, name, (layout, [m, n, k]), factors, made)?;
    }
    product(graph, "short", (Layout::Tn, SHORT), factors, made)?;
    let factors = [tile[0] * tile[2], tile[1] * tile[2]].map(|len| slot(graph, Role::Input, len));
    product(graph, "tile", (Layout::Nt, tile), factors, made)?;

    let list = TensorType::f32(&[len]);
    let kept = [(); 3].map(|()| slot(graph, Role::Parameter, len));
    let gradient = slot(graph, Role::Gradient, len);
    let columns = slot(graph, Role::Result, len / ROWS);
    graph.begin("columns");
    let rows = graph.content(gradient, 0, TensorType::f32(&[ROWS, len / ROWS]), "probe");
    let summed = graph.apply_one(ColumnSum { accumulate: false }, &[rows])?;
    graph.store(summed, columns, 0);

    graph.begin("sum");
    let [a, b] = [kept[0], kept[1]].map(|slot| graph.content(slot, 0, list.clone(), "probe"));
    let summed = graph.apply_one(Binary::Add, &[a, b])?;
    graph.store(summed, gradient, 0);

    update(graph, len, kept, gradient)?;
    Ok(waited_for)
}

/// Writes the program that updates so many parameters.
fn update(graph: &mut Graph, len: u32, kept: [SlotId; 3], gradient: SlotId) -> Result<(), ShapeError> {
    graph.begin(UPDATE);
    let list = TensorType::f32(&[len]);
    let [w, m, v] = kept.map(|slot| graph.content(slot, 0, list.clone(), "probe"));
    let g = graph.content(gradient, 0, list, "probe");
    let [scalars, norm] = [8, 2].map(|len| graph.held("probe", Role::Input, TensorType::f32(&[len]), 1));
    let adam = Adam { beta2: 0.999, eps: 1e-8, decoupled: true, update: Update::default() };
    let updated = graph.apply(adam, &[w, g, scalars, norm, m, v])?;
    for (value, slot) in updated.into_iter().zip(kept) {
        graph.store(value, slot, 0);
    }
    Ok(())
}

/// Writes a program that goes through a window of an LSTM of so many units, forward and back.
fn window(graph: &mut Graph, name: &'static str, hidden: u32) -> Result<(), ShapeError> {
    let [time, batch] = WINDOW;
    graph.begin(name);
    let [w, state] = [[4 * hidden, hidden, 1], [2, batch, hidden]].map(|shape| {
        let shape = if shape[2] == 1 { &shape[..2] } else { &shape[..] };
        graph.held("probe", Role::Input, TensorType::f32(shape), 1)
    });
    let filled = |shape: [u32; 3]| Fill { value: 0.0, shape: shape.to_vec() };
    let xp = graph.apply_one(filled([time, batch, 4 * hidden]), &[])?;
    let made = graph.apply(Lstm { bias: false, lengths: false, reverse: false }, &[xp, state, w])?;
    let &[_, c, gates, _] = &made[..] else { unreachable!("an LSTM makes four tensors") };
    let dy = graph.apply_one(filled([time, batch, hidden]), &[])?;
    let carry = graph.apply_one(filled([2, batch, hidden]), &[])?;
    let back = LstmGradient { lengths: false, reverse: false };
    let dgates = graph.apply_one(back, &[dy, gates, c, state, w, carry])?;
    // What lies where the gates lay can lie nowhere else.
    let dgates = graph.apply_one(Copy, &[dgates])?;
    let kept = graph.slot("probe", Role::Result, graph[dgates].ty.bytes(), 1);
    graph.store(dgates, kept, 0);
    Ok(())
}

/// Writes a program that is one product of what `factors` hold.
fn product(
    graph: &mut Graph,
    name: &'static str,
    (layout, [m, n, k]): (Layout, [u32; 3]),
    factors: [SlotId; 2],
    made: SlotId,
) -> Result<(), ShapeError> {
    let shapes = match layout {
        Layout::Nn => [[m, k], [k, n]],
        Layout::Nt => [[m, k], [n, k]],
        Layout::Tn => [[k, m], [k, n]],
    };
    graph.begin(name);
    let mut read = |slot, shape: &[u32; 2]| graph.content(slot, 0, TensorType::f32(shape), "probe");
    let [a, b] = [read(factors[0], &shapes[0]), read(factors[1], &shapes[1])];
    let c = graph.apply_one(Matmul::new(layout), &[a, b])?;
    graph.store(c, made, 0);
    Ok(())
}
