//! Records: modules in both layouts, included text, derives of three crates, a macro that reads a file.

pub mod query;
pub mod store;
mod text;

pub use store::{Store, StoreError};
pub use text::{banner, STOP_WORDS};
use serde::{Deserialize, Serialize};
use ws_macros::Describe as DeriveDescribe;

/// What `#[derive(Describe)]` implements.
pub trait Describe {
    /// The type's name and its fields.
    fn describe() -> (&'static str, &'static [&'static str]);
}

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DeriveDescribe)]
pub struct Record {
    pub id: u64,
    pub name: String,
    pub length: f64,
    pub unit: String,
    #[serde(default)]
    pub tags: Vec<String>,
}

impl Record {
    /// In metres, if the unit is known.
    pub fn metres(&self) -> Option<f64> {
        ws_generated::metres(&self.unit).map(|factor| factor * self.length)
    }

    /// The same record has the same checksum.
    pub fn checksum(&self) -> u32 {
        let text = serde_json::to_vec(self).expect("a record has no maps with odd keys");
        ws_native_sys::checksum(&text)
    }
}

/// Which version of this library: from cargo's environment.
pub const VERSION: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

fn never_called() {}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn record(id: u64, name: &str) -> Record {
        Record { id, name: name.to_string(), length: 2.0, unit: "foot".into(), tags: vec![] }
    }

    #[test]
    fn describes() {
        assert_eq!(Record::describe().0, "Record");
        assert_eq!(Record::describe().1, ["id", "name", "length", "unit", "tags"]);
    }

    #[test]
    fn measures() {
        assert!((record(1, "a").metres().unwrap() - 0.6096).abs() < 1e-9);
        assert_ne!(record(1, "a").checksum(), record(2, "a").checksum());
    }
}
