//! How long to wait before asking again.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The wait before the second attempt; it doubles from there.
const FIRST: Duration = Duration::from_millis(200);
/// Longer waits of our own help nobody who is looking at the screen.
const LONGEST: Duration = Duration::from_secs(10);
/// A provider that asks for more has said no: the caller should hear so now.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// How often a connection that could not be made is tried again: with the waits between, for about three seconds.
pub(crate) const CONNECTS: u32 = 4;

/// The wait after `failed` attempts (at least 1): doubling, and between a half and all of it by chance, so that many
/// clients that failed together do not come back together.
pub(crate) fn backoff(failed: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << (failed.max(1) - 1).min(16)).min(LONGEST);
    // Without randomness the wait is merely not spread.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    whole / 2 + (whole / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// What a response asks: `retry-after-ms`, `Retry-After` in seconds, or `Retry-After` as a date. A date is read against
/// the response's own `Date`, so that neither side's clock has to be right.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str, unit: f64| Duration::try_from_secs_f64(text.parse::<f64>().ok()? * unit).ok();
    if let Some(wait) = text("retry-after-ms").and_then(|text| number(text, 0.001)) {
        return Some(wait);
    }
    let after = text(RETRY_AFTER.as_str())?;
    number(after, 1.0).or_else(|| {
        let parser = DateTimeParser::new();
        let then = parser.parse_timestamp(after).ok()?;
        let now = parser.parse_timestamp(text(DATE.as_str())?).ok()?;
        Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_limit_and_is_spread() {
        for (failed, whole) in [(1, 200), (2, 400), (5, 3_200), (9, 10_000), (u32::MAX, 10_000)] {
            let whole = Duration::from_millis(whole);
            for _ in 0..50 {
                let wait = backoff(failed);
                assert!(wait >= whole / 2 && wait <= whole, "{failed}: {wait:?}");
            }
        }
        assert!((0..50).map(|_| backoff(3)).collect::<std::collections::HashSet<_>>().len() > 10);
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        let check = |pairs: &[(&'static str, &'static str)], want: Option<Duration>| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(asked(&headers), want, "{pairs:?}");
        };
        check(&[], None);
        check(&[("retry-after", "7")], Some(Duration::from_secs(7)));
        check(&[("retry-after", "9"), ("retry-after-ms", "1500")], Some(Duration::from_millis(1500)));
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        check(
            &[("date", date), ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")],
            Some(Duration::from_secs(30)),
        );
        check(&[("date", date), ("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT")], Some(Duration::ZERO));
        check(&[("retry-after", date)], None);
        check(&[("retry-after", "-3")], None);
        check(&[("retry-after", "soon")], None);
    }
}
