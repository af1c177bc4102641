//! Jobs beside what they would come to by hand, by a watched clock, and over a month of crashes.

mod ledger;
mod month;
mod queue;
mod rules;
mod schedule;
