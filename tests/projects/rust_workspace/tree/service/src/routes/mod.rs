//! What is answered.

mod records;

use crate::Shared;
use hyper::{Body, Method, Request, Response, StatusCode};

/// One answer.
pub async fn answer(store: Shared, request: Request<Body>) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_string();
    Ok(match (request.method(), path.as_str()) {
        (&Method::GET, "/") => Response::new(Body::from(ws_records::banner())),
        (&Method::GET, "/version") => Response::new(Body::from(ws_records::VERSION)),
        (&Method::GET, "/records") => records::list(store, request.uri().query().unwrap_or("")).await,
        (&Method::POST, "/records") => records::add(store, request.into_body()).await?,
        _ => status(StatusCode::NOT_FOUND),
    })
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}
