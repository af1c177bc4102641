//! One type that travels, seen without its Rust: its name, its JSON Schema, its TypeScript.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;
use ts_rs::{TS, TypeVisitor};

use super::{plain, titles};

/// A type that travels, under the name that the table of methods gives it: often an alias, so that `thread/archive`
/// has its `ThreadArchiveParams` as clients of the peer expect.
#[derive(Clone, Copy)]
pub struct Shape {
    written: &'static str,
    own_name: fn() -> Cow<'static, str>,
    json: fn(SchemaSettings) -> Schema,
    typescript: fn(&str, &mut Declarations),
}

/// TypeScript declarations by name, each with what it needs from other files.
pub(super) struct Declarations {
    config: ts_rs::Config,
    pub(super) by_name: BTreeMap<String, Declaration>,
}

/// `export type NAME = BODY;`
#[derive(Debug, Default)]
pub(super) struct Declaration {
    /// For people, one line; empty where there is nothing to say.
    pub(super) doc: String,
    pub(super) body: String,
    /// Names from other files.
    pub(super) uses: BTreeSet<String>,
}

// === impl Shape ===

impl Shape {
    /// `T`, as `written` in a table: boxed or not.
    #[must_use]
    pub const fn of<T: JsonSchema + TS + 'static>(written: &'static str) -> Self {
        Self {
            written,
            own_name: T::schema_name,
            json: |settings| settings.into_generator().into_root_schema_for::<T>(),
            typescript: |name, declarations| declarations.add::<T>(name),
        }
    }

    /// Its name in schemas.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let unboxed = self.written.strip_prefix("Box<").and_then(|rest| rest.strip_suffix('>'));
        unboxed.unwrap_or(self.written)
    }

    /// Whether the table's name is another one than the type's own, so that the type's doc is about more than this.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        (self.own_name)() != self.name()
    }

    /// Whether it has no members at all: `{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.json()["properties"].as_object().is_none_or(serde_json::Map::is_empty)
    }

    /// Its JSON Schema (draft-07) with `title` and `definitions`: what a reader has to accept.
    #[must_use]
    pub fn json(&self) -> Value {
        self.json_in(settings())
    }

    /// The same for a writer: members are required when they are always written.
    #[must_use]
    pub fn json_as_written(&self) -> Value {
        self.json_in(settings().for_serialize())
    }

    fn json_in(&self, settings: SchemaSettings) -> Value {
        let mut schema = (self.json)(settings).to_value();
        schema["title"] = self.name().into();
        titles::add(self.name(), &mut schema);
        schema
    }

    /// Adds its TypeScript, and that of everything it is made of.
    pub(super) fn declare(&self, declarations: &mut Declarations) {
        (self.typescript)(self.name(), declarations);
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shape").field(&self.name()).finish()
    }
}

fn settings() -> SchemaSettings {
    let tidy = |schema: &mut Schema| {
        if let Some(Value::String(doc)) = schema.get_mut("description") {
            *doc = plain(doc);
        }
        // As the peer's generator writes it, and older readers understand.
        if let Some(only) = schema.remove("const") {
            schema.insert("enum".to_owned(), Value::Array(vec![only]));
        }
    };
    SchemaSettings::draft07().with_transform(RecursiveTransform(tidy))
}

// === impl Declarations ===

impl Default for Declarations {
    fn default() -> Self {
        // 64-bit numbers come out of JSON.parse as `number`; none here is past 2^53.
        Self { config: ts_rs::Config::new().with_large_int("number"), by_name: BTreeMap::new() }
    }
}

impl Declarations {
    fn add<T: TS + 'static + ?Sized>(&mut self, name: &str) {
        if self.by_name.contains_key(name) {
            return;
        }
        // Entered before its parts are, since a type may be a part of itself.
        self.by_name.insert(name.to_owned(), Declaration::default());
        let mut parts = Parts { declarations: self, names: BTreeSet::new() };
        T::visit_dependencies(&mut parts);
        let mut uses = parts.names;
        uses.remove(name);
        let doc = T::docs().unwrap_or_default();
        let doc =
            doc.lines().map(|line| line.trim_start_matches(['/', '*', ' '])).collect::<Vec<_>>().join(" ");
        let declaration = Declaration { doc: plain(&doc), body: T::inline(&self.config), uses };
        self.by_name.insert(name.to_owned(), declaration);
    }
}

/// What one type is made of.
struct Parts<'a> {
    declarations: &'a mut Declarations,
    names: BTreeSet<String>,
}

impl TypeVisitor for Parts<'_> {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Numbers, strings and containers have no file of their own.
        if T::output_path().is_some() {
            let name = T::ident(&self.declarations.config);
            self.declarations.add::<T>(&name);
            self.names.insert(name);
        }
    }
}
