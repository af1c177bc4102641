//! Schedules beside what they would be worked out to by hand, and beside a clock that is watched minute by minute.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use proptest::prelude::*;

use super::super::{Schedule, ScheduleError};

pub(super) fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a time zone")
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The first slots after a moment of the zone's wall, with their offsets.
fn slots(text: &str, name: &str, after: &str, count: usize) -> Vec<String> {
    let zone = zone(name);
    let after = zone.to_timestamp(after.parse::<DateTime>().expect("a moment")).expect("within range");
    let schedule = schedule(text);
    let slots = schedule.slots(after, &zone).take(count);
    slots.map(|slot| Zoned::new(slot, zone.clone()).strftime("%m-%dT%H:%M:%S%:z").to_string()).collect()
}

#[test]
fn cron_of_five_and_of_six_fields() {
    let utc = |text: &str, count| slots(text, "UTC", "2026-11-27T23:59:30", count);
    assert_eq!(utc("*/20 * * * *", 2), ["11-28T00:00:00+00:00", "11-28T00:20:00+00:00"]);
    assert_eq!(utc("*/20 * * * * *", 2), ["11-27T23:59:40+00:00", "11-28T00:00:00+00:00"]);
    assert_eq!(utc("30 9 * * MON-FRI", 2), ["11-30T09:30:00+00:00", "12-01T09:30:00+00:00"]);
    assert_eq!(utc("0 0 1,15 * *", 2), ["12-01T00:00:00+00:00", "12-15T00:00:00+00:00"]);
    assert_eq!(utc("0 0 29 2 *", 1), ["02-29T00:00:00+00:00"], "of 2028");
    // Either day, where both are named, as cron has it.
    assert_eq!(utc("0 0 1 * SUN", 2), ["11-29T00:00:00+00:00", "12-01T00:00:00+00:00"]);
    assert_eq!(utc("@hourly", 1), ["11-28T00:00:00+00:00"]);
    assert_eq!(utc("@Daily", 1), ["11-28T00:00:00+00:00"]);
}

#[test]
fn intervals_are_counted_from_an_origin_that_does_not_move() {
    assert_eq!(
        slots("every 10m", "Europe/Berlin", "2026-11-28T10:03:00", 2),
        ["11-28T10:10:00+01:00", "11-28T10:20:00+01:00"]
    );
    assert_eq!(
        slots("every 1h 30m", "UTC", "1970-01-01T00:00:00", 2),
        ["01-01T01:30:00+00:00", "01-01T03:00:00+00:00"]
    );
    assert_eq!(slots("every 2s", "UTC", "2026-11-28T10:03:01", 1), ["11-28T10:03:02+00:00"]);
    // Through a change of the clock they go on.
    assert_eq!(
        slots("every 30m", "Europe/Berlin", "2026-10-25T01:45:00", 4),
        ["10-25T02:00:00+02:00", "10-25T02:30:00+02:00", "10-25T02:00:00+01:00", "10-25T02:30:00+01:00"]
    );
}

#[test]
fn a_moment_comes_once() {
    let at = |text: &str| slots(text, "America/New_York", "2026-11-28T10:00:00", 3);
    assert_eq!(at("at 2026-12-01T09:00"), ["12-01T09:00:00-05:00"]);
    assert_eq!(at("at 2026-12-01 09:00:30"), ["12-01T09:00:30-05:00"]);
    assert_eq!(at("at 2026-12-01T09:00+01:00"), ["12-01T03:00:00-05:00"]);
    assert_eq!(at("at 2026-12-01T09:00Z"), ["12-01T04:00:00-05:00"]);
    assert!(at("at 2026-11-28T10:00").is_empty(), "it is not after now");
    assert!(schedule("at 2026-12-01T09:00").is_once() && !schedule("@daily").is_once());
}

#[test]
fn what_falls_into_a_skipped_hour_runs_once_at_its_end() {
    // From 02:00 to 03:00.
    let berlin = |text: &str, count| slots(text, "Europe/Berlin", "2026-03-29T01:30:00", count);
    assert_eq!(berlin("30 2 * * *", 2), ["03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]);
    assert_eq!(berlin("*/10 2 * * *", 2), ["03-29T03:00:00+02:00", "03-30T02:00:00+02:00"]);
    assert_eq!(berlin("0 * * * *", 2), ["03-29T03:00:00+02:00", "03-29T04:00:00+02:00"]);
    assert_eq!(berlin("at 2026-03-29T02:30", 2), ["03-29T03:00:00+02:00"]);
    // By half an hour, and a whole day.
    assert_eq!(
        slots("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T01:00:00", 1),
        ["10-04T02:30:00+11:00"]
    );
    assert_eq!(slots("0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00", 1), ["12-31T00:00:00+14:00"]);
}

#[test]
fn an_hour_that_comes_twice_runs_as_it_comes_first() {
    // From 03:00 back to 02:00.
    let berlin = |text: &str, after: &str, count| slots(text, "Europe/Berlin", after, count);
    assert_eq!(
        berlin("30 2 * * *", "2026-10-25T01:00:00", 2),
        ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]
    );
    assert_eq!(
        berlin("*/30 * * * *", "2026-10-25T01:40:00", 3),
        ["10-25T02:00:00+02:00", "10-25T02:30:00+02:00", "10-25T03:00:00+01:00"]
    );
    // Who begins in the second of the two has missed it.
    let second = "2026-10-25T02:10:00+01:00".parse::<Timestamp>().expect("a moment");
    let next = schedule("*/30 * * * *").next(second, &zone("Europe/Berlin"));
    assert_eq!(next.map(|next| next.to_string()).as_deref(), Some("2026-10-25T02:00:00Z"));
}

#[test]
fn what_is_no_schedule_is_refused_with_the_reason() {
    let said = |text: &str| Schedule::parse(text).map(|_| ()).expect_err(text).to_string();
    for (text, part) in [
        ("0 0 31 2 *", "'0 0 31 2 *' never comes: no year has such a day"),
        ("", "'' is no schedule: write five or six fields"),
        ("@reboot", "'@reboot' is no schedule"),
        ("* * *", "is no schedule"),
        ("* * * * * * *", "is no schedule"),
        ("61 * * * *", "is no cron pattern"),
        ("* * * * FRIDAYS", "is no cron pattern"),
        ("every", "is no schedule"),
        ("every soon", "'every soon' is no interval"),
        ("every 0s", "shorter than a second"),
        ("every 1500ms", "a part of a second"),
        ("every -5m", "negative"),
        ("every 2mo", "months and years differ in length"),
        ("every 500d", "longer than a year"),
        ("at noon", "'at noon' is no moment"),
        ("at 2026-02-30T09:00", "is no moment"),
    ] {
        let said = said(text);
        assert!(said.contains(part), "{text}: {said}");
    }
    assert!(matches!(Schedule::parse("0 0 30 2 *"), Err(ScheduleError::Never(_))));
}

/// One field of a pattern: its text, and which numbers it means; nothing for all of them.
#[derive(Clone, Debug)]
pub(super) struct Field(pub(super) Option<BTreeSet<i8>>);

impl Field {
    fn matches(&self, number: i8) -> bool {
        self.0.as_ref().is_none_or(|numbers| numbers.contains(&number))
    }

    pub(super) fn text(&self) -> String {
        let numbers =
            |numbers: &BTreeSet<i8>| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.0.as_ref().map_or_else(|| "*".to_owned(), numbers)
    }
}

fn field(numbers: std::ops::RangeInclusive<i8>) -> impl Strategy<Value = Field> {
    let some = proptest::collection::btree_set(numbers, 1..4).prop_map(|numbers| Field(Some(numbers)));
    prop_oneof![Just(Field(None)), some]
}

fn pattern() -> impl Strategy<Value = [Field; 5]> {
    // Hours around those at which clocks change.
    let hours = prop_oneof![field(0..=4), field(0..=23)];
    (field(0..=59), hours, field(1..=31), field(1..=12), field(0..=6))
        .prop_map(|(minute, hour, day, month, weekday)| [minute, hour, day, month, weekday])
}

/// Whether the clock on the wall shows what the pattern means.
fn shows([minute, hour, day, month, weekday]: &[Field; 5], wall: DateTime) -> bool {
    let of_week = weekday.matches(wall.weekday().to_sunday_zero_offset());
    let of_month = day.matches(wall.day());
    let is_day = match (&day.0, &weekday.0) {
        (Some(_), Some(_)) => of_month || of_week,
        _ => of_month && of_week,
    };
    minute.matches(wall.minute()) && hour.matches(wall.hour()) && month.matches(wall.month()) && is_day
}

/// Slots as someone would note them who looks at the clock on the wall every minute.
pub(super) fn watched(
    pattern: &[Field; 5],
    zone: &TimeZone,
    from: Timestamp,
    minutes: i64,
) -> Vec<Timestamp> {
    let wall_at = |minute: i64| {
        let instant = from.checked_add(minute.minutes()).expect("within range");
        (instant, zone.to_datetime(instant))
    };
    // What was shown before belongs to the past, also where the clock shows it again.
    let mut latest = (-26 * 60..=0).map(|minute| wall_at(minute).1).max().expect("minutes");
    let mut noted = Vec::new();
    for minute in 1..=minutes {
        let (instant, wall) = wall_at(minute);
        // What the clock has never shown until now: one minute as a rule, more where it was put forward, none where back.
        let mut shown = latest.checked_add(1.minute()).expect("within range");
        let mut is_slot = false;
        while shown <= wall {
            is_slot |= shows(pattern, shown);
            (latest, shown) = (shown, shown.checked_add(1.minute()).expect("within range"));
        }
        if is_slot {
            noted.push(instant);
        }
    }
    noted
}

/// Days on which clocks are changed, one to be sure, and one on which a day was left out.
const CHANGES: [(&str, &str); 9] = [
    ("Europe/Berlin", "2026-03-28T12:00"),
    ("Europe/Berlin", "2026-10-24T12:00"),
    ("America/New_York", "2026-03-07T12:00"),
    ("America/New_York", "2026-10-31T12:00"),
    ("Australia/Lord_Howe", "2026-04-04T12:00"),
    ("Australia/Lord_Howe", "2026-10-03T12:00"),
    ("America/St_Johns", "2011-03-12T12:00"),
    ("Pacific/Apia", "2011-12-29T01:00"),
    ("UTC", "2026-06-01T12:00"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn slots_are_what_a_watched_clock_shows(
        pattern in pattern(),
        (name, day) in proptest::sample::select(CHANGES.to_vec()),
        start in 0..1440_i64,
    ) {
        let text = pattern.iter().map(Field::text).collect::<Vec<_>>().join(" ");
        let Ok(schedule) = Schedule::parse(&text) else {
            // A day that no year has.
            prop_assert!(pattern[2].0.is_some() && pattern[3].0.is_some(), "{text} was refused");
            return Ok(());
        };
        let zone = zone(name);
        let day = zone.to_timestamp(day.parse::<DateTime>().expect("a moment")).expect("within range");
        let from = day.checked_add(start.minutes()).expect("within range");
        let minutes = 3 * 24 * 60;
        let end = from.checked_add(minutes.minutes()).expect("within range");
        let found: Vec<_> = schedule.slots(from, &zone).take_while(|slot| *slot <= end).collect();
        prop_assert_eq!(found, watched(&pattern, &zone, from, minutes), "{} in {} from {}", text, name, from);
    }
}
