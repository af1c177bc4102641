//! All files of the schema in one: made by a test from the types, kept in the repository, carried by the program.
//!
//! What makes them is code for every type: in the program it would be 1.6 MB more of it, 0.8 MB more resident memory
//! and 20 kB more for each helper, whose shim is the same image. What it makes is 0.3 MB that nobody reads but
//! `verger schema`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{File, json, typescript};

/// The files, each text once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pack {
    /// JSON Schema by name, JSON-RPC's own messages and all that each is made of.
    pub definitions: Map<String, Value>,
    /// Files of JSON Schema by path, with the name of the definition that each is about.
    pub json: BTreeMap<String, String>,
    /// Files of TypeScript by path, line by line, so that a change can be reviewed.
    pub typescript: BTreeMap<String, Vec<String>>,
}

// === impl Pack ===

impl Pack {
    /// What the types say now.
    #[must_use]
    pub fn of_types() -> Self {
        let (definitions, json) = json::definitions();
        let lines = |text: String| text.lines().map(|line| line.trim_end().to_owned()).collect();
        let typescript = typescript::files().into_iter().map(|file| (file.path, lines(file.text))).collect();
        Self { definitions, json, typescript }
    }

    /// What they said when the program was built: a test sees to it that this is the same.
    #[must_use]
    pub fn kept() -> Self {
        serde_json::from_str(include_str!("../../schema.json"))
            .expect("it was written by the same type, and a test holds it against the types")
    }

    /// As it is kept.
    #[must_use]
    pub fn text(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).expect("strings and JSON under string keys always encode");
        text + "\n"
    }

    /// The files, in `json` and `typescript`.
    #[must_use]
    pub fn files(&self) -> Vec<File> {
        let typescript = self.typescript.iter().map(|(path, lines)| {
            let text = lines.iter().flat_map(|line| [line, "\n"]).collect();
            File { path: format!("typescript/{path}"), text }
        });
        json::files(&self.definitions, &self.json).into_iter().chain(typescript).collect()
    }
}
