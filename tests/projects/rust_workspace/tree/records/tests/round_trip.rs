//! From outside: a store survives being written and read.

use ws_records::{query, Record, Store};

#[test]
fn tags_are_counted_after_a_round_trip() {
    let mut store = Store::new();
    for id in 0..20 {
        let tags = if id % 3 == 0 { vec!["third".to_string()] } else { vec![] };
        store.add(Record { id, name: format!("r{id}"), length: id as f64, unit: "mile".into(), tags }).unwrap();
    }
    let again = Store::read(&store.write()).unwrap();
    assert_eq!(query::tags(&again)["third"], 7);
    assert!(ws_records::banner().starts_with("Records"));
}
