//! What of a process's surroundings makes a difference to the threads it serves: compared before a client of one process is
//! served by another.

use std::collections::BTreeMap;

use verger_wire::requests::RelayParams;

use crate::config::Config;

/// This process, under `config`.
pub fn invocation(config: &Config) -> RelayParams {
    let var = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let cwd = std::env::current_dir().map_or_else(|_| "/".to_owned(), |dir| dir.display().to_string());
    let environment = config.named_variables().into_iter().map(|name| (name.to_owned(), var(name)));
    let overrides = config.overrides().as_slice().iter().map(|set| (set.key.clone(), set.value.clone()));
    RelayParams { cwd, path: var("PATH"), overrides: overrides.collect(), environment: environment.collect() }
}

/// Why `theirs` cannot be served by `ours`. Never a value: they may be secret.
pub(crate) fn difference(ours: &RelayParams, theirs: &RelayParams) -> Option<String> {
    if ours.path != theirs.path {
        return Some("PATH is not the daemon's".to_owned());
    }
    if ours.overrides != theirs.overrides {
        return Some("the settings by --config and VERGER_* are not the daemon's".to_owned());
    }
    let value = |of: &BTreeMap<String, Option<String>>, name: &String| of.get(name).cloned().flatten();
    let mut names = ours.environment.keys().chain(theirs.environment.keys());
    let differs = |name: &&String| value(&ours.environment, name) != value(&theirs.environment, name);
    names.find(differs).map(|name| format!("{name} is not the daemon's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_a_difference_keeps_two_apart() {
        let ours = RelayParams {
            cwd: "/a".into(),
            path: Some("/bin".into()),
            overrides: vec![("model".into(), "\"m\"".into())],
            environment: [("KEY".to_owned(), Some("secret".to_owned())), ("NONE".to_owned(), None)].into(),
        };
        assert_eq!(difference(&ours, &RelayParams { cwd: "/b".into(), ..ours.clone() }), None);
        assert_eq!(
            difference(&ours, &RelayParams { path: None, ..ours.clone() }).unwrap(),
            "PATH is not the daemon's"
        );
        let other = RelayParams { overrides: Vec::new(), ..ours.clone() };
        assert!(difference(&ours, &other).unwrap().starts_with("the settings by --config"));
        let other = RelayParams { environment: BTreeMap::new(), ..ours.clone() };
        assert_eq!(difference(&ours, &other).unwrap(), "KEY is not the daemon's");
    }
}
