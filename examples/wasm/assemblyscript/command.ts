function env(name: string): string {
  return process.env.has(name) ? process.env.get(name) : "";
}

const buffer = new ArrayBuffer(65536);
process.stdout.write("Content-Type: text/plain\r\n\r\n");
process.stdout.write(env("REQUEST_METHOD") + " " + env("PATH_INFO") + " " + env("QUERY_STRING") + "\n");
for (let n = process.stdin.read(buffer); n > 0; n = process.stdin.read(buffer)) {
  process.stdout.write(buffer.slice(0, n));
}
