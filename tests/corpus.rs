//! What the fuzzers found worth keeping, through the same functions, on every run of the tests.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

// Where the targets look for them.
use gstllhlssink::{cmaf, delivery, origin, time};

#[allow(unreachable_pub, reason = "a module of another crate to the fuzzers")]
#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::{fs, panic::catch_unwind, path::Path};

fn feed(target: &str, function: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut count = 0;
    for entry in fs::read_dir(folder.join(target)).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        let outcome = catch_unwind(|| function(&data));
        assert!(outcome.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count > 20, "the corpus was found: {count}");
}

#[test]
fn requests() {
    feed("requests", targets::request);
}

#[test]
fn queries() {
    feed("queries", targets::query);
}

#[test]
fn heads() {
    feed("heads", targets::head);
}

#[test]
fn muxed() {
    feed("muxed", targets::muxed);
}
