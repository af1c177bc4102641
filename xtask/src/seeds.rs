//! A test that is run once for each of many seeds, in a process each, some of them at once: it mostly waits. Optimised, or most of it
//! would be the parsing of snapshots.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Map, Value};

use crate::error::Error;
use crate::house::House;
use crate::soak::{SCALE, cells, measured};

const SEEDS: u64 = 20;

/// How many run at once.
const AT_ONCE: usize = 4;

/// Runs all seeds, also past one that fails; the sums of what they measured, or the first failure.
pub(crate) fn all(house: &House, name: &'static str, filter: &str) -> Result<Vec<(String, String)>, Error> {
    let next = AtomicU64::new(1);
    let work = || {
        let mut found = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > SEEDS {
                return found;
            }
            let text = seed.to_string();
            let env = [("VERGER_CROWD_SEED", OsStr::new(&text))];
            let result = measured(house, name, &["--cargo-profile", "acceptance"], filter, SCALE, &env);
            let how = if result.is_ok() { "passed" } else { "FAILED" };
            println!("{name}: seed {seed} {how}");
            found.push(result);
        }
    };
    let found: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });
    let found = found.into_iter().collect::<Result<Vec<_>, Error>>()?;
    Ok(cells(&sums(&found)))
}

/// Figures of many runs as one: what is a number is added up.
fn sums(found: &[Map<String, Value>]) -> Map<String, Value> {
    let mut sums = Map::new();
    for (name, figure) in found.iter().flatten() {
        let sum =
            sums.get(name).and_then(Value::as_u64).zip(figure.as_u64()).map(|(a, b)| Value::from(a + b));
        sums.insert(name.clone(), sum.unwrap_or_else(|| figure.clone()));
    }
    sums
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_of_all_seeds_are_added_up() {
        let found: Vec<Map<String, Value>> =
            [json!({ "steps": 2, "seeds": 1 }), json!({ "steps": 5, "seeds": 1 })]
                .into_iter()
                .map(|figures| figures.as_object().expect("an object").clone())
                .collect();
        assert_eq!(Value::from(sums(&found)), json!({ "steps": 7, "seeds": 2 }));
    }
}
