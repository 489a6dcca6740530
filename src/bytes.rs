//! Amounts of memory: read as people write them, printed as people read them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
///
/// Prints in binary units with up to three significant digits (`640 B`, `1.5 KiB`, `64 MiB`);
/// [`Bytes::exact`] prints all of them. Read from text, it may carry a unit, in any case:
/// B, KiB, MiB, GiB, TiB, or KB, MB, GB, TB, which count in thousands. No unit means bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

/// Why a text is not a [`Bytes`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` {why}; wanted a size above 0 such as 64MiB, 1.5 GiB or 67108864 \
     (units: B, KiB, MiB, GiB, TiB, or KB, MB, GB, TB, which count in thousands)"
)]
pub struct ParseBytesError {
    text: String,
    why: String,
}

const BINARY: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
const DECIMAL: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];

impl Bytes {
    /// Every digit, in groups of three: `67,108,864 B`.
    pub fn exact(&self) -> String {
        let digits = self.0.to_string();
        let mut grouped = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped + " B"
    }

    /// Rounds to three significant digits of the unit 1024^`power`; `None` if that makes 1024.
    fn rounded(self, power: usize) -> Option<String> {
        let unit = 1u128 << (10 * power);
        let decimals = match u128::from(self.0) / unit {
            _ if power == 0 => 0,
            0..10 => 2,
            10..100 => 1,
            _ => 0,
        };
        let ten = 10u128.pow(decimals);
        let scaled = (u128::from(self.0) * ten + unit / 2) / unit;
        if scaled >= 1024 * ten && power + 1 < BINARY.len() {
            return None;
        }
        let (whole, rest) = (scaled / ten, scaled % ten);
        if rest == 0 {
            return Some(whole.to_string());
        }
        let width = decimals as usize;
        let number = format!("{whole}.{rest:0width$}");
        Some(number.trim_end_matches('0').to_owned())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = (0..BINARY.len())
            .find_map(|power| Some((self.rounded(power)?, BINARY[power])))
            .expect("the greatest unit takes every number");
        f.pad(&format!("{number} {unit}"))
    }
}

impl FromStr for Bytes {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Self, ParseBytesError> {
        let refuse = |why: &str| ParseBytesError { text: printable(text), why: why.to_owned() };
        let trimmed = text.trim();
        if trimmed.starts_with('-') {
            return Err(refuse("is negative"));
        }
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        if number.is_empty() {
            return Err(refuse("does not start with a number"));
        }
        let unit = unit.trim_start();
        let unit_bytes =
            unit_bytes(unit).ok_or_else(|| refuse(&format!("has the unknown unit `{}`", printable(unit))))?;
        match multiply(number, unit_bytes).map_err(refuse)? {
            0 => Err(refuse("is less than one byte")),
            bytes => Ok(Self(bytes)),
        }
    }
}

/// What a person typed, short and on one line.
pub(crate) fn printable(text: &str) -> String {
    const MOST: usize = 40;
    let mut shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = shown.by_ref().take(MOST).collect();
    if shown.next().is_some() {
        short.push('…');
    }
    short
}

fn unit_bytes(unit: &str) -> Option<u64> {
    let place = |names: [&str; 5]| names.iter().position(|n| n.eq_ignore_ascii_case(unit));
    if unit.is_empty() {
        return Some(1);
    }
    let binary = place(BINARY).map(|power| 1 << (10 * power));
    binary.or_else(|| place(DECIMAL).map(|power| (0..power).fold(1, |unit, _| unit * 1000)))
}

/// `number` units of `unit_bytes` bytes; a part of a byte is dropped.
fn multiply(number: &str, unit_bytes: u64) -> Result<u64, &'static str> {
    const NOT_DECIMAL: &str = "is not a decimal number";
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let grouped = well_grouped(whole) && unit_bytes == 1 && !number.contains('.');
    let whole = if grouped { whole.replace(',', "") } else { whole.to_owned() };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(&whole) || !all_digits(fraction) {
        return Err(NOT_DECIMAL);
    }
    // Digits past the 25th are worth less than 2^-40 bytes, and 10^25 * 2^40 fits in 128 bits.
    let fraction = &fraction[..fraction.len().min(25)];
    let parts = fraction.bytes().fold((0, 1), |(sum, ten), digit| (sum * 10 + u128::from(digit - b'0'), ten * 10));
    let bytes = whole
        .parse::<u64>()
        .ok()
        .and_then(|whole| u128::from(whole).checked_mul(u128::from(unit_bytes)))
        .and_then(|whole| whole.checked_add(parts.0 * u128::from(unit_bytes) / parts.1));
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or("is more than 64 bits can count")
}

/// Whether commas stand before every third digit, as in [`Bytes::exact`].
fn well_grouped(whole: &str) -> bool {
    let mut groups = whole.split(',');
    let first = groups.next().map_or(0, str::len);
    (1..=3).contains(&first) && groups.all(|group| group.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;

    #[test]
    fn prints_three_significant_digits() {
        let cases = [
            (0, "0 B"),
            (640, "640 B"),
            (1023, "1023 B"),
            (KIB, "1 KiB"),
            (KIB + KIB / 2, "1.5 KiB"),
            (KIB + 1, "1 KiB"),
            (10 * KIB - 1, "10 KiB"),
            (12 * KIB + 345, "12.3 KiB"),
            (MIB - 1, "1 MiB"),
            (MIB - KIB, "1023 KiB"),
            (64 * MIB, "64 MiB"),
            (64 * MIB + 1, "64 MiB"),
            (2 * GIB + GIB / 4, "2.25 GiB"),
            (GIB + GIB / 20, "1.05 GiB"),
            (3 * TIB, "3 TiB"),
            (u64::MAX, "16777216 TiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Bytes(bytes).to_string(), text, "{bytes}");
        }
        assert_eq!(format!("{:>9}|{:<7}|", Bytes(64 * MIB), Bytes(1)), "   64 MiB|1 B    |");
    }

    #[test]
    fn prints_every_digit_when_asked() {
        assert_eq!(Bytes(64 * MIB).exact(), "67,108,864 B");
        assert_eq!(Bytes(7).exact(), "7 B");
        assert_eq!(Bytes(1000).exact(), "1,000 B");
        assert_eq!(Bytes(u64::MAX).exact(), "18,446,744,073,709,551,615 B");
    }

    #[test]
    fn reads_what_people_write() {
        let cases = [
            ("64MiB", 64 * MIB),
            (" 64  mib ", 64 * MIB),
            ("1.5GiB", GIB + GIB / 2),
            ("1.50000000000000000000000000000000000000000000 GiB", GIB + GIB / 2),
            ("0.3 KiB", 307),
            ("1", 1),
            ("67108864", 64 * MIB),
            ("67,108,864 B", 64 * MIB),
            ("1KB", 1000),
            ("2.5 MB", 2_500_000),
            ("3gb", 3_000_000_000),
            ("1 TB", 1_000_000_000_000),
            ("0.5TiB", TIB / 2),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn reads_back_the_exact_form() {
        for bytes in [1, 999, 1000, 123_456, 67_108_864, u64::MAX] {
            assert_eq!(Bytes(bytes).exact().parse(), Ok(Bytes(bytes)));
        }
    }

    #[test]
    fn says_why_a_text_is_not_a_size() {
        let cases = [
            ("", "does not start with a number"),
            ("  ", "does not start with a number"),
            ("MiB", "does not start with a number"),
            ("NaN", "does not start with a number"),
            ("inf", "does not start with a number"),
            ("+1", "does not start with a number"),
            ("-64MiB", "is negative"),
            ("0", "is less than one byte"),
            ("0.0GiB", "is less than one byte"),
            ("0.0001 KiB", "is less than one byte"),
            ("512k", "has the unknown unit `k`"),
            ("1e6", "has the unknown unit `e6`"),
            ("64 parsecs", "has the unknown unit `parsecs`"),
            ("64 Mi B", "has the unknown unit `Mi B`"),
            ("1 PiB", "has the unknown unit `PiB`"),
            ("1.2.3", "is not a decimal number"),
            ("1.", "is not a decimal number"),
            (".5GiB", "is not a decimal number"),
            ("1,5 GiB", "is not a decimal number"),
            ("1,500 MiB", "is not a decimal number"),
            ("1,50", "is not a decimal number"),
            ("1,,500", "is not a decimal number"),
            ("1,000.5", "is not a decimal number"),
            ("18446744073709551616", "is more than 64 bits can count"),
            ("16777216 TiB", "is more than 64 bits can count"),
            ("99999999999999999999999999999999999999999 TiB", "is more than 64 bits can count"),
        ];
        for (text, why) in cases {
            let error = text.parse::<Bytes>().unwrap_err();
            assert_eq!(error.why, why, "{text:?}");
        }
        let message = "512k\n".parse::<Bytes>().unwrap_err().to_string();
        assert_eq!(
            message,
            "`512k ` has the unknown unit `k`; wanted a size above 0 such as 64MiB, 1.5 GiB or \
             67108864 (units: B, KiB, MiB, GiB, TiB, or KB, MB, GB, TB, which count in thousands)"
        );
    }
}
