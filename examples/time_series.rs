//! Forecasts the temperature of the sea off Peru, month by month, holds the forecast against simple
//! rules, and draws both it and the truth.
//!
//! ```text
//! cargo run --release --example time_series [PLOT.svg]
//! ```
use std::fmt::Write;
use std::path::PathBuf;

use plimsoll::config::{Config, Source};
use plimsoll::data::Target;
use plimsoll::data::csv::{self, Missing, Wanted};
use plimsoll::run::{Part, Run, Tally};
use plimsoll::{Bytes, Device, Error, Session};

/// The year of the file's first month, which is a January.
const FIRST_YEAR: f64 = 1950.0;

fn main() -> Result<(), Error> {
    let config = Config::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/time_series.toml").as_ref())?;
    let run = Run { predict: true, ..Run::new(config)? };
    let device = Device::open()?;
    let planned = run.plan(device.target())?;
    println!("{}: planned {}", device.target().name, Bytes(planned.plan.planned_bytes()).exact());
    let mut session = Session::start(planned, &device)?;
    let mut tally = Tally::new();
    for (step, batch) in (1..=run.steps()?).zip(run.batches()?) {
        tally.add(&session.step(&batch)?);
        if run.evaluates_after(step)
            && let Some(score) = run.score(&mut session, Part::Validation)?
        {
            let train = tally.train_loss().unwrap_or(f64::NAN);
            println!("step {step:4}  train loss {train:.4}  validation loss {:.4}", score.loss);
        }
    }

    // The model predicts the last months of the file; the rules are measured on the same.
    let forecast = run.predictions(&mut session, Part::Test)?;
    let months = months(&run)?;
    let start = months.len() - forecast.len();
    let learnt_from = run.examples().map_or(0, |e| e.parts.train.len()) + run.config.train.timesteps() as usize;
    let means = monthly_means(&months[..learnt_from]);
    let rmse = |rule: &dyn Fn(usize) -> f32| {
        let squares = (start..months.len()).map(|i| f64::from(rule(i) - months[i]).powi(2));
        (squares.sum::<f64>() / forecast.len() as f64).sqrt()
    };
    println!("root mean square error of {} months, in degrees Celsius:", forecast.len());
    println!("  {:.3}  as last month", rmse(&|i| months[i - 1]));
    println!("  {:.3}  as a year ago", rmse(&|i| months[i - 12]));
    println!("  {:.3}  as that month usually is", rmse(&|i| means[i % 12]));
    println!(
        "  {:.3}  as far from usual as last month",
        rmse(&|i| means[i % 12] + months[i - 1] - means[(i - 1) % 12])
    );
    println!("  {:.3}  the model", rmse(&|i| forecast[i - start]));

    let path = std::env::args_os().nth(1).map_or("time_series.svg".into(), PathBuf::from);
    let title = "Sea surface temperature, Niño 1+2: the next month from the 24 before";
    let lines = [("measured", "#3a86c8", &months[start..]), ("forecast", "#e4702a", &forecast[..])];
    plimsoll::storage::write_atomically(&path, svg(title, FIRST_YEAR + start as f64 / 12.0, &lines).as_bytes())?;
    println!("drawn in {}", path.display());
    Ok(())
}

/// All months of the file, in degrees.
fn months(run: &Run) -> Result<Vec<f32>, Error> {
    let Source::Series { file, inputs, targets, .. } = &run.config.data.source else { return Ok(Vec::new()) };
    let (inputs, targets) = (inputs.clone(), targets.clone());
    Ok(csv::read(file, &Wanted { inputs, targets, target: Target::Number, missing: Missing::Refuse })?.inputs.values)
}

/// The mean of all Januaries, of all Februaries, ...
fn monthly_means(months: &[f32]) -> [f32; 12] {
    std::array::from_fn(|m| {
        let of = months.iter().skip(m).step_by(12);
        of.clone().sum::<f32>() / of.count() as f32
    })
}

/// Lines over months from `first_year` on, as a picture for light and for dark pages.
fn svg(title: &str, first_year: f64, lines: &[(&str, &str, &[f32])]) -> String {
    let (width, height, left, right, top, bottom) = (960.0, 400.0, 56.0, 16.0, 64.0, 40.0);
    let all = || lines.iter().flat_map(|(.., values)| values.iter().copied());
    let (low, high) = (all().fold(f32::MAX, f32::min).floor(), all().fold(f32::MIN, f32::max).ceil());
    let months = lines.iter().map(|(.., values)| values.len()).max().unwrap_or(0).max(2);
    let x = |month: f64| left + (width - left - right) * month / (months - 1) as f64;
    let y = |degrees: f32| height - bottom - (height - top - bottom) * f64::from((degrees - low) / (high - low));

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#808080\">\n\
         <text x=\"{left}\" y=\"24\" font-size=\"16\">{title}</text>\n"
    );
    let mut put = |line: String| out.write_fmt(format_args!("{line}\n")).expect("a string takes all");
    let mut degrees = low;
    while degrees <= high {
        let (y, end) = (y(degrees), width - right);
        put(format!("<path d=\"M{left} {y:.1}H{end}\" stroke=\"#808080\" stroke-opacity=\"0.3\"/>"));
        put(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{degrees} °C</text>", left - 8.0, y + 4.5));
        degrees += 2.0;
    }
    for year in
        (0..).map(|n| first_year.ceil() + f64::from(n)).take_while(|year| (year - first_year) * 12.0 < months as f64)
    {
        let (x, foot) = (x((year - first_year) * 12.0), height - bottom);
        put(format!("<path d=\"M{x:.1} {foot}v6\" stroke=\"#808080\"/>"));
        put(format!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{year}</text>", foot + 22.0));
    }
    for (n, (name, colour, values)) in lines.iter().enumerate() {
        let points: Vec<_> =
            values.iter().enumerate().map(|(i, &v)| format!("{:.1},{:.1}", x(i as f64), y(v))).collect();
        let points = points.join(" ");
        put(format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>"));
        let x = left + 110.0 * n as f64;
        put(format!("<path d=\"M{x} 44h24\" stroke=\"{colour}\" stroke-width=\"3\"/>"));
        put(format!("<text x=\"{}\" y=\"48.5\">{name}</text>", x + 32.0));
    }
    out + "</svg>\n"
}
