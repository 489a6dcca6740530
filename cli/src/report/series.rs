//! A line of a chart: smoothed, and thinned such that no peak is lost.

/// Columns that a line is thinned to.
pub(super) const COLUMNS: usize = 480;
/// A line is smoothed over this part of its points.
const SMOOTHED: usize = 40;

/// Numbers by step, in ascending order. What is not finite is NaN.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) points: Vec<(u64, f64)>,
    /// The same, smoothed; empty where it is not.
    pub(super) smooth: Vec<f64>,
}

/// What lies in one column of the chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Column {
    /// The first and the last step.
    pub(super) steps: (u64, u64),
    /// The numbers at its edges, and its extremes; NaN where none is finite.
    pub(super) first: f64,
    pub(super) last: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Smoothed, at its last step; NaN where it is not.
    pub(super) smooth: f64,
    /// How many are not finite.
    pub(super) not_finite: usize,
}

impl Series {
    pub(super) fn new(name: &'static str, points: impl IntoIterator<Item = (u64, f64)>) -> Self {
        let points = points.into_iter().map(|(step, n)| (step, if n.is_finite() { n } else { f64::NAN })).collect();
        Self { name, points, smooth: Vec::new() }
    }

    /// Over how many steps it is smoothed; 1 is not at all.
    pub(super) fn span(&self) -> usize {
        (self.points.len() / SMOOTHED).max(1)
    }

    /// The same with a smoothed line: at each point the mean of all, in which another counts less the farther
    /// away it is, before or after.
    pub(super) fn smoothed(mut self) -> Self {
        let keep = 1.0 - 1.0 / self.span() as f64;
        if self.span() == 1 {
            return self;
        }
        let past: Vec<_> = sums(self.points.iter(), keep).collect();
        let mut future: Vec<_> = sums(self.points.iter().rev(), keep).collect();
        future.reverse();
        let sums = past.into_iter().zip(future);
        let means = self.points.iter().zip(sums).map(|((_, number), ((a, n), (b, m)))| {
            // The point itself is in both.
            let (own, one) = weighed(*number);
            (a + b - own) / (n + m - one)
        });
        self.smooth = means.collect();
        self
    }

    /// The column of each point, on a chart from step `from` to step `to`; points by themselves where
    /// there are few.
    pub(super) fn columns(&self, from: u64, to: u64) -> Vec<Column> {
        let width = to.saturating_sub(from).max(1);
        let of = |step: u64| u128::from(step.saturating_sub(from)) * COLUMNS as u128 / (u128::from(width) + 1);
        let few = self.points.len() <= COLUMNS;
        let mut columns: Vec<Column> = Vec::new();
        let mut at = None;
        for (i, &(step, number)) in self.points.iter().enumerate() {
            let smooth = self.smooth.get(i).copied().unwrap_or(f64::NAN);
            let column = of(step);
            if few || at != Some(column) {
                at = Some(column);
                columns.push(Column::new(step));
            }
            if let Some(column) = columns.last_mut() {
                column.add(step, number, smooth);
            }
        }
        columns
    }

    /// Its finite numbers.
    pub(super) fn finite(&self) -> impl Iterator<Item = (u64, f64)> {
        self.points.iter().copied().filter(|(_, number)| number.is_finite())
    }

    /// The lowest, and where.
    pub(super) fn lowest(&self) -> Option<(u64, f64)> {
        self.finite().min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// At each point the sum of all up to it, of which a step back counts `keep` times as much, and the same of
/// their weights. What is not finite is passed over.
fn sums<'a>(points: impl Iterator<Item = &'a (u64, f64)>, keep: f64) -> impl Iterator<Item = (f64, f64)> {
    points.scan((0.0, 0.0), move |(sum, weight), (_, number)| {
        let (number, one) = weighed(*number);
        (*sum, *weight) = (keep * *sum + number, keep * *weight + one);
        Some((*sum, *weight))
    })
}

/// A number and its weight: none where it is not finite.
fn weighed(number: f64) -> (f64, f64) {
    if number.is_finite() { (number, 1.0) } else { (0.0, 0.0) }
}

impl Column {
    fn new(step: u64) -> Self {
        let nan = f64::NAN;
        Self { steps: (step, step), first: nan, last: nan, low: nan, high: nan, smooth: nan, not_finite: 0 }
    }

    fn add(&mut self, step: u64, number: f64, smooth: f64) {
        self.steps.1 = step;
        self.smooth = smooth;
        if !number.is_finite() {
            self.not_finite += 1;
            return;
        }
        if self.first.is_nan() {
            self.first = number;
        }
        // Of a NaN and a number, these take the number.
        (self.low, self.high, self.last) = (self.low.min(number), self.high.max(number), number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_points_become_few_and_the_one_peak_stays() {
        let point = |step: u64| (step, if step == 654_321 { 99.0 } else { 1.0 + (step % 7) as f64 });
        let series = Series::new("a", (1..=1_000_000).map(point)).smoothed();
        let columns = series.columns(1, 1_000_000);
        assert!((COLUMNS - 1..=COLUMNS).contains(&columns.len()), "{}", columns.len());
        let peak: Vec<_> = columns.iter().filter(|c| c.high == 99.0).collect();
        assert!(peak.len() == 1 && peak[0].steps.0 <= 654_321 && peak[0].steps.1 >= 654_321);
        assert!(columns.iter().all(|c| c.low == 1.0 && (c.smooth - 4.0).abs() < 0.1));
        assert!(columns.windows(2).all(|pair| pair[0].steps.1 + 1 == pair[1].steps.0), "each step is in one column");
    }

    #[test]
    fn few_points_stay_as_they_are_and_what_is_not_finite_is_counted() {
        let numbers = [(1, 2.0), (2, f64::INFINITY), (9, -1.0)];
        let series = Series::new("a", numbers).smoothed();
        assert!(series.smooth.is_empty(), "three points are not smoothed");
        let columns = series.columns(1, 9);
        let told: Vec<_> = columns.iter().map(|c| (c.steps, c.low.is_nan(), c.not_finite)).collect();
        assert_eq!(told, [((1, 1), false, 0), ((2, 2), true, 1), ((9, 9), false, 0)]);
        assert_eq!(series.lowest(), Some((9, -1.0)));
        assert_eq!(Series::default().lowest(), None);
    }

    #[test]
    fn smoothing_follows_and_passes_over_what_is_not_finite() {
        let numbers = (1..=400).map(|step| (step, if step % 10 == 0 { f64::NAN } else { 3.0 }));
        let series = Series::new("a", numbers).smoothed();
        assert_eq!(series.span(), 10);
        assert!(series.smooth.iter().all(|n| (n - 3.0).abs() < 1e-12));
        let steps = Series::new("a", (0..400).map(|step| (step, if step < 200 { 0.0 } else { 1.0 }))).smoothed();
        // Between both as far on one side as on the other: it does not lag behind.
        assert!((steps.smooth[199] + steps.smooth[200] - 1.0).abs() < 1e-6 && steps.smooth[199] > 0.3);
        assert!(steps.smooth[100] < 0.001 && steps.smooth[399] > 0.999);
    }
}
