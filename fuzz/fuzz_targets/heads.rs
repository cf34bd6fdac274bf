#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| llhlssink_fuzz::targets::head(data));
