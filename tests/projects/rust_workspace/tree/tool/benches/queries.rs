//! A bench target with its own main.

use ws_records::{query::Query, Record, Store};

fn main() {
    let mut store = Store::new();
    for id in 0..1000 {
        store.add(Record { id, name: format!("r{id}"), length: id as f64, unit: "foot".into(), tags: vec![] }).unwrap();
    }
    println!("{}", Query::parse("name=9$ at-most=100").unwrap().run(&store).len());
}
