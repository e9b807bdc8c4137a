//! The direction of imports: a file names only what lies below it.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use std::path::{Path, PathBuf};
use tidegate_tests::places;

/// From the top down. A module may name those after it, itself and the leaves.
const DIRECTION: [&str; 10] =
    ["main", "cli", "app", "http", "flow", "view", "plugin", "capability", "store", "domain"];

/// Beside the direction: everybody may name them, and they name none of it but the domain.
const LEAVES: [&str; 6] = ["outgoing", "worker", "clock", "config", "telemetry", "token"];

/// Who may name a crate.
const OWNERS: [(&str, &[&str]); 4] = [
    ("axum", &["http"]),
    ("wasmtime", &["plugin", "capability"]),
    ("sqlx", &["store"]),
    ("reqwest", &["outgoing", "cli"]),
];

#[test]
fn files_name_only_what_lies_below_them() {
    let mut complaints = Vec::new();
    for (file, module, line, text) in lines() {
        for named in named_modules(&text) {
            if !may_name(&module, named) {
                complaints.push(format!("{}:{line}: {module} names {named}", file.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn crates_are_named_only_by_their_owners() {
    let mut complaints = Vec::new();
    for (file, module, line, text) in lines() {
        for (name, owners) in OWNERS {
            if names_crate(&text, name) && !owners.contains(&module.as_str()) {
                complaints.push(format!("{}:{line}: {module} names {name}", file.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_module_has_its_place() {
    let mut modules: Vec<String> = lines().into_iter().map(|(_, module, ..)| module).collect();
    modules.sort();
    modules.dedup();
    assert!(modules.len() > 3, "the sources were not found");
    for module in modules {
        let known = DIRECTION.contains(&module.as_str()) || LEAVES.contains(&module.as_str());
        assert!(known || module == "lib", "the module {module} has no place in the direction");
    }
}

#[test]
fn the_check_itself_sees_what_it_shall() {
    assert_eq!(named_modules("use crate::store::{Store, StoreError};"), ["store"]);
    assert_eq!(named_modules("    crate::http::serve(tidegate::app::open())"), ["http", "app"]);
    assert!(may_name("http", "flow") && may_name("store", "domain") && may_name("store", "clock"));
    assert!(!may_name("store", "flow") && !may_name("clock", "store"));
    assert!(names_crate("use axum::Router;", "axum") && names_crate("fn f(x: axum::Body)", "axum"));
    assert!(
        !names_crate("use my_axum::Router;", "axum")
            && !names_crate("wasmtime_wasi::p2", "wasmtime")
    );
}

fn may_name(module: &str, named: &str) -> bool {
    if module == named || LEAVES.contains(&named) || module == "lib" {
        return true;
    }
    let rank = |name: &str| DIRECTION.iter().position(|other| *other == name);
    match (rank(module), rank(named)) {
        (Some(own), Some(other)) => own <= other,
        (None, Some(_)) => named == "domain" || (module == "worker" && named == "store"),
        // Not a module at all: an item of the crate's root.
        (_, None) => true,
    }
}

/// The modules that a line names from the crate's root.
fn named_modules(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for root in ["crate::", "tidegate::", "tidegate_domain::"] {
        for (place, _) in text.match_indices(root) {
            let before = text[..place].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
                continue;
            }
            if root == "tidegate_domain::" {
                found.push("domain");
                continue;
            }
            let rest = &text[place + root.len()..];
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            found.push(&rest[..end.unwrap_or(rest.len())]);
        }
    }
    found
}

fn names_crate(text: &str, name: &str) -> bool {
    text.match_indices(&format!("{name}::")).any(|(place, _)| {
        let before = text[..place].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':')
    })
}

/// Every line of the host's sources that is not a comment: file, module, number, text.
fn lines() -> Vec<(PathBuf, String, usize, String)> {
    let root = places::sources().join("host").join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut found = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).expect("it was found there");
        let first = inside.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
        let module = first.trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                found.push((inside.to_path_buf(), module.clone(), number + 1, line.to_owned()));
            }
        }
    }
    found
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
