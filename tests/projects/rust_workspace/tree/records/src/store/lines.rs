//! One record a line.

use super::{Store, StoreError};

pub(super) fn read(text: &str) -> Result<Store, StoreError> {
    let mut store = Store::new();
    for (number, line) in text.lines().enumerate() {
        let record = serde_json::from_str(line).map_err(|source| StoreError::Syntax { line: number + 1, source })?;
        store.add(record)?;
    }
    Ok(store)
}

pub(super) fn write(store: &Store) -> String {
    let mut text = String::new();
    for record in store.all() {
        text.push_str(&serde_json::to_string(record).expect("plain fields"));
        text.push('\n');
    }
    return text;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::record;

    #[test]
    fn round_trip() {
        let mut store = Store::new();
        store.add(record(7, "elm")).unwrap();
        assert_eq!(read(&write(&store)).unwrap().all(), store.all());
        assert!(matches!(read("{"), Err(StoreError::Syntax { line: 1, .. })));
    }
}
