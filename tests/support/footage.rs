//! Where the real clips are.

use std::path::PathBuf;

/// The path of a clip. Missing ones are a failure, not a pass: `make test` fetches them.
pub fn clip(name: &str) -> String {
    let folder = std::env::var_os("LLHLS_CLIPS").map_or_else(
        || {
            // Test binaries are in <target>/<profile>/deps.
            let binary = std::env::current_exe().unwrap();
            let target = binary.ancestors().nth(3).unwrap();
            target.join("clips")
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not there: run `make test`, which fetches the clips",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}
