//! What the benches share: processor time beside criterion's wall time.

pub(crate) mod clock;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Throughput};

use clock::{Clock, ms};

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
