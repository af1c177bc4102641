//! When a job runs: cron, an interval, or one moment.
//!
//! A schedule is a set of *slots*, instants that follow from its text and a time zone alone, so that two servers, or one before
//! and after a crash, mean the same by them. Cron speaks of the clock on the wall. Where that is put forward, what falls into
//! the hour that is skipped runs once, at its end; where it is put back, the hour that comes twice runs as it comes first.

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

/// The shortest interval.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest, a year: one that is longer is a mistake, and would hardly ever be seen.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Names for common patterns, and what they stand for.
const NAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Cron(Box<Cron>),
    /// Whole seconds, counted from the beginning of 1970.
    Every(SignedDuration),
    At(Moment),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// In the job's time zone.
    Wall(DateTime),
    Instant(Timestamp),
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Neither of the three.
    #[error(
        "'{0}' is no schedule: write five or six fields of cron (\"*/10 9-17 * * MON-FRI\"), @hourly, \"every 10m\", or \"at \
         2030-01-31T09:00\""
    )]
    Unknown(String),
    /// Fields that are none of cron's.
    #[error("'{text}' is no cron pattern: {why}")]
    Cron {
        /// As it was given.
        text: String,
        /// In words.
        why: String,
    },
    /// Cron that never comes.
    #[error("'{0}' never comes: no year has such a day")]
    Never(String),
    /// An interval that is none.
    #[error("'{text}' is no interval: {why}; write \"every 10m\", or \"every 1h 30m\"")]
    Every {
        /// As it was given.
        text: String,
        /// In words.
        why: String,
    },
    /// A moment that is none.
    #[error(
        "'{text}' is no moment: {why}; write \"at 2030-01-31T09:00\", or with an offset, \"at 2030-01-31T09:00+01:00\""
    )]
    At {
        /// As it was given.
        text: String,
        /// In words.
        why: String,
    },
}

impl Schedule {
    /// Reads a schedule, which has slots, but maybe none after now.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, and what one looks like that is right.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let kind = match plain.split_once(' ') {
            Some((word, rest)) if word.eq_ignore_ascii_case("every") => every(&plain, rest)?,
            Some((word, rest)) if word.eq_ignore_ascii_case("at") => at(&plain, rest)?,
            _ => cron(&plain)?,
        };
        Ok(Self { text: plain, kind })
    }

    /// The first slot after `after`; nothing where there is none.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.kind {
            Kind::Cron(cron) => next_of_cron(cron, after, zone),
            Kind::Every(interval) => {
                let seconds = interval.as_secs();
                // `after` may be any part of a second past.
                let count = after.as_second().div_euclid(seconds) + 1;
                count.checked_mul(seconds).and_then(|second| Timestamp::from_second(second).ok())
            }
            Kind::At(Moment::Instant(instant)) => Some(*instant).filter(|instant| *instant > after),
            Kind::At(Moment::Wall(wall)) => resolve(*wall, zone).filter(|instant| *instant > after),
        }
    }

    /// The slots after `after`, in their order.
    pub fn slots(&self, after: Timestamp, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next(after, zone), |slot| self.next(*slot, zone))
    }

    /// Whether it has one slot at most.
    #[must_use]
    pub fn is_once(&self) -> bool {
        matches!(self.kind, Kind::At(_))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn every(text: &str, interval: &str) -> Result<Kind, ScheduleError> {
    let wrong = |why: String| ScheduleError::Every { text: text.to_owned(), why };
    let span: Span = interval.parse().map_err(|cause: jiff::Error| wrong(cause.to_string()))?;
    // A day is 24 hours: an interval knows no clock on the wall.
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    let length = length.map_err(|_| wrong("months and years differ in length".into()))?;
    if length.subsec_nanos() != 0 {
        return Err(wrong("it has a part of a second".into()));
    }
    match Duration::try_from(length) {
        Ok(positive) if positive < SHORTEST => Err(wrong("it is shorter than a second".into())),
        Ok(positive) if positive > LONGEST => Err(wrong("it is longer than a year".into())),
        Ok(_) => Ok(Kind::Every(length)),
        Err(_) => Err(wrong("it is negative".into())),
    }
}

fn at(text: &str, moment: &str) -> Result<Kind, ScheduleError> {
    let instant = moment.parse::<Timestamp>().map(Moment::Instant);
    let moment = instant.or_else(|_| moment.parse::<DateTime>().map(Moment::Wall));
    moment.map(Kind::At).map_err(|cause| ScheduleError::At { text: text.to_owned(), why: cause.to_string() })
}

fn cron(text: &str) -> Result<Kind, ScheduleError> {
    let pattern = match text.strip_prefix('@') {
        None => text,
        Some(_) => {
            let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
            known.map(|(_, pattern)| *pattern).ok_or_else(|| ScheduleError::Unknown(text.to_owned()))?
        }
    };
    if !matches!(pattern.split(' ').count(), 5 | 6) {
        return Err(ScheduleError::Unknown(text.to_owned()));
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser
        .parse(pattern)
        .map_err(|cause| ScheduleError::Cron { text: text.to_owned(), why: cause.to_string() })?;
    // Days repeat after 400 years, and so does what never comes.
    match cron.find_next_occurrence(&DateTime::constant(2000, 1, 1, 0, 0, 0, 0), true) {
        Ok(_) => Ok(Kind::Cron(Box::new(cron))),
        Err(_) => Err(ScheduleError::Never(text.to_owned())),
    }
}

fn next_of_cron(cron: &Cron, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut wall = zone.to_datetime(after);
    loop {
        wall = cron.find_next_occurrence(&wall, false).ok()?;
        let slot = resolve(wall, zone)?;
        // Not after: in the hour that comes twice, all but its first coming; after a skipped hour, all that fell into it.
        if slot > after {
            return Some(slot);
        }
    }
}

/// When the clock on the wall shows this first, or, where it skips it, when it does so.
fn resolve(wall: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(wall);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
        AmbiguousOffset::Gap { before, .. } => {
            let within = before.to_timestamp(wall).ok()?;
            // The transition is the last at that instant or before it.
            let later = within.checked_add(SignedDuration::from_nanos(1)).ok()?;
            zone.preceding(later).next().map(|transition| transition.timestamp())
        }
    }
}
