//! A section for each method.

use verger_wire::Method;
use verger_wire::schema::{Shape, plain};

use super::shapes::members;
use super::{anchor, cell, line};
use crate::errors::{Refusal, refusals};
use crate::examples::Exchange;
use crate::json_text::Json;

/// In the tables, and not in the server: asked for, it is a method that is not found; told, it is never heard.
const NOT_YET: [&str; 11] = [
    "thread/tokenUsage/updated",
    "item/plan/delta",
    "item/reasoning/summaryTextDelta",
    "item/reasoning/summaryPartAdded",
    "item/reasoning/textDelta",
    "item/mcpToolCall/progress",
    "serverRequest/resolved",
    "warning",
    "deprecationNotice",
    "mcpServer/elicitation/request",
    "item/tool/call",
];

/// A line for each, with a link to its section.
pub(super) fn index(out: &mut String, table: &[Method]) {
    *out += "| method | what it is for |\n| --- | --- |\n";
    for method in table {
        let doc = plain(method.doc);
        let first = doc.split_inclusive(". ").next().unwrap_or_default().trim();
        line(out, format_args!("| [`{}`](#{}) | {} |", method.name, anchor(method.name), cell(first)));
    }
}

/// Whose the requests of a table are: the other side answers them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Client,
    Server,
}

/// Sections with parameters, answer, errors and an example.
pub(super) fn requests(out: &mut String, table: &[Method], examples: &[Exchange], asker: Asker) {
    let refusals = refusals();
    // What a client may leave out, and what the server always writes.
    let schema = |shape: &Shape, writer: Asker| match writer {
        Asker::Client => shape.json(),
        Asker::Server => shape.json_as_written(),
    };
    let answerer = if asker == Asker::Client { Asker::Server } else { Asker::Client };
    for method in table {
        heading(out, method);
        match method.params.name() {
            "Empty" => *out += "Parameters: none.\n",
            name => {
                line(out, format_args!("Parameters (`{name}`):\n"));
                members(out, &schema(&method.params, asker));
            }
        }
        match &method.result {
            Some(result) if result.is_empty() => *out += "\nAnswer: `{}`\n",
            Some(result) => {
                line(out, format_args!("\nAnswer (`{}`):\n", result.name()));
                members(out, &schema(result, answerer));
            }
            None => {}
        }
        errors(out, method, &refusals);
        for example in examples.iter().filter(|example| example.method == method.name) {
            let (mut asked, answered) = (Json::read(&example.asked), Json::read(&example.answered));
            if asker == Asker::Client {
                asked = asked.without_nulls();
            }
            line(out, format_args!("\n```json\n{}\n{}\n```", asked.lines(), answered.lines()));
        }
    }
}

/// Sections with parameters and an example.
pub(super) fn notifications(out: &mut String, table: &[Method], examples: &[(&'static str, String)]) {
    for method in table {
        heading(out, method);
        members(out, &method.params.json_as_written());
        // One is enough: the other items are under `ThreadItem`.
        if let Some((_, text)) = examples.iter().find(|(name, _)| *name == method.name) {
            line(out, format_args!("\n```json\n{}\n```", Json::read(text).lines()));
        }
    }
}

fn heading(out: &mut String, method: &Method) {
    line(out, format_args!("\n### {}\n\n{}\n", method.name, plain(method.doc)));
    if NOT_YET.contains(&method.name) {
        *out += "*Not in this version yet.*\n\n";
    }
}

/// The errors of this method alone; those that any request can meet are in one place.
fn errors(out: &mut String, method: &Method, refusals: &[Refusal]) {
    let mut own = refusals.iter().filter(|refusal| refusal.is_for(method)).peekable();
    if own.peek().is_none() {
        return;
    }
    *out += "\nErrors besides [those of any request](#errors):\n\n";
    for refusal in own {
        let (code, message) = (refusal.error.code, &refusal.error.message);
        line(out, format_args!("- {code} {}: {}", code_span(message), refusal.when));
    }
}

/// Text in backticks, also where it has some itself.
fn code_span(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

#[test]
fn what_is_not_there_yet_is_a_method() {
    use verger_wire::{ClientRequest, Notification, ServerRequest};
    let all = [ClientRequest::TABLE, ServerRequest::TABLE, Notification::TABLE];
    for name in NOT_YET {
        assert!(all.into_iter().flatten().any(|method| method.name == name), "{name}");
    }
}
