//! Records over HTTP.

pub mod routes;

use hyper::service::{make_service_fn, service_fn};
use hyper::Server;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::RwLock;
use ws_records::Store;

/// What all connections share.
pub type Shared = Arc<RwLock<Store>>;

/// Serve until the process ends; the address that was taken is told first.
pub async fn serve(store: Shared, address: SocketAddr, told: tokio::sync::oneshot::Sender<SocketAddr>) -> hyper::Result<()> {
    let make = make_service_fn(move |_| {
        let store = store.clone();
        async move { Ok::<_, Infallible>(service_fn(move |request| routes::answer(store.clone(), request))) }
    });
    let server = Server::try_bind(&address)?.serve(make);
    let _ = told.send(server.local_addr());
    server.await
}
