//! Sizes as people write them: `"512MB"`, `"1GiB"`, or a number of bytes.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// Names of units as they are written, and the bytes of one.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl Size {
    /// `512MB`, `512 MB` or `512`; capitals are all the same.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim_start_matches(' ') {
            "" => 1,
            name => UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1,
        };
        number.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }

    /// The unit that leaves the smallest whole number.
    fn unit(self) -> (&'static str, u64) {
        let whole = UNITS.into_iter().filter(|(_, bytes)| self.0.is_multiple_of(*bytes));
        whole.max_by_key(|(_, bytes)| *bytes).unwrap_or(UNITS[0])
    }

    /// `bytes` in the unit of this size, rounded up to a tenth: so what is larger than this size also reads so.
    pub(crate) fn measure(self, bytes: u64) -> String {
        let (name, unit) = self.unit();
        let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = self.unit();
        write!(f, "{} {name}", self.0 / unit)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size like \"512MB\" or \"1GiB\", or a number of bytes")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        let bytes = u64::try_from(bytes);
        bytes.map(Size).map_err(|_| E::custom("a size is not negative: write one like \"512MB\" or \"1GiB\""))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        Size::parse(text).ok_or_else(|| {
            E::custom(format!(
                "{text:?} is not a size: write a whole number and kB, MB, GB, TB, KiB, MiB, GiB or TiB, like \"512MB\""
            ))
        })
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": "size" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_as_people_write_them() {
        for (text, bytes, shown) in [
            ("512MB", 512_000_000, "512 MB"),
            ("1GiB", 1 << 30, "1 GiB"),
            ("1000 mib", 1000 << 20, "1000 MiB"),
            ("1536MiB", 1536 << 20, "1536 MiB"),
            ("20 kb", 20_000, "20 kB"),
            ("77", 77, "77 B"),
            ("0", 0, "0 TiB"),
        ] {
            let size = Size::parse(text);
            assert_eq!(size, Some(Size(bytes)), "{text}");
            assert_eq!(size.unwrap().to_string(), shown);
            assert_eq!(Size::parse(shown), size);
        }
        for wrong in ["", "MB", "1.5GB", "-1MB", "5 bananas", "5M", "99999999999999999999", "99999999TiB"] {
            assert_eq!(Size::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_over_reads_as_over() {
        assert_eq!(Size(512_000_000).measure(512_000_001), "512.1 MB");
        assert_eq!(Size(512_000_000).measure(612_340_000), "612.4 MB");
        assert_eq!(Size(1 << 30).measure(3 << 29), "1.5 GiB");
        assert_eq!(Size(77).measure(u64::MAX), "18446744073709551615.0 B");
    }
}
