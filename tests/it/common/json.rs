//! JSON that commands print, compared with `docs/json.md`.

use serde_json::Value;

use super::Environment;

const TEXT: &str = include_str!("../../../docs/json.md");

/// The fields in the table of this section, with their types.
fn fields(section: &str) -> Vec<(&'static str, &'static str)> {
    let start = TEXT.find(&format!("## `{section}`")).expect("there is one");
    let section = &TEXT[start + 3..];
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let name = cells.next().expect("a name").trim_matches('`');
        (name, cells.next().expect("a type"))
    })
    .collect()
}

/// Asserts that the object has the fields of this section's table, neither more nor fewer, with their types.
#[track_caller]
pub fn assert_is_as_documented(section: &str, object: &Value) {
    let object = object.as_object().expect("it is an object");
    let fields = fields(section);
    let mut expected: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    let mut found: Vec<_> = object.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{section}");
    for (name, types) in fields {
        let found = match &object[name] {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let is_named = types.split(" or ").any(|named| named == found);
        assert!(is_named, "{section} {name} is a {found}, not {types}");
    }
}

/// The one document that the command prints with `--json`.
#[track_caller]
pub fn document(environment: &Environment, command: &str) -> Value {
    let printed = environment.skypipe(&[command, "--json"]).done().success();
    let line = String::from_utf8(printed).expect("it is text");
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    serde_json::from_str(&line).expect("it is JSON")
}
