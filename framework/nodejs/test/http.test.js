'use strict';

const {test} = require('node:test');
const assert = require('node:assert/strict');
const http = require('node:http');
const zlib = require('node:zlib');
const {createServer} = require('../src/server');
const {router} = require('../src/router');
const {defaults} = require('../src/options');

// serve starts a server of one handler and returns a function that calls it; it ends with the test.
async function serve(t, handler, more = {}) {
  const options = {...defaults(), ...more.options};
  const entry = {name: 'f', signature: 'http', handler, named: true, ...more.entry};
  const {server} = createServer(router([entry], 'f', {options, context: {}}), options, entry.signature === 'application');
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close() && server.closeAllConnections());
  return (path = '/', init = {}) => fetch(`http://127.0.0.1:${server.address().port}${path}`, {redirect: 'manual', ...init});
}

const post = (type, body) => ({method: 'POST', headers: type ? {'Content-Type': type} : {}, body});

test('bodies are parsed as their content type says', async t => {
  const call = await serve(t, (req, res) => res.json({body: req.body, raw: req.rawBody?.toString('latin1'), buffer: Buffer.isBuffer(req.body)}));
  for (const [init, want] of [
    [{}, {body: {}, buffer: false}],
    [post('application/json', '{"a":[1]}'), {body: {a: [1]}, raw: '{"a":[1]}', buffer: false}],
    [post('application/x+json; charset=utf-8', '1'), {body: 1, raw: '1', buffer: false}],
    [post('application/json', ''), {body: {}, buffer: false}],
    [post('text/plain', 'é'), {body: 'é', raw: 'Ã©', buffer: false}],
    [post('text/plain; charset=iso-8859-1', Buffer.from([0xe9])), {body: 'é', raw: 'é', buffer: false}],
    [post('application/x-www-form-urlencoded', 'a=1&a=2&b[c]=%20+'), {body: {a: ['1', '2'], b: {c: '  '}}, raw: 'a=1&a=2&b[c]=%20+', buffer: false}],
    [post('application/octet-stream', 'x'), {body: {type: 'Buffer', data: [120]}, raw: 'x', buffer: true}],
    [{method: 'POST', headers: {'Content-Type': 'text/plain', 'Content-Encoding': 'gzip'}, body: zlib.gzipSync('packed')}, {body: 'packed', raw: 'packed', buffer: false}],
  ]) {
    assert.deepEqual(await (await call('/', init)).json(), want);
  }
});

test('bodies that are wrong are refused', async t => {
  const call = await serve(t, (req, res) => res.send('called'), {options: {maxBody: 1000}});
  for (const [init, status, text] of [
    [post('application/json', '{'), 400, /not JSON/],
    [post('text/plain; charset=klingon', 'x'), 415, /klingon/],
    [post('text/plain', 'x'.repeat(1001)), 413, /larger than 1000 bytes/],
    [{method: 'POST', headers: {'Content-Encoding': 'gzip'}, body: 'no gzip'}, 400, /not gzip/],
    [{method: 'POST', headers: {'Content-Encoding': 'gzip'}, body: zlib.gzipSync('x'.repeat(5000))}, 413, /larger than/],
    [{method: 'POST', headers: {'Content-Encoding': 'own'}, body: 'x'}, 415, /"own"/],
  ]) {
    const res = await call('/', init);
    assert.equal(res.status, status);
    assert.match(await res.text(), text);
  }
});

test('the request has what Express gives it', async t => {
  const call = await serve(t, (req, res) => res.json({
    path: req.path, query: req.query, url: req.originalUrl, ip: req.ip, ips: req.ips, protocol: req.protocol, secure: req.secure,
    hostname: req.hostname, xhr: req.xhr, json: req.is('json'), any: req.is('text/*'), accepts: req.accepts('html', 'json'),
    get: req.get('X-Own'), params: req.params, subdomains: req.subdomains,
  }));
  const res = await call('/a/b?x[y]=1&z=2', {method: 'POST', body: '{}', headers: {
    'Content-Type': 'application/json', 'X-Forwarded-For': '10.1.1.1, 10.2.2.2', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'a.b.example.com:8443',
    'X-Requested-With': 'XMLHttpRequest', Accept: 'text/html;q=0.5, application/json', 'X-Own': 'v',
  }});
  assert.deepEqual(await res.json(), {
    path: '/a/b', query: {x: {y: '1'}, z: '2'}, url: '/a/b?x[y]=1&z=2', ip: '10.1.1.1', ips: ['10.1.1.1', '10.2.2.2'], protocol: 'https', secure: true,
    hostname: 'a.b.example.com', xhr: true, json: 'json', any: false, accepts: 'json', get: 'v', params: {}, subdomains: ['b', 'a'],
  });
});

test('the response does what Express does', async t => {
  const ways = {
    '/text': res => res.send('é'),
    '/json': res => res.status(201).json({a: 1}),
    '/bytes': res => res.send(Buffer.from([1, 2])),
    '/number': res => res.send({n: 1}),
    '/none': res => res.status(204).send('x'),
    '/status': res => res.sendStatus(404),
    '/redirect': res => res.redirect(301, '/é?a=%20'),
    '/cookie': res => res.cookie('a', 'b c', {httpOnly: true, sameSite: 'Lax'}).clearCookie('d').end(),
    '/set': res => res.set({'X-A': 1}).append('X-B', 'a').append('X-B', 'b').type('csv').vary('Accept').vary(['accept', 'X']).end('x'),
    '/attach': res => res.attachment('dir/ünïq.csv').end(),
    '/format': res => res.format({html: (_, r) => r.send('h'), json: (_, r) => r.send({})}),
  };
  const call = await serve(t, (req, res) => ways[req.path](res));
  for (const [path, status, headers, body] of [
    ['/text', 200, {'content-type': 'text/html; charset=utf-8', 'content-length': '2', etag: null, 'x-powered-by': null}, 'é'],
    ['/json', 201, {'content-type': 'application/json; charset=utf-8'}, '{"a":1}'],
    ['/bytes', 200, {'content-type': 'application/octet-stream'}, '\x01\x02'],
    ['/number', 200, {}, '{"n":1}'],
    ['/none', 204, {'content-type': null}, ''],
    ['/status', 404, {'content-type': 'text/plain; charset=utf-8'}, 'Not Found'],
    ['/redirect', 301, {location: '/%C3%A9?a=%20'}, 'Moved Permanently. Redirecting to /%C3%A9?a=%20'],
    ['/cookie', 200, {'set-cookie': 'a=b%20c; Path=/; SameSite=Lax; HttpOnly, d=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT'}, ''],
    ['/set', 200, {'x-a': '1', 'x-b': 'a, b', 'content-type': 'text/csv; charset=utf-8', vary: 'Accept, X'}, 'x'],
    ['/attach', 200, {'content-disposition': `attachment; filename="_n_q.csv"; filename*=UTF-8''%C3%BCn%C3%AFq.csv`}, ''],
    ['/format', 200, {vary: 'Accept'}, 'h'],
  ]) {
    const res = await call(path);
    assert.equal(res.status, status, path);
    for (const [name, want] of Object.entries(headers)) {
      assert.equal(res.headers.get(name), want, `${path} ${name}`);
    }
    assert.equal(await res.text(), body, path);
  }
});

test('a function without a second parameter answers with what it returns', async t => {
  for (const [value, type, body] of [
    ['text', 'text/plain; charset=utf-8', 'text'], [{a: '<'}, 'application/json', '{"a":"<"}'], [7, 'application/json', '7'], [undefined, null, ''],
    [new Response('web', {headers: {'Content-Type': 'x/y'}}), 'x/y', 'web'],
  ]) {
    const call = await serve(t, async () => value);
    const res = await call();
    assert.equal(res.headers.get('content-type'), type);
    assert.equal(await res.text(), body);
  }
  const late = await serve(t, (...all) => void setTimeout(() => all[1].send('late'), 1));
  assert.equal(await (await late()).text(), 'late');
});

test('applications are served as they are', async t => {
  const own = http.createServer((req, res) => res.end(`${req.constructor.name} ${res.constructor.name}`));
  const call = await serve(t, (req, res) => void own.emit('request', req, res), {entry: {signature: 'application'}});
  assert.equal(await (await call()).text(), 'IncomingMessage ServerResponse');
});

test('what an application puts another prototype under stays', async t => {
  // Express does so to every request.
  const call = await serve(t, (req, res) => {
    assert.deepEqual(req.query, {a: '1'});
    Object.setPrototypeOf(req, Object.create(http.IncomingMessage.prototype));
    res.json([req.query, req.body, req._body]);
  });
  assert.deepEqual(await (await call('/?a=1', post('text/plain', 'x'))).json(), [{a: '1'}, 'x', true]);
});

test('the call is known wherever its code runs', async t => {
  const {currentCall} = require('..');
  const call = await serve(t, async (req, res) => {
    await new Promise(resolve => setTimeout(resolve, 1));
    res.json([currentCall().requestId, currentCall().function, req.requestId]);
  });
  assert.deepEqual(await (await call('/', {headers: {'X-Request-Id': 'r1'}})).json(), ['r1', 'f', 'r1']);
});

test('the signal of a call aborts when the client goes away or its time has come', async t => {
  let aborted;
  const call = await serve(t, (req, res) => {
    aborted = new Promise(resolve => req.abortSignal.addEventListener('abort', () => resolve(req.abortSignal.reason.name)));
    aborted.then(name => res.end(name));
  });
  assert.equal(await (await call('/', {headers: {'X-OpenFunction-Timeout-Ms': '5'}})).text(), 'TimeoutError');
  const client = new AbortController();
  const pending = call('/', {signal: client.signal});
  setTimeout(() => client.abort(), 50);
  await assert.rejects(pending);
  assert.equal(await aborted, 'Error');
});

// freePort is a port that was free a moment ago.
async function freePort() {
  const server = http.createServer();
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address();
  await new Promise(resolve => server.close(resolve));
  return port;
}

test('stray exceptions and rejections fail the call they belong to', async t => {
  const {spawn} = require('node:child_process');
  for (const name of ['httpRaiseStray', 'httpRejectStray']) {
    const port = await freePort();
    const child = spawn(process.execPath, ['cli.js'], {
      cwd: `${__dirname}/..`, stdio: ['ignore', 'inherit', 'pipe'],
      env: {...process.env, FUNCTION_SOURCE: 'testdata/functions', FUNCTION_TARGET: name, PORT: String(port), LISTEN_FDS: ''},
    });
    t.after(() => child.kill('SIGKILL'));
    let log = '';
    child.stderr.on('data', d => (log += d));
    for (let i = 0; i < 500; i++) {
      if (await fetch(`http://127.0.0.1:${port}/_ofn/ready`).then(r => r.ok, () => false)) {
        break;
      }
      await new Promise(resolve => setTimeout(resolve, 10));
    }
    const res = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(res.status, 500);
    assert.match(log, /the secret cause/);
    child.kill('SIGTERM');
    assert.equal(await new Promise(resolve => child.on('exit', resolve)), 0);
  }
});
