//! The protocol described for other programs: JSON Schema and TypeScript, made from the types that travel.
//!
//! Files are named and laid out as the peer's (`codex app-server generate-json-schema` and `generate-ts`), so that
//! what reads those reads these. A schema says what Verger accepts: a member is required when a message without it is
//! refused. In what Verger itself sends, every member is there unless its description says that it is left out.

mod json;
mod layout;
mod messages;
mod pack;
mod shape;
mod titles;
mod typescript;

use serde_json::Value;

use crate::methods::Method;
use crate::{ClientRequest, McpToolApprovalMeta, Notification, ServerRequest};

pub use pack::Pack;
pub use shape::Shape;

/// Stands at the head of every file, so that a program can tell them from files that a person wrote.
pub const MARK: &str = "Made by `verger schema`; do not edit.";

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the folder that the user chose, with `/` between folders.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// A doc comment for people who do not read Rust: one line, and no links that only rustdoc can follow.
#[must_use]
pub fn plain(doc: &str) -> String {
    let line = doc.split_whitespace().collect::<Vec<_>>().join(" ").replace("[`", "`");
    let mut parts = line.split("`]");
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A link may name where it leads: `](crate::Where)`.
        let rest =
            part.strip_prefix('(').and_then(|path| path.split_once(')')).map_or(part, |(_, rest)| rest);
        told += "`";
        told += rest;
    }
    told
}

/// A shape, and what it is for.
struct Described {
    shape: Shape,
    about: String,
}

/// Every parameter, result and notification type, in the order of the tables, and what Verger puts where anything may
/// stand. A method without parameters shares its shape with others, and nobody needs a file for `{}`.
fn shapes() -> impl Iterator<Item = Described> {
    let tables = [ClientRequest::TABLE, ServerRequest::TABLE, Notification::TABLE];
    let each = tables.into_iter().flatten().flat_map(|Method { name, doc, params, result }| {
        let about = format!("Parameters of `{name}`: {}", plain(doc));
        let params = Described { shape: *params, about };
        let result = result.map(|shape| Described { shape, about: format!("Answer to `{name}`.") });
        std::iter::once(params).chain(result)
    });
    let approval = Described {
        shape: Shape::of::<McpToolApprovalMeta>("McpToolApprovalMeta"),
        about: "`_meta` of a form that asks whether a tool may run.".to_owned(),
    };
    each.filter(|described| described.shape.name() != "Empty").chain([approval])
}

// === impl Described ===

impl Described {
    /// What to say of it: `own`, unless its type stands for several methods or says nothing.
    fn doc(&self, own: &str) -> String {
        if own.is_empty() || self.shape.is_alias() { self.about.clone() } else { own.to_owned() }
    }

    fn json(&self) -> Value {
        let mut schema = self.shape.json();
        let doc = self.doc(schema["description"].as_str().unwrap_or_default());
        schema["description"] = doc.into();
        schema
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn links_of_rustdoc_are_plain_text_for_everybody_else() {
        let doc =
            " A [`Turn`], not [`this`](crate::That) (see\n `[a](b)` and [the page](https://a.example)).";
        assert_eq!(
            super::plain(doc),
            "A `Turn`, not `this` (see `[a](b)` and [the page](https://a.example))."
        );
    }
}
