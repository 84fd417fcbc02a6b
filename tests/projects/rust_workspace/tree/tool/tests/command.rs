//! The programs, run.

use std::process::Command;

#[test]
fn units_are_printed() {
    let said = Command::new(env!("CARGO_BIN_EXE_ws-units")).args(["foot", "cubit"]).output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "foot Some(0.3048)\ncubit None\n");
}

#[test]
fn a_file_is_checked() {
    let file = std::env::temp_dir().join(format!("ws-tool-{}.jsonl", std::process::id()));
    std::fs::write(&file, "{\"id\": 1, \"name\": \"oak\", \"length\": 3, \"unit\": \"foot\"}\n").unwrap();
    let said = Command::new(env!("CARGO_BIN_EXE_ws-tool")).arg(&file).arg("check").output().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "1\n");
}
