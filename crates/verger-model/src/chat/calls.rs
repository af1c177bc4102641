//! Tool calls, put together from their fragments.
//!
//! By the book a fragment says by `index` which call it continues, and the first of a call has its id and name. Servers
//! leave out the index, the id or both, send each call whole, give every call index 0, repeat the name in each fragment,
//! or write the arguments as an object instead of a string that holds one. A fragment begins a call where nothing else makes
//! sense: it has a name, and the call that it would continue has another id, or is whole.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::decoder::Fault;
use crate::event::ModelEvent;

/// One element of a delta's `tool_calls`.
#[derive(Deserialize)]
pub(super) struct Fragment<'a> {
    index: Option<u64>,
    id: Option<String>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize, Default)]
struct Function<'a> {
    name: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// The calls of one answer so far.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    index: Option<u64>,
    id: Option<String>,
    name: String,
    arguments: String,
}

// === impl Calls ===

impl Calls {
    pub(super) fn add(&mut self, fragment: Fragment<'_>) {
        let Fragment { index, id, function } = fragment;
        let function = function.unwrap_or_default();
        let (id, name) = (id.filter(|id| !id.is_empty()), function.name.unwrap_or_default());
        let arguments = function.arguments.map_or_else(String::new, text);
        let place = self.place(index, id.as_deref(), !name.is_empty()).filter(|&at| {
            let call = &self.0[at];
            let other = call.id.is_some() && id.is_some() && call.id != id;
            name.is_empty() || !(other || (call.is_whole() && !arguments.trim().is_empty()))
        });
        let Some(at) = place else { return self.0.push(Call { index, id, name, arguments }) };
        let call = &mut self.0[at];
        call.id = call.id.take().or(id);
        if call.name.is_empty() {
            call.name = name;
        }
        call.arguments.push_str(&arguments);
    }

    /// The call that a fragment continues, going by what it says of itself.
    fn place(&self, index: Option<u64>, id: Option<&str>, named: bool) -> Option<usize> {
        if index.is_some() {
            return self.0.iter().rposition(|call| call.index == index);
        }
        let same = id.and_then(|id| self.0.iter().rposition(|call| call.id.as_deref() == Some(id)));
        same.or_else(|| if named { None } else { self.0.len().checked_sub(1) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each could be made.
    pub(super) fn are_whole(&self) -> bool {
        self.0.iter().all(Call::is_whole)
    }

    /// The calls as events, in the order in which they began. Ids are made up where there are none, or one twice.
    ///
    /// # Errors
    /// A call that does not say of what.
    pub(super) fn take(&mut self) -> Result<Vec<ModelEvent>, Fault> {
        let mut ids: Vec<String> = Vec::new();
        let events = std::mem::take(&mut self.0).into_iter().enumerate().map(|(at, call)| {
            if call.name.is_empty() {
                return Err(Fault::Unreadable("a tool call without a name".to_owned()));
            }
            let call_id =
                call.id.filter(|id| !ids.contains(id)).unwrap_or_else(|| format!("call_{}", at + 1));
            ids.push(call_id.clone());
            let arguments = if call.arguments.trim().is_empty() { "{}".to_owned() } else { call.arguments };
            Ok(ModelEvent::ToolCall { call_id, namespace: None, name: call.name, arguments })
        });
        events.collect()
    }
}

// === impl Call ===

impl Call {
    /// Nothing can be added to a whole object.
    fn is_whole(&self) -> bool {
        serde_json::from_str::<Map<String, Value>>(&self.arguments).is_ok()
    }
}

/// What to add to the arguments.
fn text(raw: &RawValue) -> String {
    match raw.get() {
        "null" => String::new(),
        json => serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fragments as JSON in, `id name arguments` out.
    #[track_caller]
    fn check(fragments: &[&str], want: &[&str]) {
        let mut calls = Calls::default();
        for fragment in fragments {
            calls.add(serde_json::from_str(fragment).unwrap());
        }
        let short = |event: ModelEvent| match event {
            ModelEvent::ToolCall { call_id, name, arguments, .. } => format!("{call_id} {name} {arguments}"),
            other => panic!("{other:?}"),
        };
        let got: Vec<String> = calls.take().unwrap().into_iter().map(short).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn by_the_book_two_calls_in_pieces() {
        check(
            &[
                r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
                r#"{"index":0,"function":{"arguments":"{\"x\""}}"#,
                r#"{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}"#,
                r#"{"index":0,"function":{"arguments":":1}"}}"#,
                r#"{"index":1,"function":{"arguments":"{}"}}"#,
            ],
            &[r#"a f {"x":1}"#, "b g {}"],
        );
    }

    #[test]
    fn without_an_index() {
        // whole calls; pieces after a named one; pieces by id
        check(
            &[
                r#"{"id":"a","function":{"name":"f","arguments":"{}"}}"#,
                r#"{"id":"b","function":{"name":"f","arguments":"{}"}}"#,
            ],
            &["a f {}", "b f {}"],
        );
        check(
            &[
                r#"{"id":"a","function":{"name":"f","arguments":""}}"#,
                r#"{"function":{"arguments":"{\"x\":"}}"#,
                r#"{"id":"","function":{"name":null,"arguments":"1}"}}"#,
            ],
            &[r#"a f {"x":1}"#],
        );
        check(
            &[
                r#"{"id":"a","function":{"name":"f"}}"#,
                r#"{"id":"b","function":{"name":"g"}}"#,
                r#"{"id":"a","function":{"arguments":"{\"x\":1}"}}"#,
                r#"{"id":"b","function":{"name":"g","arguments":"{}"}}"#,
            ],
            &[r#"a f {"x":1}"#, "b g {}"],
        );
    }

    #[test]
    fn without_an_id_or_with_one_twice() {
        check(
            &[
                r#"{"index":0,"function":{"name":"f","arguments":"{\"x\":"}}"#,
                r#"{"index":0,"id":"","function":{"arguments":"1}"}}"#,
                r#"{"index":1,"function":{"name":"g","arguments":"{}"}}"#,
            ],
            &[r#"call_1 f {"x":1}"#, "call_2 g {}"],
        );
        check(
            &[
                r#"{"function":{"name":"f","arguments":{"x": 1}}}"#,
                r#"{"function":{"name":"f","arguments":{}}}"#,
            ],
            &[r#"call_1 f {"x": 1}"#, "call_2 f {}"],
        );
        check(
            &[
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}"#,
                r#"{"index":1,"id":"a","function":{"name":"g","arguments":"{}"}}"#,
            ],
            &["a f {}", "call_2 g {}"],
        );
    }

    #[test]
    fn one_index_for_all() {
        check(
            &[
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"p\":\"a.rs\"}"}}"#,
                r#"{"index":0,"id":"b","function":{"name":"f","arguments":"{\"p\":\"b.rs\"}"}}"#,
            ],
            &[r#"a f {"p":"a.rs"}"#, r#"b f {"p":"b.rs"}"#],
        );
        check(
            &[
                r#"{"index":0,"function":{"name":"f","arguments":"{}"}}"#,
                r#"{"index":0,"function":{"name":"f","arguments":"{\"p\":"}}"#,
                r#"{"index":0,"function":{"arguments":"1}"}}"#,
            ],
            &["call_1 f {}", r#"call_2 f {"p":1}"#],
        );
    }

    #[test]
    fn what_is_said_again_in_each_piece_is_no_new_call() {
        check(
            &[
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}"#,
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"1}"}}"#,
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#,
            ],
            &[r#"a f {"x":1}"#],
        );
        // another id for each piece, without a name
        check(
            &[
                r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}"#,
                r#"{"index":0,"id":"b","function":{"arguments":"1}"}}"#,
            ],
            &[r#"a f {"x":1}"#],
        );
    }

    #[test]
    fn arguments_that_are_missing_are_empty_ones_and_a_name_must_be_there() {
        check(&[r#"{"index":0,"id":"a","function":{"name":"f","arguments":null}}"#], &["a f {}"]);
        check(&[r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x"}}"#], &[r#"a f {"x"#]);
        let mut calls = Calls::default();
        calls.add(serde_json::from_str(r#"{"index":0,"function":{"arguments":"{}"}}"#).unwrap());
        assert!(matches!(calls.take(), Err(Fault::Unreadable(cause)) if cause.contains("name")));
    }
}
