//! Every dependency Cargo.toml names is used: the ones only tests, benches and examples may use, and the ones of build.rs.
//!
//! For the library's own dependencies the compiler is stricter (`unused_crate_dependencies` in src/lib.rs); it does not
//! look at the others, because each test, bench and example is a crate that uses only some of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const MANIFEST_DIR: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_dev_dependency_is_used() {
    let source = source_under(&["src", "tests", "benches", "examples"]);
    assert_eq!(unused("dev", &source), Vec::<String>::new());
}

#[test]
fn every_build_dependency_is_used() {
    let source = source_under(&["build.rs"]);
    assert_eq!(unused("build", &source), Vec::<String>::new());
}

#[test]
fn a_name_inside_another_name_is_no_use() {
    assert!(!names("use gst_check_more::Harness;", "gst_check"));
    assert!(!names("let my_clap = clap_derive;", "clap"));
    assert!(names("use clap::Parser;", "clap"));
}

/// The dependencies of one kind that `source` never names.
fn unused(kind: &str, source: &str) -> Vec<String> {
    dependencies(kind)
        .into_iter()
        .filter(|dependency| !names(source, dependency))
        .collect()
}

/// The names by which code refers to the dependencies of one kind.
fn dependencies(kind: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(MANIFEST_DIR)
        .output()
        .expect("cargo metadata runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");

    metadata["packages"][0]["dependencies"]
        .as_array()
        .expect("a package has a list of dependencies")
        .iter()
        .filter(|dependency| dependency["kind"] == kind)
        .map(|dependency| {
            let name = dependency["rename"]
                .as_str()
                .or(dependency["name"].as_str());
            name.expect("a dependency has a name").replace('-', "_")
        })
        .collect()
}

/// Whether `name::` stands in `source` as a whole word.
fn names(source: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    source
        .match_indices(&format!("{name}::"))
        .any(|(at, _)| !source[..at].ends_with(is_word))
}

fn source_under(places: &[&str]) -> String {
    let mut source = String::new();
    let mut waiting: Vec<PathBuf> = places
        .iter()
        .map(|place| Path::new(MANIFEST_DIR).join(place))
        .collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = path.read_dir().expect("a source folder can be read");
            waiting.extend(entries.map(|entry| entry.expect("a source folder can be read").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            source += &std::fs::read_to_string(&path).expect("a source file can be read");
        }
    }
    source
}
