//! What the threads of this process have spent on processors, but for the one that asks: a software adapter computes
//! on them, and unlike the wall they do not tell of what other processes did meanwhile.

use std::fs;

/// Seconds of all other threads so far, where Linux tells to the nanosecond; threads that have ended do not count.
pub(super) fn others_seconds() -> Option<f64> {
    let own = fs::read_link("/proc/thread-self").ok()?;
    let threads = fs::read_dir("/proc/self/task").ok()?.filter_map(Result::ok);
    let others = threads.filter(|thread| Some(thread.file_name().as_os_str()) != own.file_name());
    // One that ends while it is looked at has no file any more.
    let texts = others.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    let all: Option<f64> = texts.map(|text| on_processor(&text)).sum();
    all.map(|nanoseconds| nanoseconds / 1e9)
}

/// The first of the three numbers of `schedstat`: nanoseconds on a processor.
fn on_processor(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_counts_and_what_is_none_is_not_believed() {
        assert_eq!(on_processor("4070312 1289 7\n"), Some(4_070_312.0));
        assert_eq!(on_processor(""), None);
        assert_eq!(on_processor("many 1289 7"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_another_thread_computes_is_counted() {
        let Some(before) = others_seconds() else { return };
        let worked = || (0..20_000_000u64).fold(1u64, |x, i| std::hint::black_box(x.wrapping_mul(31) ^ i));
        let (done, wait) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::hint::black_box(worked());
                done.wait();
                wait.wait();
            });
            done.wait();
            let after = others_seconds().unwrap();
            wait.wait();
            assert!(after - before > 1e-3, "{after} > {before}");
        });
    }
}
