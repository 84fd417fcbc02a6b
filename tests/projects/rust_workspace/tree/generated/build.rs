//! Writes `units.rs` into OUT_DIR, sets a variable and a cfg: what build scripts do.

use std::fmt::Write as _;
use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=data/units.txt");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WS_FLAVOUR");
    let text = fs::read_to_string("data/units.txt").expect("data/units.txt is part of the crate");
    let mut code = String::from("pub static UNITS: &[(&str, f64)] = &[\n");
    for line in text.lines() {
        let (name, value) = line.split_once(' ').expect("a name and a number");
        let value: f64 = value.parse().expect("a number");
        writeln!(code, "    ({name:?}, {value:?}),").unwrap();
    }
    code.push_str("];\n");
    let out = env::var("OUT_DIR").unwrap();
    fs::write(Path::new(&out).join("units.rs"), code).unwrap();
    println!("cargo:rustc-env=WS_UNIT_COUNT={}", text.lines().count());
    println!("cargo:rustc-cfg=ws_has_units");
    println!("cargo:rustc-check-cfg=cfg(ws_has_units)");
}
