// A function on Dapr's JavaScript SDK: see ../go/main.go. This one speaks HTTP, in both directions.
import assert from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import { CommunicationProtocolEnum, DaprClient, DaprServer, HttpMethod } from "@dapr/dapr";

const [, , , url, port] = process.argv;
const { hostname, port: apiPort } = new URL(url);
const options = { daprHost: hostname, daprPort: apiPort, communicationProtocol: CommunicationProtocolEnum.HTTP };
const server = new DaprServer({ serverHost: "127.0.0.1", serverPort: port, clientOptions: options });
const topics = [];
const ticks = [];
await server.pubsub.subscribe("bus", "orders", async (data) => topics.push(data));
await server.binding.receive("tick", async () => ticks.push(1));
const client = new DaprClient(options);

async function until(done, what, act = async () => {}) {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    await act();
    if (done()) {
      console.log("ok", what);
      return;
    }
  }
  throw new Error(what);
}

await server.start();
await until(() => topics.some((t) => t?.n === 1), "publish", () => client.pubsub.publish("bus", "orders", { n: 1 }));
await until(() => ticks.length > 0, "input binding");
await client.pubsub.publishBulk("bus", "orders", [{ n: 2 }, { n: 3 }]);
await until(() => topics.some((t) => t?.n === 3), "publish several");
await client.state.save("store", [{ key: "a", value: { x: 1 } }]);
assert.deepEqual(await client.state.get("store", "a"), { x: 1 });
await client.state.transaction("store", [
  { operation: "upsert", request: { key: "b", value: 2 } },
  { operation: "delete", request: { key: "a" } },
]);
assert.equal((await client.state.getBulk("store", ["a", "b"])).find((i) => i.key === "b").data, 2);
await client.state.delete("store", "b");
console.log("ok state");
assert.deepEqual(await client.secret.get("kubernetes", "db"), { password: "p" });
console.log("ok secret");
await client.binding.send("files", "create", "some text!", { fileName: "c.txt" });
console.log("ok output binding");
const answer = await client.invoker.invoke("callee", "echo", HttpMethod.PUT, "hi");
assert.match(JSON.stringify(answer), /PUT \/echo/);
console.log("ok invocation");
assert.equal(await client.metadata.set("k", "v"), true);
assert.equal((await client.metadata.get()).extended.k, "v");
console.log("ok metadata");
process.exit(0);
