//! Moments as dates, in universal time.

use plimsoll::run::day;

/// Seconds since 1970 as `2026-02-03 04:05 UTC`.
pub(super) fn date(seconds: u64) -> String {
    let second = seconds % 86_400;
    format!("{} {:02}:{:02} UTC", day(seconds), second / 3600, second / 60 % 60)
}

/// The same of a number that may have a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float stays in bounds")]
pub(super) fn date_of(seconds: f64) -> String {
    date(seconds.clamp(0.0, 1e11) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_709_164_800, "2024-02-29 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(date(seconds), text);
        }
        assert_eq!(date_of(-1.5), "1970-01-01 00:00 UTC");
    }
}
