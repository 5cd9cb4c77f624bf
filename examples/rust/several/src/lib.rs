//! Several functions in one application, of all signatures.

use ofn_functions::{call, function, Event, Function, Json, Request};
use serde::{Deserialize, Serialize};

pub fn functions() -> Vec<Function> {
    vec![
        function("hello", hello).path("/hello/{name}").methods(["GET"]),
        function("add", add).path("/add"),
        function("note", note).path("/note"),
    ]
}

async fn hello(_: Request) -> String {
    format!("Hello, {}!\n", call().variable("name").unwrap_or_default())
}

#[derive(Deserialize)]
struct Numbers {
    numbers: Vec<f64>,
}

#[derive(Serialize)]
struct Sum {
    sum: f64,
}

fn add(Json(n): Json<Numbers>) -> Json<Sum> {
    Json(Sum { sum: n.numbers.iter().sum() })
}

fn note(event: Event) {
    println!("{} from {}", event.kind(), event.source());
}
