//! The target `scan` for `cargo fuzz`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lockmaster_fuzz::scan(bytes));
