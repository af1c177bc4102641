//! TypeScript: a file for each type, and an index for each folder.

use std::collections::{BTreeMap, BTreeSet};

use super::shape::{Declaration, Declarations};
use super::{File, MARK, Shape, layout, plain, shapes};
use crate::frame::RequestId;
use crate::methods::Method;
use crate::{ClientRequest, Notification, ServerRequest};

/// Every TypeScript file.
pub(super) fn files() -> Vec<File> {
    let mut declarations = Declarations::default();
    Shape::of::<RequestId>("RequestId").declare(&mut declarations);
    for described in shapes() {
        described.shape.declare(&mut declarations);
        if let Some(declaration) = declarations.by_name.get_mut(described.shape.name()) {
            declaration.doc = described.doc(&declaration.doc);
        }
    }
    declarations.by_name.extend(messages().map(|(name, declaration)| (name.to_owned(), declaration)));

    let mut indexes: BTreeMap<&str, String> = BTreeMap::new();
    let mut files = Vec::new();
    for (name, declaration) in &declarations.by_name {
        let folder = layout::typescript(name);
        files.push(File { path: format!("{folder}{name}.ts"), text: text(folder, name, declaration) });
        let line = format!("export type {{ {name} }} from \"./{name}\";\n");
        indexes.entry(folder).or_insert_with(|| format!("// {MARK}\n\n")).push_str(&line);
    }
    // As the peer has it: the shared ones by their names, the rest as `v2.NAME`.
    indexes.entry("").or_default().push_str("export * as v2 from \"./v2\";\n");
    indexes.remove("serde_json/");
    files.extend(indexes.into_iter().map(|(folder, text)| File { path: format!("{folder}index.ts"), text }));
    files
}

/// One file.
fn text(folder: &str, name: &str, declaration: &Declaration) -> String {
    let imports = declaration.uses.iter().map(|used| {
        let path = match (folder, layout::typescript(used)) {
            (from, to) if from == to => format!("./{used}"),
            ("", to) => format!("./{to}{used}"),
            (_, to) => format!("../{to}{used}"),
        };
        format!("import type {{ {used} }} from \"{path}\";\n")
    });
    let imports: String = imports.collect();
    let gap = if imports.is_empty() { "" } else { "\n" };
    let Declaration { doc, body, .. } = declaration;
    let doc = if doc.is_empty() { String::new() } else { format!("/** {doc} */\n") };
    format!("// {MARK}\n\n{imports}{gap}{doc}export type {name} = {};\n", body.trim())
}

/// Whole messages, by who sends them.
fn messages() -> impl Iterator<Item = (&'static str, Declaration)> {
    let union = |doc: &str, table: &[Method]| {
        let body: String = table.iter().map(|method| format!("\n  | {}", variant(method))).collect();
        let named = table.iter().map(|method| method.params.name()).filter(|name| *name != "Empty");
        let mut uses: BTreeSet<String> = named.map(str::to_owned).collect();
        if table.iter().any(|method| method.result.is_some()) {
            uses.insert("RequestId".to_owned());
        }
        Declaration { doc: doc.to_owned(), body, uses }
    };
    let envelope = Declaration {
        doc: "A notification as it is sent, with the time in Unix milliseconds.".to_owned(),
        body: "{ emittedAtMs?: number, } & ServerNotification".to_owned(),
        uses: BTreeSet::from(["ServerNotification".to_owned()]),
    };
    let initialized = Declaration {
        doc: "What a client tells. Verger waits for it no more than the peer does.".to_owned(),
        body: r#"{ "method": "initialized", }"#.to_owned(),
        uses: BTreeSet::new(),
    };
    [
        ("ClientRequest", union("A request of the client.", ClientRequest::TABLE)),
        ("ServerRequest", union("A request of the server.", ServerRequest::TABLE)),
        ("ServerNotification", union("What the server tells.", Notification::TABLE)),
        ("ServerNotificationEnvelope", envelope),
        ("ClientNotification", initialized),
    ]
    .into_iter()
}

/// One method's message.
fn variant(method: &Method) -> String {
    let id = if method.result.is_some() { " id: RequestId," } else { "" };
    let name = method.name;
    let params = match method.params.name() {
        "Empty" => "params?: Record<string, never> | null".to_owned(),
        shape if method.needs_params() => format!("params: {shape}"),
        shape => format!("params?: {shape}"),
    };
    format!("/** {} */ {{ \"method\": \"{name}\",{id} {params}, }}", plain(method.doc))
}
