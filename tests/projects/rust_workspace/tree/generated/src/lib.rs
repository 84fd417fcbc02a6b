//! Code that the build script wrote, and what else it told the compiler.

include!(concat!(env!("OUT_DIR"), "/units.rs"));

/// As the build script counted them.
pub const COUNT: &str = env!("WS_UNIT_COUNT");

/// From the environment of the build, if it is there.
pub const FLAVOUR: Option<&str> = option_env!("WS_FLAVOUR");

/// How many metres a unit has.
pub fn metres(name: &str) -> Option<f64> {
    if cfg!(ws_has_units) {
        UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, value)| *value)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_units_are_there() {
        assert_eq!(super::UNITS.len().to_string(), super::COUNT);
        assert_eq!(super::metres("foot"), Some(0.3048));
    }
}
