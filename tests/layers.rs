//! The road goes one way: who may name what, read off the source.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

use std::{fs, path::Path};

/// Steps of the road in order; `time` is everybody's.
const ROAD: [&str; 6] = ["cmaf", "origin", "delivery", "watch", "http", "sink"];

/// Words of a library, and the only step that may name it.
const LIBRARIES: [(&str, &[&str]); 3] = [
    ("sink", &["gst", "glib", "gst_video"]),
    ("watch", &["notify"]),
    (
        "http",
        &[
            "hyper",
            "h2",
            "hyper_util",
            "tokio",
            "socket2",
            "rustls",
            "tokio_rustls",
            "rcgen",
            "x509_parser",
            "tiny_http",
        ],
    ),
];

#[test]
fn dependencies_point_back_along_the_road() {
    let mut faults = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 20, "the source was found");
    for path in files {
        let relative = path.strip_prefix(&root).unwrap();
        let step = relative
            .iter()
            .next()
            .and_then(|first| Path::new(first).file_stem()?.to_str())
            .unwrap()
            .to_owned();
        if step == "lib" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for fault in faults_of(&step, code) {
                faults.push(format!(
                    "{}:{}: {step} names {fault}",
                    relative.display(),
                    number + 1
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn faults_of(step: &str, code: &str) -> Vec<String> {
    let words: Vec<&str> = code
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .collect();
    let mut faults = Vec::new();
    for (owner, names) in LIBRARIES {
        for name in names {
            let is_path =
                code.contains(&format!("{name}::")) || code.contains(&format!("use {name}"));
            if step != owner && is_path && words.contains(name) {
                faults.push((*name).to_owned());
            }
        }
    }
    // The times know nobody; each step knows those before it.
    let known = ROAD.iter().position(|name| *name == step).unwrap_or(0);
    for later in ROAD.iter().skip(known).filter(|name| **name != step) {
        let named_alone = code.contains(&format!("crate::{later}"))
            || code.contains(&format!("super::super::{later}"));
        // use crate::{cmaf::..., origin::...}
        let named_in_braces = (code.trim_start().starts_with(&format!("{later}::"))
            || code.trim_start().starts_with(&format!("{later},")))
            && code.starts_with(' ');
        if named_alone || (named_in_braces && code.contains("::")) {
            faults.push((*later).to_owned());
        }
    }
    faults
}

#[test]
fn a_step_forward_is_seen() {
    assert_eq!(faults_of("cmaf", "use crate::origin::Origin;"), ["origin"]);
    assert_eq!(faults_of("origin", "use crate::cmaf::Cut;"), [""; 0]);
    assert_eq!(faults_of("origin", "    http::{Server},"), ["http"]);
    assert_eq!(faults_of("delivery", "use gst::prelude::*;"), ["gst"]);
    assert_eq!(faults_of("sink", "use gst::prelude::*;"), [""; 0]);
    assert_eq!(faults_of("sink", "use hyper::Body;"), ["hyper"]);
    assert_eq!(faults_of("time", "use crate::cmaf::Cut;"), ["cmaf"]);
    assert_eq!(faults_of("http", "let a = crate::sink::x();"), ["sink"]);
}
