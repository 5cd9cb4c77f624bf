//! Sends to components through the HTTP API of the Dapr runtime beside this process.

use crate::{Binding, Error};
use bytes::Bytes;

#[cfg(target_family = "wasm")]
pub(crate) async fn send(_: &Binding, _: Bytes, _: &[(String, String)]) -> Result<Bytes, Error> {
    Err("a WebAssembly module has no network".into())
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::send;

#[cfg(not(target_family = "wasm"))]
mod native {
    use super::*;
    use crate::answer::{JSON, TEXT};
    use crate::Body;
    use http::header::{CONTENT_TYPE, HOST};
    use http::{HeaderValue, Request};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use percent_encoding::{utf8_percent_encode, NON_ALPHANUMERIC};
    use serde_json::{json, Value};
    use std::env;
    use tokio::net::TcpStream;

    /// Publishes to a topic, or invokes a binding and returns its answer. The headers of a trace go with it.
    pub(crate) async fn send(to: &Binding, data: Bytes, trace: &[(String, String)]) -> Result<Bytes, Error> {
        let value = serde_json::from_slice::<Value>(&data).ok();
        if to.kind.starts_with("pubsub.") {
            let kind = if value.is_some() { JSON } else { TEXT };
            return post(&publish_path(to), kind, data, trace).await;
        }
        let value = value.map_or_else(|| String::from_utf8(data.to_vec()).map(Value::from), Ok);
        let value = value.map_err(|_| "a binding takes JSON or text, and these data are neither")?;
        let operation = if to.operation.is_empty() { "create" } else { &to.operation };
        let body = json!({"data": value, "operation": operation, "metadata": to.metadata});
        post(&format!("/v1.0/bindings/{}", encoded(&to.component)), JSON, body.to_string().into(), trace).await
    }

    fn encoded(s: &str) -> String {
        utf8_percent_encode(s, NON_ALPHANUMERIC).to_string()
    }

    fn publish_path(to: &Binding) -> String {
        let query: Vec<String> = to.metadata.iter().map(|(k, v)| format!("metadata.{}={}", encoded(k), encoded(v))).collect();
        let path = format!("/v1.0/publish/{}/{}", encoded(&to.component), encoded(&to.topic));
        if query.is_empty() {
            path
        } else {
            format!("{path}?{}", query.join("&"))
        }
    }

    /// Sends one request on a connection of its own.
    async fn post(path: &str, kind: HeaderValue, body: Bytes, trace: &[(String, String)]) -> Result<Bytes, Error> {
        let setting = |name: &str, default: &str| env::var(name).ok().filter(|v| !v.is_empty()).unwrap_or_else(|| default.to_owned());
        let (host, port) = (setting("DAPR_HOST", "127.0.0.1"), setting("DAPR_HTTP_PORT", "3500"));
        let address = format!("{host}:{port}");
        let stream = TcpStream::connect(&address).await.map_err(|e| format!("connecting to Dapr at {address}: {e}"))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let running = tokio::spawn(connection); // ends with the sender, at the end of this function
        let mut request = Request::post(path).header(HOST, address).header(CONTENT_TYPE, kind);
        for (name, value) in trace {
            request = request.header(name, value);
        }
        if let Ok(token) = env::var("DAPR_API_TOKEN") {
            request = request.header("dapr-api-token", token);
        }
        let response = sender.send_request(request.body(Body::from(body))?).await?;
        let status = response.status();
        let answer = Body::incoming(response.into_body()).bytes().await?;
        drop(sender);
        running.abort();
        if !status.is_success() {
            return Err(format!("Dapr answered {status}: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(answer)
    }
}
