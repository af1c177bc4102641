//! The schema that `verger schema` writes, as a judge of messages.

use std::collections::HashMap;
use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

/// Every definition of the file that holds them all.
pub(crate) struct Judge {
    schemas: Schemas,
    definitions: HashMap<String, SchemaIndex>,
}

/// Compiled once for each test program.
pub(crate) fn judge() -> &'static Judge {
    static JUDGE: OnceLock<Judge> = OnceLock::new();
    JUDGE.get_or_init(Judge::new)
}

// === impl Judge ===

impl Judge {
    fn new() -> Self {
        const AT: &str = "mem:///all.json";
        let definitions = verger_wire::schema::Pack::of_types().definitions;
        let names: Vec<String> = definitions.keys().cloned().collect();
        let all = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "definitions": definitions });
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.add_resource(AT, all).expect("the address is not taken");
        let definitions = names.into_iter().map(|name| {
            let compiled = compiler.compile(&format!("{AT}#/definitions/{name}"), &mut schemas);
            let index = compiled.unwrap_or_else(|cause| panic!("{name} is no schema: {cause}"));
            (name, index)
        });
        let definitions = definitions.collect();
        Self { schemas, definitions }
    }

    /// Whether `value` fits the definition `name`; the error is for people.
    pub(crate) fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let index = *self.definitions.get(name).unwrap_or_else(|| panic!("the schema has no {name}"));
        self.schemas.validate(value, index).map_err(|error| format!("{name}: {error:#}"))
    }

    /// Requires it.
    #[track_caller]
    #[allow(dead_code, reason = "not every test program that shares this file has certain messages")]
    pub(crate) fn require(&self, name: &str, value: &Value) {
        self.check(name, value).unwrap_or_else(|why| panic!("{value} does not fit {why}"));
    }
}
