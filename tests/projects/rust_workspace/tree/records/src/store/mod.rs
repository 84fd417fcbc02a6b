//! A store in memory that reads and writes JSON lines (a module in a directory of its own).

mod lines;

use crate::Record;

/// Why a store refuses.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is a record {0} already")]
    Double(u64),
    #[error("line {line}: {source}")]
    Syntax { line: usize, source: serde_json::Error },
}

/// Records, each number once.
#[derive(Debug, Default)]
pub struct Store {
    records: Vec<Record>,
}

impl Store {
    /// An empty one.
    pub fn new() -> Store {
        Store::default()
    }

    /// Add a record whose number is free.
    pub fn add(&mut self, record: Record) -> Result<(), StoreError> {
        if self.records.iter().any(|other| other.id == record.id) {
            return Err(StoreError::Double(record.id));
        }
        self.records.push(record);
        Ok(())
    }

    /// All of them.
    pub fn all(&self) -> &[Record] {
        &self.records
    }

    /// Read JSON lines.
    pub fn read(text: &str) -> Result<Store, StoreError> {
        lines::read(text)
    }

    /// Write JSON lines.
    pub fn write(&self) -> String {
        lines::write(self)
    }
}
