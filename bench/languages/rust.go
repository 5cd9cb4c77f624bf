//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/openfunction/ofn/framework/rust"
)

const (
	rustManifest = `[package]
name = "bench"
version = "0.0.0"
edition = "2021"

[dependencies]
ofn-functions = { path = "../framework" }
hyper = { version = "1", default-features = false, features = ["http1", "server"] }
hyper-util = { version = "0.1", default-features = false, features = ["tokio"] }
http-body = "1"
tokio = { version = "1", default-features = false, features = ["net", "rt-multi-thread"] }

[profile.release]
strip = "debuginfo"

[workspace]
`
	rustHello = `async fn hello(_: ofn_functions::Request) -> &'static str { "hello" }
fn main() { ofn_functions::serve([ofn_functions::function("hello", hello)]) }
`
	rustThread = `fn hello(_: ofn_functions::Request) -> &'static str { "hello" }
fn main() { ofn_functions::serve([ofn_functions::function("hello", hello)]) }
`
	rustBare = `use hyper::body::{Bytes, Frame, Incoming};
use hyper::{header, server::conn::http1, service::service_fn, Request, Response};
use std::{convert::Infallible, env, pin::Pin, task::{Context, Poll}};

struct Full(Option<Bytes>);

impl hyper::body::Body for Full {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|b| Ok(Frame::data(b))))
    }
    fn is_end_stream(&self) -> bool { self.0.is_none() }
    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0.as_ref().map_or(0, |b| b.len() as u64))
    }
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full>, Infallible> {
    let mut r = Response::new(Full(Some(Bytes::from_static(b"hello"))));
    r.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(r)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let port = env::var("PORT").unwrap();
        let listener = tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service_fn(hello)));
        }
    })
}
`
)

// rustRow compares a function with bare hyper. Compiling takes a minute.
func rustRow(name, binary string) language {
	return language{name: name, ratio: 0.7, memory: 8, prepare: func(dir string) (ours, bare program, err error) {
		cargo, err := exec.LookPath("cargo")
		if err != nil {
			return ours, bare, err
		}
		files := map[string][]byte{"bench/Cargo.toml": []byte(rustManifest), "bench/Cargo.lock": rust.Files()["Cargo.lock"],
			"bench/src/bin/hello.rs": []byte(rustHello), "bench/src/bin/thread.rs": []byte(rustThread), "bench/src/bin/bare.rs": []byte(rustBare)}
		for at, text := range rust.Files() {
			files["framework/"+at] = text
		}
		for at, text := range files {
			at = filepath.Join(dir, filepath.FromSlash(at))
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				return ours, bare, err
			}
			if err := os.WriteFile(at, text, 0o644); err != nil {
				return ours, bare, err
			}
		}
		cache, err := os.UserCacheDir() // what others wrote is compiled once on a machine
		if err != nil {
			return ours, bare, err
		}
		cache = filepath.Join(cache, "ofn-bench", "rust")
		build := exec.Command(cargo, "build", "--release", "--quiet", "--bin", binary, "--bin", "bare")
		build.Dir = filepath.Join(dir, "bench")
		build.Env = append(os.Environ(), "CARGO_TARGET_DIR="+cache)
		if out, err := build.CombinedOutput(); err != nil {
			return ours, bare, fmt.Errorf("%w\n%s", err, out)
		}
		release := filepath.Join(cache, "release")
		return program{args: []string{filepath.Join(release, binary)}}, program{args: []string{filepath.Join(release, "bare")}}, nil
	}}
}
