//! `--json`: the fields are those of `docs/json.md`, neither more nor fewer, and of the types named there.

use serde_json::Value;

use crate::common::Environment;
use crate::common::json::{assert_is_as_documented, document};

#[test]
fn list_and_check_print_the_fields_of_the_docs() {
    let sky = Environment::sky(&[]);
    assert_eq!(document(&sky, "--list")["pipes"], Value::Array(Vec::new()));
    let name = "a \"name\" \u{202e}";
    sky.skypipe(&["-w", name]).fed("text").printed("");
    let list = document(&sky, "--list");
    assert_is_as_documented("--list", &list["pipes"][0]);
    assert_eq!(list["pipes"][0]["name"], name);
    assert_eq!(list["pipes"][0]["unread_bytes"], 4);
    let check = document(&sky, "--check");
    assert_is_as_documented("--check", &check);
    assert_eq!(check["unread_streams"], 1);
    assert!(check["memory"]["limit"].as_u64() > check["memory"]["used"].as_u64());
}
