//! What past slots come to, by hand.

use std::time::Duration;

use jiff::Timestamp;

use super::super::{Entry, JobRules, Missed, Overlap, Schedule, Skipped, Slots, Standing};
use super::schedule::zone;

fn at(text: &str) -> Timestamp {
    format!("2026-11-28T{text}Z").parse().expect("a moment")
}

fn rules(text: &str) -> JobRules {
    JobRules {
        schedule: Schedule::parse(text).expect("a schedule"),
        zone: zone("UTC"),
        jitter: Duration::ZERO,
        seed: 7,
        until: None,
        max_runs: None,
        overlap: Overlap::Skip,
        missed: Missed::Skip,
        grace: Duration::from_secs(60),
    }
}

fn standing(cursor: &str) -> Standing {
    Standing { revision: 0, cursor: at(cursor), fired: 0, paused: false }
}

/// In short: what becomes of which slots, and how far the job has come.
fn tick(rules: &JobRules, standing: &Standing, now: &str) -> Vec<String> {
    let Some(tick) = rules.tick(standing, at(now)) else { return Vec::new() };
    let time = |slot: Timestamp| slot.strftime("%H:%M:%S").to_string();
    let short = |entry: &Entry| match *entry {
        Entry::Run { slot, due: _, late: false } => format!("run {}", time(slot)),
        Entry::Run { slot, due: _, late: true } => format!("late {}", time(slot)),
        Entry::Skip { slots: Slots { first, last, count, more }, why } => {
            format!("{} {}-{} {count}{}", why.name(), time(first), time(last), if more { "+" } else { "" })
        }
    };
    tick.entries.iter().map(short).chain([format!("to {}", time(tick.cursor))]).collect()
}

#[test]
fn what_is_due_runs_and_what_is_not_waits() {
    let hourly = rules("@hourly");
    assert!(tick(&hourly, &standing("09:00:00"), "09:59:59").is_empty());
    assert_eq!(tick(&hourly, &standing("09:00:00"), "10:00:00"), ["run 10:00:00", "to 10:00:00"]);
    assert_eq!(
        tick(&hourly, &standing("09:00:00"), "10:01:00"),
        ["run 10:00:00", "to 10:00:00"],
        "within grace"
    );
    // A server that was busy for a moment runs what came meanwhile.
    let often = rules("every 20s");
    let came = ["run 10:00:20", "run 10:00:40", "run 10:01:00", "to 10:01:00"];
    assert_eq!(tick(&often, &standing("10:00:00"), "10:01:05"), came);
}

#[test]
fn what_is_missed_is_skipped_or_run_once() {
    let mut hourly = rules("@hourly");
    let night = standing("00:00:00");
    assert_eq!(tick(&hourly, &night, "05:30:00"), ["missed 01:00:00-05:00:00 5", "to 05:00:00"]);
    let on_time = ["missed 01:00:00-04:00:00 4", "run 05:00:00", "to 05:00:00"];
    assert_eq!(tick(&hourly, &night, "05:00:30"), on_time);
    hourly.missed = Missed::RunOnce;
    let once = ["merged 01:00:00-04:00:00 4", "late 05:00:00", "to 05:00:00"];
    assert_eq!(tick(&hourly, &night, "05:30:00"), once);
    assert_eq!(tick(&hourly, &night, "01:30:00"), ["late 01:00:00", "to 01:00:00"]);
    // One that is on time stands for all of them.
    let on_time = ["merged 01:00:00-04:00:00 4", "run 05:00:00", "to 05:00:00"];
    assert_eq!(tick(&hourly, &night, "05:00:30"), on_time);
}

#[test]
fn a_clock_that_goes_back_runs_nothing_twice() {
    let hourly = rules("@hourly");
    assert!(tick(&hourly, &standing("10:00:00"), "09:30:00").is_empty());
    assert!(tick(&hourly, &standing("10:00:00"), "10:00:30").is_empty());
    assert_eq!(tick(&hourly, &standing("10:00:00"), "11:00:00"), ["run 11:00:00", "to 11:00:00"]);
}

#[test]
fn an_end_is_kept_to() {
    let mut often = rules("every 10s");
    often.until = Some(at("10:00:20"));
    assert_eq!(
        tick(&often, &standing("10:00:00"), "10:00:50"),
        ["run 10:00:10", "run 10:00:20", "to 10:00:20"]
    );
    assert!(often.next(&standing("10:00:20")).is_none());
    often.until = None;
    often.max_runs = Some(3);
    let last = Standing { fired: 2, ..standing("10:00:00") };
    assert_eq!(tick(&often, &last, "10:00:50"), ["run 10:00:10", "to 10:00:10"]);
    assert!(often.next(&Standing { fired: 3, ..last }).is_none());
    assert!(often.next(&Standing { paused: true, ..last }).is_none());
}

#[test]
fn jitter_puts_a_slot_off_by_as_much_wherever_it_is_asked() {
    let mut hourly = rules("@hourly");
    hourly.jitter = Duration::from_secs(600);
    let due = |rules: &JobRules, cursor: &str| rules.next(&standing(cursor)).expect("it is due").at;
    let first = due(&hourly, "09:00:00");
    assert!(first >= at("10:00:00") && first <= at("10:10:00"), "{first}");
    assert_eq!(first, due(&hourly, "09:30:00"));
    let others: std::collections::BTreeSet<_> =
        (0..20).map(|seed| due(&JobRules { seed, ..hourly.clone() }, "09:00:00")).collect();
    assert!(others.len() > 15, "{others:?}");
    // Put off, it is not yet due, and its grace begins when it is.
    assert!(hourly.tick(&standing("09:00:00"), at("10:00:00")).is_none_or(|_| first == at("10:00:00")));
}

#[test]
fn a_long_sleep_is_passed_over_without_a_look_at_every_slot() {
    let mut often = rules("* * * * * *");
    often.missed = Missed::RunOnce;
    let asleep =
        Standing { cursor: "2016-01-01T00:00:00Z".parse().expect("a moment"), ..standing("00:00:00") };
    let tick = often.tick(&asleep, at("12:00:00")).expect("much has come");
    let [Entry::Skip { slots, why: Skipped::Merged }, rest @ ..] = &tick.entries[..] else {
        panic!("{tick:?}")
    };
    assert_eq!((slots.last, slots.more, slots.count), (at("11:58:59"), true, 2_000));
    assert_eq!(rest.len(), 61, "those within grace");
    // Nothing on time: the last is run.
    let mut rare = rules("0 0 1 1 *");
    rare.missed = Missed::RunOnce;
    let tick = rare.tick(&asleep, at("12:00:00")).expect("much has come");
    let last = |entry: &Entry| matches!(entry, Entry::Run { slot, late: true, .. } if slot.to_string().starts_with("2026-01-01"));
    assert!(tick.entries.last().is_some_and(last), "{tick:?}");
    // A pattern that means one second of a few, and none for most of a day.
    let mut odd = rules("*/7 * 3 * * *");
    odd.missed = Missed::RunOnce;
    let tick = odd.tick(&asleep, at("12:00:00")).expect("much has come");
    let [Entry::Skip { slots, .. }, Entry::Run { slot, late: true, .. }] = tick.entries[..] else {
        panic!("{tick:?}")
    };
    assert_eq!((slots.last, slot), (at("03:59:49"), at("03:59:56")));
}

#[test]
fn what_a_pause_lets_pass_is_counted() {
    let hourly = rules("@hourly");
    let passed = hourly.passed(at("01:30:00"), at("04:00:00")).expect("three");
    assert_eq!((passed.first, passed.last, passed.count), (at("02:00:00"), at("04:00:00"), 3));
    assert_eq!(hourly.passed(at("01:30:00"), at("01:59:00")), None);
}

#[test]
fn very_many_slots_on_time_are_dealt_with_one_lot_after_the_other() {
    let mut often = rules("every 1s");
    often.grace = Duration::from_secs(3600);
    let (mut standing, mut lots, mut slots) = (standing("10:00:00"), Vec::new(), Vec::new());
    while let Some(tick) = often.tick(&standing, at("10:05:00")) {
        assert_eq!(tick.entries.last().map(Entry::last), Some(tick.cursor));
        lots.push(tick.entries.len());
        slots.extend(tick.entries.iter().map(Entry::last));
        standing.cursor = tick.cursor;
    }
    assert_eq!(lots, [128, 128, 44]);
    assert!(slots.windows(2).all(|pair| pair[0] < pair[1]), "each once");
}
