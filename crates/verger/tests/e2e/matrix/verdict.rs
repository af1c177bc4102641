//! How a cell ended, in words for people and in a line for `cargo xtask soak leaks`.

use serde_json::json;

use super::cast::Cell;

/// Why a cell failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How many processes lived that should not; nothing where the failure is another.
    survivors: Option<usize>,
    said: String,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn survivors(count: usize, said: String) -> Self {
        Self { survivors: Some(count), said }
    }

    pub(crate) fn other(said: String) -> Self {
        Self { survivors: None, said }
    }

    /// Of a panic's words. Those of LeakGuard begin with a count.
    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let literal = payload.downcast_ref::<&str>().map(|said| (*said).to_owned());
        let said = literal.or_else(|| payload.downcast_ref::<String>().cloned());
        let said = said.unwrap_or_else(|| "it panicked without words".to_owned());
        let survivors = said.split_once(" leaked process(es)").and_then(|(count, _)| count.parse().ok());
        Self { survivors, said }
    }
}

/// What a cell has to say beside that nothing was left; often nothing.
pub(crate) type Note = String;

/// One line of JSON.
pub(crate) fn line(cell: &Cell, verdict: &Result<Note, Failure>, took: std::time::Duration) -> String {
    let (survivors, said) = match verdict {
        Ok(note) => (Some(0), note),
        Err(failure) => (failure.survivors, &failure.said),
    };
    let line = json!({
        "mode": cell.mode().words.join(" "),
        "level": cell.level.name(),
        "user": cell.user.name(),
        "end": cell.end.name(),
        "passed": verdict.is_ok(),
        "survivors": survivors,
        "said": said,
        "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    });
    format!("CELL {line}")
}

#[test]
fn leaks_that_the_guard_finds_are_counted() {
    let of = |said: &str| Failure::panicked(&said.to_owned()).survivors;
    assert_eq!(of("3 leaked process(es), alive 5s after the test:\n  7 x"), Some(3));
    assert_eq!(of("client: no answer"), None);
}
