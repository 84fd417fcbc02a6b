//! A static library in C, as the -sys crates have it.

fn main() {
    println!("cargo:rerun-if-changed=c/checksum.c");
    println!("cargo:rerun-if-changed=c/checksum.h");
    println!("cargo:rerun-if-changed=build.rs");
    cc::Build::new().file("c/checksum.c").file("c/fold.c").include("c").warnings(true).compile("wsnative");
}
