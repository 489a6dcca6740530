//! How much is handed to a device at once.
//!
//! A desktop's watchdog ends a submission that holds a graphics processor for seconds, and a screen that the same
//! processor draws stands still until one is done. So what is estimated to take longer than [`LONGEST`] is cut
//! between two dispatches. A software adapter has no watchdog and draws no screen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Device;
use crate::plan::{Plan, Rates};
use crate::target::DeviceKind;

/// Seconds that one submission is estimated to take, at most, unless a single dispatch takes longer.
pub(super) const LONGEST: f64 = 0.1;

/// When submissions are cut, and by what they are estimated.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Seconds of a submission, at most; none where nothing is ever cut.
    longest: Option<f64>,
    rates: Rates,
    /// Submissions of all runs on the device so far.
    submissions: Arc<AtomicU64>,
}

impl Pace {
    /// That of a device of which nothing was measured. What is assumed is slower than graphics processors are, so
    /// that submissions are cut rather too often than too seldom.
    pub(super) fn of(kind: DeviceKind) -> Self {
        Self {
            longest: (kind != DeviceKind::Cpu).then_some(LONGEST),
            rates: Rates::assumed(),
            submissions: Arc::default(),
        }
    }

    /// Counts a submission.
    pub(super) fn note(&self) {
        self.submissions.fetch_add(1, Ordering::Relaxed);
    }

    /// For each step of `plan`, its estimated seconds as a share of the longest submission; nothing where nothing
    /// is cut.
    pub(super) fn shares(&self, plan: &Plan) -> Vec<f64> {
        let Some(longest) = self.longest else { return Vec::new() };
        plan.schedule.steps.iter().map(|step| self.rates.seconds_of(step) / longest).collect()
    }
}

impl Device {
    /// Has the runs that begin from now on estimate the time of dispatches by `rates`, which a probe has measured, and
    /// the plans made for it from now on choose kernels by them.
    pub fn set_rates(&mut self, rates: Rates) {
        self.pace.rates = rates;
        self.choose_kernels_by(Some(rates));
    }

    /// Has the plans made for it from now on choose kernels by `rates`, or by what nobody measured.
    pub fn choose_kernels_by(&mut self, rates: Option<Rates>) {
        self.target.rates = rates;
    }

    /// Has submissions cut at so many seconds whatever kind of device it is, so that this can be tested.
    #[doc(hidden)]
    pub fn cut_submissions(&mut self, longest: f64) {
        self.pace.longest = Some(longest);
    }

    /// Submissions of all runs on it so far, so that a test can see them cut.
    #[doc(hidden)]
    pub fn submissions(&self) -> u64 {
        self.pace.submissions.load(Ordering::Relaxed)
    }
}

/// How full the submission is that is being recorded.
#[derive(Default)]
pub(super) struct Fill(f64);

impl Fill {
    /// Takes in a dispatch with this share, and says whether it belongs into the same submission as those before.
    pub(super) fn takes(&mut self, share: f64) -> bool {
        let fits = self.0 == 0.0 || self.0 + share <= 1.0;
        self.0 = if fits { self.0 + share } else { share };
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the submissions that dispatches of these shares are cut into.
    fn cut(shares: &[f64]) -> Vec<usize> {
        let (mut fill, mut lengths) = (Fill::default(), vec![0]);
        for share in shares {
            if !fill.takes(*share) {
                lengths.push(0);
            }
            *lengths.last_mut().unwrap() += 1;
        }
        lengths
    }

    #[test]
    fn submissions_are_as_full_as_they_may_be_and_no_fuller() {
        assert_eq!(cut(&[0.25; 10]), [4, 4, 2]);
        assert_eq!(cut(&[0.5, 0.6, 0.3, 0.2]), [1, 2, 1]);
        // One that takes longer than a submission may is a submission by itself.
        assert_eq!(cut(&[0.5, 3.0, 2.0, 0.1, 0.1]), [1, 1, 1, 2]);
        assert_eq!(cut(&[0.0; 1000]), [1000]);
    }

    #[test]
    fn a_software_adapter_is_never_cut_and_others_at_a_tenth_of_a_second() {
        assert_eq!(Pace::of(DeviceKind::Cpu).longest, None);
        for kind in [DeviceKind::Discrete, DeviceKind::Integrated, DeviceKind::Virtual, DeviceKind::Other] {
            assert_eq!(Pace::of(kind).longest, Some(LONGEST), "{kind:?}");
        }
    }
}
