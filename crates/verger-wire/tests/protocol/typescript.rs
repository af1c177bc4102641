//! Whether TypeScript says the same as the schema where ts-rs has to be told: which members a client may leave out.

use serde_json::Value;
use verger_wire::schema::{File, Pack, Shape};
use verger_wire::{ClientRequest, ServerRequest};

fn typescript() -> Vec<File> {
    Pack::of_types().files().into_iter().filter(|file| file.path.starts_with("typescript/")).collect()
}

#[test]
fn what_a_client_may_leave_out_is_marked_so() {
    let files = typescript();
    let asked = ClientRequest::TABLE.iter().map(|method| method.params);
    let answered = ServerRequest::TABLE.iter().filter_map(|method| method.result);
    let mut wrong = Vec::new();
    for shape in asked.chain(answered).filter(|shape| shape.name() != "Empty") {
        let schema = shape.json();
        let file = files.iter().find(|file| file.path.ends_with(&format!("/{}.ts", shape.name())));
        let file = file.expect("each shape has a file");
        for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            let is_required =
                schema["required"].as_array().is_some_and(|all| all.contains(&Value::from(&**name)));
            let mark = if is_required { ":" } else { "?:" };
            if !file.text.contains(&format!("\n{name}{mark} ")) {
                wrong.push(format!("{}.{name} should be `{name}{mark}`", shape.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_import_leads_to_a_file() {
    let files = typescript();
    for file in &files {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for line in
            file.text.lines().filter(|line| line.starts_with("import") || line.starts_with("export type {"))
        {
            let from = line.split('"').nth(1).expect("a path in quotes");
            let path = match (from.strip_prefix("./"), from.strip_prefix("../")) {
                (Some(here), _) => format!("{folder}/{here}.ts"),
                (None, Some(above)) => format!("typescript/{above}.ts"),
                (None, None) => panic!("{line}"),
            };
            assert!(files.iter().any(|file| file.path == path), "{}: {line}: no {path}", file.path);
        }
    }
}

#[test]
fn a_shape_is_called_as_its_table_calls_it() {
    for method in ClientRequest::TABLE.iter().chain(ServerRequest::TABLE) {
        let shapes: Vec<&Shape> = std::iter::once(&method.params).chain(&method.result).collect();
        for shape in shapes {
            assert!(shape.name().chars().all(char::is_alphanumeric), "{shape:?}");
        }
    }
}
