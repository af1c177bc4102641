//! docs/protocol.md: prose for the whole, and for each method what its types, errors and examples say.

mod methods;
mod shapes;

use std::fmt::Write as _;

use verger_wire::{ClientRequest, Notification, ServerRequest};

use self::methods::Asker;
use crate::errors::{To, refusals};
use crate::examples;
use crate::json_text::Json;

/// All of it.
pub(crate) fn page() -> String {
    let mut out = String::from(include_str!("prose/head.md"));
    first_session(&mut out);
    out += include_str!("prose/transports.md");
    out += include_str!("prose/conventions.md");
    out += "\n## Requests\n\nWhat a client may ask.\n\n";
    methods::index(&mut out, ClientRequest::TABLE);
    methods::requests(&mut out, ClientRequest::TABLE, &examples::requests(), Asker::Client);
    out += include_str!("prose/notifications.md");
    methods::index(&mut out, Notification::TABLE);
    methods::notifications(&mut out, Notification::TABLE, &examples::notifications());
    out += include_str!("prose/questions.md");
    methods::index(&mut out, ServerRequest::TABLE);
    methods::requests(&mut out, ServerRequest::TABLE, &examples::questions(), Asker::Server);
    errors(&mut out);
    shapes::types(&mut out);
    out += include_str!("prose/differences.md");
    out
}

fn first_session(out: &mut String) {
    *out += "\n```\n";
    for (from, text) in examples::first_session() {
        let json = Json::read(&text).without_nulls();
        let arrow = if from == '>' { "client >" } else { "server <" };
        line(out, format_args!("{arrow} {}", shortened(&json.line())));
    }
    *out += "```\n";
}

/// A long line as far as it tells something; the sections below have all of each.
fn shortened(text: &str) -> String {
    let text = &text
        .replace(examples::THREAD, &short(examples::THREAD))
        .replace(examples::TURN, &short(examples::TURN));
    const ENOUGH: usize = 165;
    match text.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

/// An id as people tell it from others.
fn short(id: &str) -> String {
    format!("{}..", id.get(9..13).unwrap_or(id))
}

fn errors(out: &mut String) {
    *out += include_str!("prose/errors.md");
    *out += "\n| code | message | when | answers |\n| --- | --- | --- | --- |\n";
    for refusal in refusals() {
        let to = match refusal.to {
            To::Frame => "a frame".to_owned(),
            To::Any => "any request".to_owned(),
            To::WithThread => "a request with a `threadId`".to_owned(),
            To::Only(methods) => methods.iter().map(|name| link(name)).collect::<Vec<_>>().join(", "),
        };
        let (code, message) = (refusal.error.code, cell(&refusal.error.message));
        line(out, format_args!("| {code} | {message} | {} | {to} |", refusal.when));
    }
}

/// A link to the section of a method.
fn link(method: &str) -> String {
    format!("[`{method}`](#{})", anchor(method))
}

/// What the heading of that name is called in links.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == ' ');
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Text that stands in a cell of a table as it is.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a String never fails");
}

#[test]
fn every_link_leads_to_one_heading() {
    let page = page();
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchors: Vec<String> = headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
    for link in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert_eq!(anchors.iter().filter(|anchor| *anchor == link).count(), 1, "#{link}");
    }
}
