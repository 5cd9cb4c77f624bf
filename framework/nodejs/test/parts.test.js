'use strict';

const {test} = require('node:test');
const assert = require('node:assert/strict');
const http = require('node:http');
const {parseQuery} = require('../src/query');
const {compile, match} = require('../src/router');
const {parseOptions, fromFlags} = require('../src/options');
const {parseContext, OpenFunctionRuntime} = require('../src/context');

test('queries', () => {
  for (const [text, want] of [
    ['', {}], ['a', {a: ''}], ['a=1&b=%20+%zz', {a: '1', b: '%20 %zz'}], ['a=1&a=2', {a: ['1', '2']}], ['a[]=1&a[]=2', {a: ['1', '2']}],
    ['a[b][c]=1&a[b][d]=2', {a: {b: {c: '1', d: '2'}}}], ['a[1]=x&a[0]=y', {a: ['y', 'x']}], ['a[100]=x', {a: {100: 'x'}}], ['a=1&a[b]=2', {a: {1: true, b: '2'}}],
    ['__proto__[x]=1&constructor=2&a[__proto__]=3', {}], ['a[b]=1=2', {a: {b: '1=2'}}], ['=x&&', {}],
    ['a[b][c][d][e][f][g]=1', {a: {b: {c: {d: {e: {f: {'[g]': '1'}}}}}}}],
  ]) {
    assert.deepEqual(parseQuery(text), want, text);
  }
  assert.equal({}.x, undefined);
  assert.equal(Object.keys(parseQuery(Array.from({length: 3000}, (_, i) => `k${i}=1`).join('&'))).length, 1000);
});

test('paths', () => {
  for (const [pattern, path, want] of [
    ['/', '/', {}], ['/a', '/a/', undefined], ['/hello/{name}', '/hello/b b', {name: 'b b'}], ['/hello/{name}', '/hello/', undefined],
    ['/{id:[0-9]{2,3}}/x', '/123/x', {id: '123'}], ['/{id:[0-9]+}', '/1a', undefined], ['/a.b', '/axb', undefined], ['/{a:x|y}/{b}', '/y/z', {a: 'y', b: 'z'}],
  ]) {
    assert.deepEqual(match(compile(pattern), path), want, `${pattern} ${path}`);
  }
  for (const pattern of ['/{', '/{1x}', '/{a:[}']) {
    assert.throws(() => compile(pattern), /the path/, pattern);
  }
});

test('options', () => {
  assert.deepEqual(fromFlags(['--target=a', '--port', '1']), {FUNCTION_TARGET: 'a', PORT: '1'});
  assert.throws(() => fromFlags(['--nosuch=1']), /there is no flag --nosuch/);
  assert.throws(() => fromFlags(['--port']), /lacks its value/);
  assert.equal(parseOptions({OFN_GRACE: '200ms'}).grace, 200);
  assert.equal(parseOptions({FUNC_NAME: 'a', FUNCTION_TARGET: 'b'}).target, 'b');
  assert.throws(() => parseOptions({FUNCTION_SIGNATURE_TYPE: 'x'}), /FUNCTION_SIGNATURE_TYPE is "x"/);
});

test('contexts', () => {
  const old = {name: 'f', runtime: 'Knative', outputs: {o: {uri: 'topic', componentName: 'c', componentType: 'pubsub.redis'}}};
  const v2 = {
    name: 'g', triggers: {dapr: [{name: 'cron', type: 'bindings.cron', inputName: 'tick'}, {name: 'bus', type: 'pubsub.redis', topic: 't'}]},
    outputs: {o: {componentName: 'c', componentType: 'pubsub.redis'}, p: {componentName: 'b', componentType: 'bindings.http', operation: 'post'}},
  };
  const ctx = parseContext({FUNC_CONTEXT: JSON.stringify(old), FUNC_CONTEXT_V1BETA2: JSON.stringify(v2)});
  assert.equal(ctx.name, 'g');
  assert.equal(ctx.runtime, 'Async');
  assert.deepEqual(Object.keys(ctx.inputs), ['tick', 'bus']);
  assert.equal(ctx.inputs.bus.uri, 't');
  assert.equal(ctx.outputs.o.uri, 'topic');
  assert.equal(ctx.outputs.p.operation, 'post');
});

test('outputs and states go to Dapr', async t => {
  const seen = [];
  const dapr = http.createServer((req, res) => {
    let body = '';
    req.on('data', d => (body += d)).on('end', () => {
      seen.push([req.method, req.url, body, req.headers['dapr-api-token']]);
      res.statusCode = req.url.includes('broken') ? 500 : 200;
      res.end(req.method === 'GET' ? '{"v":1}' : '');
    });
  });
  await new Promise(resolve => dapr.listen(0, '127.0.0.1', resolve));
  t.after(() => dapr.close() && dapr.closeAllConnections());
  Object.assign(process.env, {DAPR_HTTP_PORT: String(dapr.address().port), DAPR_API_TOKEN: 'secret'});
  const outputs = {
    b: {componentName: 'bind', componentType: 'bindings.http', operation: 'post', metadata: {k: 'v'}},
    p: {componentName: 'bus', componentType: 'pubsub.redis', uri: 'a/b'},
    x: {componentName: 'broken', componentType: 'pubsub.redis', uri: 't'},
  };
  const ctx = new OpenFunctionRuntime({outputs, states: {s: {componentName: 'store', componentType: 'state.redis'}}}, undefined, {});
  assert.equal((await ctx.send({a: 1}, 'b'))[0].status, 'fulfilled');
  await ctx.send('text', 'p');
  await assert.rejects(ctx.send('', 'nosuch'), /there is no output "nosuch"; there are: b, p, x/);
  await assert.rejects(ctx.send('', 'x'), /500/);
  assert.deepEqual(await ctx.state.get({key: 'k/1'}), {v: 1});
  await ctx.state.save({data: [{key: 'a', value: 1}]}, 's');
  await assert.rejects(ctx.state.get('k', 'other'), /"other"; there are: s/);
  const {length} = seen;
  const testing = new OpenFunctionRuntime({outputs}, undefined, {}, {TEST_MODE: 'on'});
  assert.deepEqual(await testing.send('x', 'p'), []);
  assert.equal(seen.length, length);
  assert.deepEqual(seen.slice(0, 2), [
    ['POST', '/v1.0/bindings/bind', '{"data":{"a":1},"metadata":{"k":"v"},"operation":"post"}', 'secret'],
    ['POST', '/v1.0/publish/bus/a/b', 'text', 'secret'],
  ]);
  assert.deepEqual(seen.slice(-2).map(s => s[1]), ['/v1.0/state/store/k%2F1', '/v1.0/state/store']);
});

test('the testing module serves registered functions', async t => {
  const functions = require('..');
  const {getFunction, getTestServer} = require('../testing');
  const handler = (req, res) => res.send('tested');
  functions.http('tested', handler);
  assert.equal(getFunction('tested'), handler);
  assert.throws(() => getTestServer('nosuch'), /nosuch/);
  const server = getTestServer('tested');
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close() && server.closeAllConnections());
  assert.equal(await (await fetch(`http://127.0.0.1:${server.address().port}/`)).text(), 'tested');
});
