//! The records themselves.

use super::status;
use crate::Shared;
use hyper::{body, Body, Response, StatusCode};
use ws_records::query::Query;

pub(super) async fn list(store: Shared, query: &str) -> Response<Body> {
    let text = query.replace('+', " ");
    let Ok(query) = Query::parse(&text) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let store = store.read().await;
    Response::new(Body::from(serde_json::to_vec(&query.run(&store)).expect("records are plain")))
}

pub(super) async fn add(store: Shared, content: Body) -> Result<Response<Body>, hyper::Error> {
    let bytes = body::to_bytes(content).await?;
    let Ok(record) = serde_json::from_slice(&bytes) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    Ok(match store.write().await.add(record) {
        Ok(()) => status(StatusCode::CREATED),
        Err(_) => status(StatusCode::CONFLICT),
    })
}
