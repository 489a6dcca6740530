//! Days of the calendar, in universal time.

use std::time::{SystemTime, UNIX_EPOCH};

/// The day that is so many seconds after 1970 began, as `2026-02-03`.
pub fn day(seconds: u64) -> String {
    // Eras of 400 years, from the first of March, so that a leap day is the last of its year.
    let day = seconds / 86_400 + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{}-{month:02}-{of_month:02}", era * 400 + year + next)
}

/// Today.
pub(super) fn today() -> String {
    day(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
