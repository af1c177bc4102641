//! Which combinations there are: what is impossible or would say nothing is left out, each by a rule with a reason.

use std::collections::BTreeMap;

use super::cast::{Cell, End, Level, Reach, User};

/// Why this machine cannot play what a level and a user need; nothing where it can.
pub(crate) type Machine = BTreeMap<(Level, User), Option<String>>;

/// Why `cell` is not played; nothing when it is.
pub(crate) fn excluded(cell: &Cell, machine: &Machine) -> Option<String> {
    let here = machine.get(&(cell.level, cell.user)).cloned().flatten();
    here.or_else(|| senseless(cell).map(str::to_owned))
}

fn senseless(cell: &Cell) -> Option<&'static str> {
    let mode = cell.mode();
    match (cell.end, mode.reach) {
        (End::ToolTimeout | End::Interrupt, Reach::AnswersAtOnce | Reach::DiesInCall) => {
            Some("its calls end at once, so that none times out or is interrupted")
        }
        (End::ToolTimeout | End::Interrupt, Reach::HangsInStart | Reach::FailsToStart | Reach::Unsure) => {
            Some("no call is sure to reach it, so that none times out or is interrupted")
        }
        (End::StartupTimeout | End::CallerCancelled, Reach::FailsToStart) => {
            Some("its start fails of itself, so that it neither times out nor is left")
        }
        (End::StartupTimeout | End::CallerCancelled, Reach::DiesInCall | Reach::HangsInCall) => {
            Some("it misbehaves only after its start; while it hangs there it would be `never-init`")
        }
        (End::HelperCrash, Reach::FailsToStart) => Some("it has ended by itself before it could crash"),
        _ => None,
    }
}
