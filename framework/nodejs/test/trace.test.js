'use strict';

const {test} = require('node:test');
const assert = require('node:assert/strict');
const http = require('node:http');
const {Dapr, traceOf} = require('../src/dapr');

const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

test('the trace of a call is that of its request, otherwise that of its event', () => {
  assert.deepEqual(traceOf({traceparent: parent, baggage: 'a=b', other: 'x'}, {traceparent: 'another', tracestate: 's'}), {traceparent: parent, baggage: 'a=b'});
  assert.deepEqual(traceOf({}, {traceparent: parent, tracestate: 's=1', id: '1'}), {traceparent: parent, tracestate: 's=1'});
  assert.deepEqual(traceOf(undefined, undefined), {});
});

test("what is sent is below the function's own span, where it has one", async t => {
  const seen = [];
  const dapr = http.createServer((req, res) => {
    seen.push(req.headers.traceparent);
    res.end();
  });
  await new Promise(resolve => dapr.listen(0, '127.0.0.1', resolve));
  t.after(() => dapr.close() && dapr.closeAllConnections());
  const client = new Dapr({DAPR_HTTP_PORT: String(dapr.address().port)}, {traceparent: parent});
  await client.publish('bus', 'topic', 'x');
  const api = Symbol.for('opentelemetry.js.api.1'); // what @opentelemetry/api keeps
  t.after(() => delete globalThis[api]);
  globalThis[api] = {context: {active: () => 'mine'}, propagation: {inject: (from, into, setter) => setter.set(into, 'traceparent', from)}};
  await client.publish('bus', 'topic', 'x');
  globalThis[api] = {context: {active: () => 'mine'}, propagation: {inject: () => undefined}}; // no span is active
  await client.publish('bus', 'topic', 'x');
  assert.deepEqual(seen, [parent, 'mine', parent]);
});
