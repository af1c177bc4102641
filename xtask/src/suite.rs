//! `test`: the list of steps, cheapest first, so that what is quick to say is said early.

use crate::error::Error;
use crate::house::House;
use crate::report::{Outcome, Report};
use crate::{acceptance, checks, clients, fuzz, gateway, peer, real_servers, rust_tests, tools};

type Work = fn(&House) -> Result<Outcome, Error>;

/// Name and work of each step, in the order in which they run. What helpers write to stdout is fuzzed by `soak` alone, until
/// an hour of that has gone by without a false alarm.
const STEPS: [(&str, Work); 28] = [
    ("fmt", |house| checks::fmt(house).map(|()| Outcome::passed())),
    ("get-nextest", tools::nextest),
    ("get-python", tools::python),
    ("get-clients", tools::clients),
    ("get-gateway", tools::gateway),
    ("get-npm", tools::npm),
    ("get-peer", tools::peer),
    ("clippy", checks::clippy),
    ("deny", checks::deny),
    ("build", rust_tests::build),
    ("tests", rust_tests::tests),
    ("doctests", rust_tests::doctests),
    ("real-servers", real_servers::tests),
    ("gateway", gateway::tests),
    ("pypi-clients", clients::tests),
    ("peer-schema", peer::schema),
    ("peer-replay", peer::replay),
    ("fuzz-build", fuzz::build),
    ("fuzz-decode", |house| fuzz::short(house, fuzz::DECODE)),
    ("fuzz-dispatch", |house| fuzz::short(house, fuzz::DISPATCH)),
    ("fuzz-channel", |house| fuzz::short(house, fuzz::CHANNEL)),
    ("acceptance-build", acceptance::build),
    ("switch-stdlib-eager", |house| acceptance::switch(house, "stdlib", "eager")),
    ("switch-stdlib-lazy", |house| acceptance::switch(house, "stdlib", "lazy")),
    ("switch-sdk-eager", |house| acceptance::switch(house, "sdk", "eager")),
    ("switch-sdk-lazy", |house| acceptance::switch(house, "sdk", "lazy")),
    ("kill", acceptance::kill),
    ("close", acceptance::close),
];

/// The steps' names, for people.
pub(crate) fn names() -> String {
    STEPS.map(|(name, _)| name).join(", ")
}

/// Runs every step, or those that are named; whether all went well.
pub(crate) fn test(house: &House, chosen: &[&str]) -> Result<bool, Error> {
    if let Some(unknown) = chosen.iter().find(|name| STEPS.iter().all(|(step, _)| step != *name)) {
        return Err(Error::Usage(format!("'{unknown}' is no step of test; there are: {}", names())));
    }
    let mut report = Report::default();
    for (name, work) in STEPS {
        if chosen.is_empty() || chosen.contains(&name) {
            report.step(name, || work(house));
        }
    }
    println!("\n{report}");
    Ok(report.is_green())
}
