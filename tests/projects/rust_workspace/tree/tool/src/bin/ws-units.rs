//! A second program of the same package.

fn main() {
    for name in std::env::args().skip(1) {
        let record = ws_records::Record { id: 0, name: name.clone(), length: 1.0, unit: name.clone(), tags: vec![] };
        println!("{name} {:?}", record.metres());
    }
}
