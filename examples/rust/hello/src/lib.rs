use ofn_functions::Request;

pub async fn hello(request: Request) -> String {
    format!("Hello from {}!\n", request.uri().path())
}
