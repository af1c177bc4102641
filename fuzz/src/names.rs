//! Names that only the daemon can give: a script says `$t0`, and means the first thread that anyone heard of.

use serde_json::Value;

/// Names of each kind that a script can use; later ones go unnoticed.
const KNOWN: usize = 10;

/// Names by kind, in the order in which they were heard.
#[derive(Debug, Default)]
pub struct Names {
    threads: Vec<String>,
    turns: Vec<String>,
    cursors: Vec<String>,
}

impl Names {
    /// Notes whatever a message of the daemon names.
    pub fn hear(&mut self, message: &Value) {
        match message {
            Value::Object(members) => {
                for (member, value) in members {
                    match (member.as_str(), value) {
                        ("thread", Value::Object(thread)) => note(&mut self.threads, thread.get("id")),
                        ("turn", Value::Object(turn)) => note(&mut self.turns, turn.get("id")),
                        (member, Value::String(_)) if member.ends_with("ursor") => {
                            note(&mut self.cursors, Some(value));
                        }
                        _ => {}
                    }
                    self.hear(value);
                }
            }
            Value::Array(parts) => parts.iter().for_each(|part| self.hear(part)),
            _ => {}
        }
    }

    /// Writes names for signs. One that nobody has heard of yet becomes a well-formed name of nothing.
    #[must_use]
    pub fn fill_in(&self, line: &[u8]) -> Vec<u8> {
        let mut filled = Vec::with_capacity(line.len());
        let mut rest = line;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.name(rest) {
                Some(name) => {
                    filled.extend(name.as_bytes());
                    &rest[3..]
                }
                None => {
                    filled.push(byte);
                    after
                }
            };
        }
        filled
    }

    fn name(&self, text: &[u8]) -> Option<&str> {
        let (kind, index) = match text {
            [b'$', kind, digit @ b'0'..=b'9', ..] => (kind, usize::from(digit - b'0')),
            _ => return None,
        };
        let (names, nothing) = match kind {
            b't' => (&self.threads, "01980000-0000-7000-8000-000000000000"),
            b'u' => (&self.turns, "01980000-0000-7000-8000-000000000001"),
            b'c' => (&self.cursors, "0"),
            _ => return None,
        };
        Some(names.get(index).map_or(nothing, String::as_str))
    }
}

fn note(names: &mut Vec<String>, name: Option<&Value>) {
    if let Some(name) = name.and_then(Value::as_str)
        && names.len() < KNOWN
        && !names.iter().any(|known| known == name)
    {
        names.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sign_becomes_the_name_that_was_heard() {
        let mut names = Names::default();
        names.hear(&json!({"result": {"thread": {"id": "T"}, "nextCursor": "C"}}));
        names.hear(&json!({"params": {"thread": {"id": "T"}, "turn": {"id": "U", "items": []}}}));
        assert_eq!(names.fill_in(b"$t0 $u0 $c0 $t \xff$"), b"T U C $t \xff$");
        assert_eq!(names.fill_in(b"$t1"), b"01980000-0000-7000-8000-000000000000");
    }
}
