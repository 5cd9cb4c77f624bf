@external("ofn_v1", "request_head") declare function requestHead(at: usize, room: i32): i32;
@external("ofn_v1", "request_body") declare function requestBody(at: usize, room: i32): i32;
@external("ofn_v1", "response_head") declare function responseHead(at: usize, length: i32): i32;
@external("ofn_v1", "response_body") declare function responseBody(at: usize, length: i32): i32;

const room: i32 = 65536;
const buf: usize = memory.data(65536);
let calls = 0;

function say(text: string): i32 {
  const bytes = String.UTF8.encode(text);
  return responseBody(changetype<usize>(bytes), bytes.byteLength);
}

export function ofn_handle(): i32 {
  const n = requestHead(buf, room);
  if (n < 0 || n > room) return 1;
  const path = String.UTF8.decodeUnsafe(buf, n).split(" ")[1];
  if (path == "/echo") {
    for (;;) {
      const part = requestBody(buf, room);
      if (part <= 0) return part;
      if (responseBody(buf, part) < 0) return 1;
    }
  }
  if (path == "/trap") unreachable();
  const head = String.UTF8.encode("200 OK\r\nContent-Type: text/plain\r\n");
  responseHead(changetype<usize>(head), head.byteLength);
  calls++;
  return say("hello " + calls.toString() + "\n");
}
