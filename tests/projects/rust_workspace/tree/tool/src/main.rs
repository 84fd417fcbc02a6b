//! The command line.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};
use ws_records::{query::Query, Store};

/// Records, listed and served.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// A file of JSON lines.
    file: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List what fits a query.
    List { query: Vec<String> },
    /// Serve over HTTP.
    Serve { address: SocketAddr },
    /// Check the file as a plugin would.
    Check,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let text = fs::read_to_string(&options.file).with_context(|| format!("cannot read {}", options.file.display()))?;
    let store = Store::read(&text)?;
    match options.what {
        What::List { query } => {
            for record in Query::parse(&query.join(" "))?.run(&store) {
                println!("{}", serde_json::to_string(record)?);
            }
        }
        What::Serve { address } => {
            let runtime = tokio::runtime::Runtime::new()?;
            let (tell, _told) = tokio::sync::oneshot::channel();
            runtime.block_on(ws_service::serve(Arc::new(tokio::sync::RwLock::new(store)), address, tell))?;
        }
        What::Check => {
            let text = std::ffi::CString::new(text)?;
            // SAFETY: a CString ends with a zero byte.
            println!("{}", unsafe { ws_plugin::ws_count_records(text.as_ptr()) });
        }
    }
    Ok(())
}
