//! Counts the records of its standard input.

fn main() -> anyhow::Result<()> {
    let text = std::io::read_to_string(std::io::stdin())?;
    println!("{}", ws_records::Store::read(&text)?.all().len());
    Ok(())
}
