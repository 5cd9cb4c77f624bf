use std::net::SocketAddr;

use hyper::server::conn::Http;
use hyper::service::service_fn;
use hyper::{Body, Method, Request, Response, StatusCode};
use tokio::net::TcpListener;

async fn echo(request: Request<Body>) -> Result<Response<Body>, hyper::Error> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Ok(Response::new(Body::from("POST to /echo\n"))),
        (&Method::POST, "/echo") => Ok(Response::new(request.into_body())),
        _ => {
            let mut missing = Response::default();
            *missing.status_mut() = StatusCode::NOT_FOUND;
            Ok(missing)
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 8080))).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn(async move {
            if let Err(error) = Http::new().serve_connection(stream, service_fn(echo)).await {
                eprintln!("serving a connection: {error}");
            }
        });
    }
}
