//! Modules import each other in one direction. A module and its own children may name each other, and nothing
//! else may form a circle.
//!
//! An import counts between the two modules where the paths of its ends part: what `pipe::schedule` names of
//! `store::disk` is an arrow from `pipe` to `store`. So a circle has its modules side by side, in one module.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{SOURCES, files, is_test, root};

/// A module's path below the root of its crate.
type Module = Vec<String>;

#[test]
fn modules_import_each_other_in_one_direction() {
    for source in SOURCES {
        let arrows = arrows(source);
        let found = circles(&arrows);
        assert_eq!(found, [[""; 0]; 0], "circles of imports in {source}");
    }
}

/// The modules that each module imports from, side by side in one module.
fn arrows(source: &str) -> BTreeMap<Module, BTreeSet<Module>> {
    let files = files(source).into_iter().filter(|file| !is_test(file));
    let modules: BTreeMap<_, _> = files.map(|file| (module_of(&file, source), file)).collect();
    let mut arrows = BTreeMap::<Module, BTreeSet<Module>>::new();
    for (from, file) in &modules {
        let text = fs::read_to_string(root().join(file)).expect("it is text");
        for path in imports(&text) {
            let to = named(&path, from, &modules);
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if shared < from.len() && shared < to.len() {
                let to = to[..=shared].to_vec();
                arrows
                    .entry(from[..=shared].to_vec())
                    .or_default()
                    .insert(to);
            }
        }
    }
    arrows
}

fn module_of(file: &str, source: &str) -> Module {
    let path = file.strip_prefix(source).expect("it is below its source");
    let path = path.trim_start_matches('/').trim_end_matches(".rs");
    let is_root = path == "lib" || path == "main";
    let names = path.split('/').filter(|_| !is_root);
    names.map(str::to_owned).collect()
}

/// The paths that a file's `use` lines name, and those that its code names from the crate's root on.
fn imports(text: &str) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines = text.lines().take_while(|line| *line != "mod tests {");
    let code: Vec<_> = lines.filter(is_code).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for statement in code.split(';') {
        let start = statement.find("use ").filter(|at| {
            let before = statement[..*at].lines().last().unwrap_or_default().trim();
            before.is_empty() || before.starts_with("pub")
        });
        if let Some(start) = start {
            expand(&statement[start + 4..], "", &mut found);
        }
    }
    let is_path = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
    for (at, _) in code.match_indices("crate::") {
        let path = code[at..].split(|char| !is_path(char)).next();
        found.extend(path.map(str::to_owned));
    }
    found
}

/// The single paths of a `use` tree.
fn expand(tree: &str, prefix: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((start, rest)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default();
        found.push(format!("{prefix}{name}"));
        return;
    };
    let prefix = format!("{prefix}{}", start.trim());
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut from) = (0, 0);
    for (at, char) in inner.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&inner[from..at], &prefix, found);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !inner[from..].trim().is_empty() {
        expand(&inner[from..], &prefix, found);
    }
}

/// The module that a path names something of. A path into another crate names this module itself.
fn named(path: &str, from: &Module, modules: &BTreeMap<Module, String>) -> Module {
    let mut segments = path.split("::").map(str::trim).peekable();
    let mut at = from.clone();
    match segments.next() {
        Some("crate") => at.clear(),
        Some("self") => {}
        Some("super") => {
            at.pop();
            while segments.next_if_eq(&"super").is_some() {
                at.pop();
            }
        }
        _ => return at,
    }
    for segment in segments {
        at.push(segment.to_owned());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
    }
    at
}

/// The modules of each circle, in order: those that reach each other.
fn circles(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<String>> {
    let reached: BTreeMap<_, _> = arrows.keys().map(|it| (it, reach(it, arrows))).collect();
    let mut found = BTreeSet::new();
    for (module, others) in &reached {
        let is_back = |other: &&Module| reached.get(other).is_some_and(|it| it.contains(*module));
        let circle: BTreeSet<_> = others.iter().filter(is_back).collect();
        if circle.len() > 1 {
            let names = circle.into_iter().map(|it| it.join("::"));
            found.insert(names.collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}

/// Every module that a module leads to.
fn reach(from: &Module, arrows: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        for next in arrows.get(module).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    reached
}

#[test]
fn a_circle_is_found_and_a_module_with_its_children_is_none() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let arrow = |from: &str, to: &str| (module(from), BTreeSet::from([module(to)]));
    let arrows = BTreeMap::from([
        arrow("a", "b"),
        arrow("b", "c"),
        arrow("c", "a"),
        arrow("d", "a"),
    ]);
    assert_eq!(circles(&arrows), [["a", "b", "c"]]);
    let modules = ["a", "a::child", "b"].map(|path| (module(path), String::new()));
    let modules = BTreeMap::from(modules);
    let of = |path: &str| named(path, &module("a::child"), &modules).join("::");
    assert_eq!(
        [of("super::Thing"), of("crate::b::Thing"), of("std::fmt")],
        ["a", "b", "a::child"]
    );
    let text = "use crate::{a::{B, c}, d};\npub use super::e as f;\nlet g = crate::h::I;\n";
    let mut paths = imports(text);
    paths.sort();
    let wanted = [
        "crate::a::B",
        "crate::a::c",
        "crate::d",
        "crate::h::I",
        "super::e",
    ];
    assert!(
        wanted.iter().all(|path| paths.iter().any(|it| it == path)),
        "{paths:?}"
    );
}
