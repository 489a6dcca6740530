//! Every kernel that can multiply matrices on the device, forced in turn: what a product takes by each, one after
//! another in a chain as the timesteps of a recurrence are.
//!
//! ```text
//! cargo bench --bench variants -- [PART-OF-A-NAME [halves]]
//! ```
//!
//! With a second word, of factors in halves alone. A software adapter is asked for no product that would take seconds.

#[path = "common/chain.rs"]
mod chain;

use std::time::Instant;

use plimsoll::Device;
use plimsoll::ops::Layout;
use plimsoll::ops::matmul::kernel::{Cooperative, Epilogue, Product, Tiling, Variant, Width, variants};
use plimsoll::target::DeviceKind;

use chain::Chain;

/// What is multiplied in training: squares, windows' projections and their gradients, timesteps and theirs.
const PRODUCTS: [(&str, Layout, [u32; 3]); 18] = [
    ("square 4096", Layout::Nn, [4096, 4096, 4096]),
    ("square 4096", Layout::Nt, [4096, 4096, 4096]),
    ("square 4096", Layout::Tn, [4096, 4096, 4096]),
    ("square 1024", Layout::Nt, [1024, 1024, 1024]),
    ("square 512", Layout::Nt, [512, 512, 512]),
    ("projection", Layout::Nt, [2048, 1024, 256]),
    ("of inputs", Layout::Nn, [2048, 256, 1024]),
    ("of weights", Layout::Tn, [1024, 256, 2048]),
    ("logits", Layout::Nt, [2048, 96, 256]),
    ("of logits' weights", Layout::Tn, [96, 256, 2048]),
    ("timestep", Layout::Nt, [32, 1024, 256]),
    ("timestep back", Layout::Nn, [32, 256, 1024]),
    ("timestep", Layout::Nt, [32, 2048, 512]),
    ("timestep back", Layout::Nn, [32, 512, 1536]),
    ("one tile", Layout::Nt, [8, 4, 4096]),
    ("perceptron", Layout::Nt, [128, 512, 784]),
    ("perceptron back", Layout::Nn, [128, 512, 512]),
    ("perceptron's weights", Layout::Tn, [512, 784, 128]),
];

/// Tiles of a product, at most.
const MOST_TILES: u32 = 16_384;
/// Arithmetic of a product on a software adapter, at most.
const MOST_ON_A_PROCESSOR: f64 = 3e9;
/// Seconds that each is measured for.
const LONG_ENOUGH: f64 = 0.05;
/// Seconds that each runs before, for a processor that has been idle to reach its pace.
const WARM_UP: f64 = 0.15;

/// Shared tiles beside those that are chosen from, for who looks for better ones.
const OTHERS: [Tiling; 11] = [
    Tiling { quads: [2, 2], threads: [16, 16], parts: 1, depth: 8 },
    Tiling { quads: [2, 2], threads: [16, 16], parts: 1, depth: 32 },
    Tiling { quads: [2, 2], threads: [8, 16], parts: 1, depth: 16 },
    Tiling { quads: [1, 1], threads: [2, 2], parts: 64, depth: 256 },
    Tiling { quads: [1, 1], threads: [2, 2], parts: 128, depth: 512 },
    Tiling { quads: [1, 1], threads: [2, 4], parts: 32, depth: 128 },
    Tiling { quads: [1, 1], threads: [2, 4], parts: 64, depth: 256 },
    Tiling { quads: [1, 1], threads: [4, 4], parts: 16, depth: 64 },
    Tiling { quads: [1, 1], threads: [4, 4], parts: 32, depth: 128 },
    Tiling { quads: [1, 1], threads: [4, 2], parts: 32, depth: 128 },
    Tiling { quads: [1, 1], threads: [1, 8], parts: 64, depth: 256 },
];

/// The same of matrix units.
const OTHER_MATRICES: [Cooperative; 3] = [
    Cooperative { lanes: 32, matrices: [4, 4], subgroups: [2, 2], depth: 32 },
    Cooperative { lanes: 32, matrices: [4, 2], subgroups: [4, 2], depth: 32 },
    Cooperative { lanes: 32, matrices: [2, 4], subgroups: [2, 4], depth: 64 },
];

fn main() {
    // Cargo's own arguments begin with a dash.
    let mut words = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let (wanted, only_halves) = (words.next().unwrap_or_default(), words.next().is_some());
    // Only `cargo bench` says so; what `cargo test` would want is what `tests/matmul_variants.rs` does.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let device = match Device::open() {
        Ok(device) => device,
        Err(error) => return println!("variants: skipped, for there is no device: {error}"),
    };
    println!("variants: on {}, {}", device.target().name, device.target().driver);
    for halves in [false, true].into_iter().filter(|halves| *halves || !only_halves) {
        let kept = if halves { "halves" } else { "f32" };
        for (name, layout, extents) in PRODUCTS.into_iter().filter(|(name, ..)| name.contains(&wanted)) {
            let product = Product::new(layout, extents, Epilogue::default());
            let work = 2.0 * extents.map(f64::from).iter().product::<f64>();
            if device.target().device_kind == DeviceKind::Cpu && work > MOST_ON_A_PROCESSOR {
                continue;
            }
            let mut all = variants(device.target(), halves);
            if matches!(all[0], Variant::Tiled { .. }) {
                let others = OTHERS.into_iter().filter(|tiling| tiling.fits(device.target()));
                all.extend(others.map(|tiling| Variant::Tiled { tiling, width: Width::Four }));
            }
            if all.iter().any(|kernel| matches!(kernel, Variant::Cooperative { .. })) {
                let others = OTHER_MATRICES.into_iter().filter(|matrices| matrices.fits(device.target()));
                all.extend(others.map(|matrices| Variant::Cooperative { matrices, width: Width::Four }));
            }
            all.retain(|kernel| kernel.fits(&product));
            // Where fours can be loaded at once they are, and no large product is cut into the narrowest tiles.
            let widest = all.iter().map(|kernel| kernel.width()).max_by_key(|width| *width as u32);
            let tiles = |kernel: &Variant| {
                let [columns, rows] = kernel.tile();
                product.n.div_ceil(columns) * product.m.div_ceil(rows)
            };
            // Of halves, what could be better than the kernel that is best in full.
            let of_halves = |kernel: &Variant| match kernel {
                Variant::Cooperative { .. } => true,
                Variant::Tiled { tiling, .. } => {
                    tiling.quads == [2, 2] && tiling.threads == [16, 16] && tiling.depth == 16
                }
                _ => false,
            };
            let worth = |kernel: &Variant| !halves || of_halves(kernel);
            let all = all.into_iter().filter(|v| Some(v.width()) == widest && tiles(v) <= MOST_TILES);
            for kernel in all.filter(worth) {
                let mut chain = Chain::new(&device, kernel, &product, halves);
                let warm = Instant::now();
                while warm.elapsed().as_secs_f64() < WARM_UP {
                    chain.run(1);
                }
                let mut runs = 1;
                let seconds = loop {
                    let started = Instant::now();
                    chain.run(runs);
                    let seconds = started.elapsed().as_secs_f64();
                    if seconds >= LONG_ENOUGH {
                        break seconds / f64::from(runs * chain.length);
                    }
                    runs *= 2;
                };
                println!(
                    "{name:<21} {layout:?} {extents:?} {kept} {:>9.2} us {:>9.1} GFLOP/s  {kernel:?}",
                    1e6 * seconds,
                    work / seconds / 1e9,
                );
            }
        }
    }
}
