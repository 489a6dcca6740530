//! What the benches share: a device, and processor time beside criterion's wall time.

pub(crate) mod clock;

use std::error::Error;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Throughput};
use plimsoll::Device;
use plimsoll::run::probe;

use clock::{Clock, ms};

/// The device, which chooses kernels by what a probe measures first, as the program does.
pub(crate) fn device() -> Result<Device, Box<dyn Error>> {
    let mut device = Device::open()?;
    device.set_rates(probe::measure(&device)?);
    Ok(device)
}

/// Measures what `make` makes, unless it is filtered out: criterion tells wall time, and a line after it
/// the processor time of a pass. `work` is how many of what `unit` names a pass has.
pub(crate) fn bench<P: FnMut(u64)>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    (work, unit): (u64, &str),
    make: impl Fn() -> P,
) {
    let (mut passes, mut least) = (None, f64::INFINITY);
    group.throughput(Throughput::Elements(work));
    group.bench_function(name, |bencher| {
        let pass = passes.get_or_insert_with(&make);
        bencher.iter_custom(|count| {
            let clock = Clock::start();
            pass(count);
            let spent = clock.spent();
            least = least.min(ms(spent.cpu, count));
            spent.wall
        });
    });
    if passes.is_some() {
        let rate = work as f64 / least / 1e6;
        println!("{:24}cpu:   {least:.4} ms a pass at least, which is {rate:.2} G{unit}/s and core", "");
    }
}
