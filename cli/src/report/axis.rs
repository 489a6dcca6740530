//! Where a number stands on an axis, which numbers are marked there, and how numbers are written.

/// Marks of an axis, about.
const MARKS: f64 = 5.0;
/// From this ratio of the largest to the smallest on, an axis is logarithmic where it may be.
const WIDE: f64 = 30.0;

/// An axis from its lowest number to its highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    pub(super) log: bool,
}

impl Axis {
    /// One on which all finite `numbers` have room; logarithmic if it `may_be_log` and they differ that
    /// much. None of no number.
    pub(crate) fn around(numbers: impl Iterator<Item = f64>, may_be_log: bool) -> Option<Self> {
        let mut range: Option<(f64, f64)> = None;
        for number in numbers.filter(|number| number.is_finite()) {
            let (low, high) = range.unwrap_or((number, number));
            range = Some((low.min(number), high.max(number)));
        }
        let (low, high) = range?;
        let log = may_be_log && low > 0.0 && high / low >= WIDE;
        if log {
            let margin = (high / low).powf(0.04);
            return Some(Self { low: low / margin, high: high * margin, log });
        }
        let width = high - low;
        // Of one number alone, a part of it to both sides.
        let margin = if width > 1e-9 * low.abs().max(high.abs()) { 0.05 * width } else { low.abs().max(1e-3) * 0.5 };
        // What is never negative has no axis that goes below nothing.
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Some(Self { low: (low - margin).max(floor), high: high + margin, log })
    }

    /// One from step `first` to step `last`, without margins.
    pub(super) fn of_steps(first: u64, last: u64) -> Self {
        Self { low: first as f64, high: last.max(first + 1) as f64, log: false }
    }

    /// Where `number` is, from 0 at the lowest to 1 at the highest.
    pub(crate) fn place(&self, number: f64) -> f64 {
        match self.log {
            true => (number / self.low).ln() / (self.high / self.low).ln(),
            false => (number - self.low) / (self.high - self.low),
        }
    }

    /// The numbers that are marked, each as it is written.
    pub(crate) fn marks(&self) -> Vec<(f64, String)> {
        if self.log {
            return self.log_marks().into_iter().map(|number| (number, number_text(number))).collect();
        }
        let step = nice((self.high - self.low) / MARKS);
        // Rounded up, so that the first mark is not below the axis.
        let first = (self.low / step).ceil();
        let marks = (0..12).map(|i| (first + f64::from(i)) * step).take_while(|n| *n <= self.high * (1.0 + 1e-12));
        marks.map(|number| (number, mark_text(number, step))).collect()
    }

    /// The same of whole numbers.
    pub(super) fn whole_marks(&self) -> Vec<(f64, String)> {
        let step = nice((self.high - self.low) / MARKS).max(1.0);
        let first = (self.low / step).ceil();
        let marks = (0..12).map(|i| (first + f64::from(i)) * step).take_while(|n| *n <= self.high);
        marks.map(|number| (number, whole_text(number))).collect()
    }

    /// Powers of ten, or where there are too few of them 1, 2 and 5 of each.
    fn log_marks(&self) -> Vec<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "a double has some 600 powers of ten")]
        let power = |number: f64| number.log10().floor() as i32;
        let (from, to) = (power(self.low), power(self.high));
        let every = ((to - from) / 5).max(1);
        let all = |digits: &[f64]| -> Vec<f64> {
            let powers = (from..=to).filter(|p| digits.len() > 1 || (p - from) % every == 0);
            let numbers = powers.flat_map(|p| digits.iter().map(move |digit| digit * 10f64.powi(p)));
            numbers.filter(|n| (self.low..=self.high).contains(n)).collect()
        };
        let powers = all(&[1.0]);
        if powers.len() >= 3 { powers } else { all(&[1.0, 2.0, 5.0]) }
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= step * 0.999);
    digit.unwrap_or(10.0) * power
}

/// A mark, with as many decimals as tell it from the next.
fn mark_text(number: f64, step: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds asked for")]
    let decimals = (-step.log10().floor()).clamp(0.0, 4.0) as usize;
    let number = if number.abs() < step / 2.0 { 0.0 } else { number };
    if number != 0.0 && !(1e-4..1e6).contains(&step) { short_power(number) } else { format!("{number:.decimals$}") }
}

/// A step's number: 1,500, or where it is long 1.5M.
pub(super) fn whole_text(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{}M", trimmed(&format!("{:.2}", n / 1e6))),
        n if n >= 1e4 => format!("{}k", trimmed(&format!("{:.2}", n / 1e3))),
        n => format!("{n:.0}"),
    }
}

/// A number as it is told: about five digits.
pub(super) fn number_text(number: f64) -> String {
    match number.abs() {
        _ if !number.is_finite() => "not finite".into(),
        0.0 => "0".into(),
        size if !(1e-3..1e6).contains(&size) => short_power(number),
        size => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds asked for")]
            let decimals = (4.0 - size.log10().floor()).clamp(0.0, 7.0) as usize;
            trimmed(&format!("{number:.decimals$}"))
        }
    }
}

fn short_power(number: f64) -> String {
    let text = format!("{number:.3e}");
    match text.split_once('e') {
        Some((digits, power)) => format!("{}e{power}", trimmed(digits)),
        None => text,
    }
}

fn trimmed(digits: &str) -> String {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.').into() } else { digits.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_lie_on_their_axis_and_so_do_its_marks() {
        let cases: [&[f64]; 8] = [
            &[1.0, 4.7],
            &[1e-4, 2.0],
            &[0.0, 0.002],
            &[-3.0, 5.0],
            &[7.0],
            &[0.0],
            &[1e-30, 1e30, f64::NAN, f64::INFINITY],
            &[65536.0, 32768.0],
        ];
        for numbers in cases {
            for log in [false, true] {
                let axis = Axis::around(numbers.iter().copied(), log).unwrap();
                let finite = || numbers.iter().copied().filter(|n| n.is_finite());
                assert!(finite().all(|n| (0.0..=1.0).contains(&axis.place(n))), "{axis:?}");
                let marks = axis.marks();
                assert!((2..=12).contains(&marks.len()), "{numbers:?}: {marks:?}");
                assert!(marks.iter().all(|(n, _)| (-1e-9..=1.0 + 1e-9).contains(&axis.place(*n))), "{marks:?}");
                assert!(marks.windows(2).all(|pair| pair[0].1 != pair[1].1), "{marks:?}");
            }
        }
        assert_eq!(Axis::around([f64::NAN].into_iter(), true), None);
        assert!(Axis::around([1e-4, 1.0].into_iter(), true).unwrap().log);
        assert!(!Axis::around([0.0, 1.0].into_iter(), true).unwrap().log, "0 has no logarithm");
    }

    #[test]
    fn numbers_are_written_as_short_as_they_can_be_read() {
        let cases = [
            (0.5, "0.5"),
            (1.23456789, "1.2346"),
            (0.002, "0.002"),
            (2.5e-7, "2.5e-7"),
            (65536.0, "65536"),
            (1e9, "1e9"),
            (f64::NAN, "not finite"),
        ];
        for (number, text) in cases {
            assert_eq!(number_text(number), text);
        }
        let steps = Axis::of_steps(1, 2000).whole_marks();
        assert_eq!(steps.iter().map(|m| &*m.1).collect::<Vec<_>>(), ["500", "1000", "1500", "2000"]);
        assert_eq!(whole_text(1_500_000.0), "1.5M");
    }
}
