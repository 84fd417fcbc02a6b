//! A real client and a real server.

use hyper::{body, Body, Client, Method, Request, StatusCode};
use std::sync::Arc;
use tokio::sync::{oneshot, RwLock};
use ws_records::Store;

#[tokio::test]
async fn a_record_is_found_after_it_was_added() {
    let (tell, told) = oneshot::channel();
    let store = Arc::new(RwLock::new(Store::new()));
    tokio::spawn(ws_service::serve(store, ([127, 0, 0, 1], 0).into(), tell));
    let address = told.await.unwrap();
    let client = Client::new();
    let record = r#"{"id": 1, "name": "oak", "length": 3, "unit": "foot"}"#;
    let uri = format!("http://{address}/records");
    let post = Request::builder().method(Method::POST).uri(&uri).body(Body::from(record)).unwrap();
    assert_eq!(client.request(post).await.unwrap().status(), StatusCode::CREATED);
    let found = client.get(format!("{uri}?name=oak").parse().unwrap()).await.unwrap();
    let text = body::to_bytes(found.into_body()).await.unwrap();
    assert!(String::from_utf8_lossy(&text).contains("oak"));
}
