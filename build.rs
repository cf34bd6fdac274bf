use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where npm puts the player library of the page.
const HLS_JS: &str = "web/node_modules/hls.js/dist/hls.min.js";

fn main() {
    gst_plugin_version_helper::info();
    embed_hls_js();
}

/// Puts hls.js where the page module includes it from. Without npm an empty file takes its place, and the page says
/// what is missing.
fn embed_hls_js() {
    // A file that is not there would make cargo run this at every build; its folder tells as well when it comes.
    let is_there = Path::new(HLS_JS).exists();
    println!(
        "cargo:rerun-if-changed={}",
        if is_there { HLS_JS } else { "web" }
    );
    let out_dir = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    let target = PathBuf::from(out_dir).join("hls.min.js");
    let script = if is_there {
        fs::read(HLS_JS).expect("hls.js is there and can be read")
    } else {
        Vec::new()
    };
    fs::write(target, script).expect("OUT_DIR can be written to");
}
