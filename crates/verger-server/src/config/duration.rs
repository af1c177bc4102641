//! Durations as people write them: `"0s"`, `"15m"`, `"1h 30m"`.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Reads a duration; a bare number is refused, since nothing says its unit.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    parsed.ok().and_then(|duration| Duration::try_from(duration).ok()).ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} is not a duration: write one like \"500ms\", \"15m\" or \"1h 30m\""
        ))
    })
}
