//! `plimsoll bench`: where the time of a run's steps goes.

use plimsoll::device::Device;
use plimsoll::error::Error;
use plimsoll::run::{BenchReport, Run};
use plimsoll::training::{OpTime, Session};

use crate::args::BenchArgs;
use crate::estimate::reached;
use crate::output::{Failure, json, say};
use crate::plan::{config, header, planned_here};
use crate::progress::rounded;
use crate::table::{draw, grouped};

/// Ops that are shown one by one; the shorter ones are summed up.
const SHOWN: usize = 16;

pub(crate) fn bench(args: &BenchArgs) -> Result<(), Failure> {
    let mut config = config(args.run.as_deref())?;
    config.budget.memory = args.memory.or(config.budget.memory);
    let run = Run::new(config)?;
    let mut device = Device::open()?;
    let probed = args.probe.look(&mut device, None);
    let (planned, mut report) = planned_here(&run, &device, probed)?;
    if let Some(refusal) = report.refusal.take() {
        return Err(Error::Refused(Box::new(refusal)).into());
    }
    let about = header(&run, &report, None);
    let session = Session::start(planned, &device)?;
    let measured = run.bench(&device, session, args.seconds.0.as_secs_f64())?.beside(&report);
    if args.json {
        return say(&json(&measured));
    }
    say(&[about, steps(&measured), ops(&measured)].join("\n\n"))
}

/// What a step takes as a whole.
fn steps(report: &BenchReport) -> String {
    let ms = |ms: f64| format!("{ms:.2} ms");
    let clock = match report.ops[..] {
        [] => "the device has no clock to ask".to_string(),
        _ => format!("{}, the sum of all dispatches one by one", ms(report.device_ms())),
    };
    let least = ms(report.least_wall_ms);
    let mut rows = vec![
        (
            "a step",
            match report.steps_at_once {
                1 => format!("{} at the median of {}, {least} at least", ms(report.wall_ms), report.steps),
                n => format!("{} at the median of {}, {n} at once; {least} at least", ms(report.wall_ms), report.steps),
            },
        ),
        ("expected", expected(report)),
        ("processor time", report.cpu_ms.map_or("not told by this system".into(), ms)),
        (
            "recording it",
            format!("{} on the host, for {} dispatches", ms(report.recording_ms), report.dispatches_per_step),
        ),
        ("waiting for data", ms(report.loading_ms)),
        ("on the device", clock),
        ("the first step", format!("{}, kernels compiled", ms(report.first_step_ms))),
        ("speed", format!("{} predictions a second", rounded(report.tokens_per_second))),
    ];
    if let Some(peaks) = report.peaks {
        let (product, stream) = (peaks.gflops, peaks.gigabytes);
        let rate = format!("{product:.1} GFLOP/s by a product of {}, {stream:.1} GB/s number by number", peaks.product);
        rows.push(("reached here", rate));
    }
    draw(&["", ""], rows.into_iter().map(|(what, is)| vec![what.to_string(), is]))
}

/// What a step was expected to take, beside what it took.
fn expected(report: &BenchReport) -> String {
    let Some((ms, probed)) = report.predicted_ms.zip(report.probed.as_ref()) else {
        return "nothing was probed".into();
    };
    let share = 100.0 * (ms / report.wall_ms - 1.0);
    format!("{ms:.2} ms if nothing else is at work, {share:+.0} % beside the median; by {}", reached(probed))
}

/// Op by op, the longest first.
fn ops(report: &BenchReport) -> String {
    let all = report.ops.iter().map(|op| op.nanoseconds).sum::<f64>().max(1.0);
    let row = |op: &OpTime| {
        let rate = |amount: u64, peak: Option<f64>| {
            let reached = amount as f64 / op.nanoseconds.max(1.0);
            let share = peak.map_or_else(String::new, |peak| format!(" {:>3.0} %", 100.0 * reached / peak));
            if amount == 0 { "-".to_string() } else { format!("{reached:.1}{share}") }
        };
        vec![
            format!("{} {}", op.layer, op.op),
            op.program.to_string(),
            grouped(op.dispatches),
            format!("{:.3}", op.nanoseconds / 1e6),
            format!("{:.1} %", 100.0 * op.nanoseconds / all),
            rate(op.flops, report.peaks.map(|p| p.gflops)),
            rate(op.bytes, report.peaks.map(|p| p.gigabytes)),
            op.kernel.clone(),
        ]
    };
    let (shown, rest) = report.ops.split_at(report.ops.len().min(SHOWN));
    let mut rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    if !rest.is_empty() {
        let nanoseconds: f64 = rest.iter().map(|op| op.nanoseconds).sum();
        let dispatches = grouped(rest.iter().map(|op| op.dispatches).sum());
        let (time, share) = (format!("{:.3}", nanoseconds / 1e6), format!("{:.1} %", 100.0 * nanoseconds / all));
        let mut sum = vec![format!("{} shorter ones", rest.len()), String::new(), dispatches, time, share];
        sum.resize(8, String::new());
        rows.push(sum);
    }
    if rows.is_empty() {
        return "The device does not time its dispatches, so there is no more to tell.".to_string();
    }
    draw(&["op", "program", ">dispatches", ">ms", ">share", ">GFLOP/s", ">GB/s", "kernel that takes longest"], rows)
}
