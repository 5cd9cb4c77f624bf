'use strict';

// The fixture functions of the conformance suite; the appendix of the contract says what they do.
const fs = require('node:fs');
const {setTimeout: sleep} = require('node:timers/promises');
const functions = require('../..');

const text = res => res.set('Content-Type', 'text/plain; charset=utf-8');

async function gate(req) {
  const {begun, gate: file} = req.query;
  if (begun) {
    fs.writeFileSync(begun, '');
  }
  while (file && !fs.existsSync(file)) {
    await sleep(5);
  }
}

exports.httpEcho = (req, res) => {
  const type = req.get('content-type');
  if (type !== undefined) {
    res.setHeader('Content-Type', type);
  }
  const {url} = req;
  const query = url.indexOf('?');
  res.setHeader('X-Method', req.method);
  res.setHeader('X-Path', req.path);
  res.setHeader('X-Query', query < 0 ? '' : url.slice(query + 1));
  if (req.get('x-in') !== undefined) {
    res.setHeader('X-Out', req.get('x-in'));
  }
  req.pipe(res);
};
exports.httpEcho.stream = true;

exports.httpEmpty = () => {};

exports.httpStatus = (req, res) => {
  const code = Number(req.query.code);
  res.status(code).set('X-Fixture', 'yes');
  text(res).send(`status ${code}\n`);
};

exports.httpStream = async (req, res) => {
  text(res).write('first\n');
  await gate(req);
  res.end('second\n');
};

exports.httpSlow = async (req, res) => {
  await gate(req);
  text(res).send('done\n');
};

exports.httpSize = async (req, res) => {
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
  }
  text(res).send(`${size}\n`);
};
exports.httpSize.stream = true;

exports.httpRaise = (req, res) => {
  res.set('X-Leak', 'yes');
  throw new Error('the secret cause');
};

exports.httpRaiseLate = async (req, res) => {
  await new Promise(done => res.write('half', done));
  throw new Error('the secret cause');
};

// Throws outside of the function's own promise, where only the call that it belongs to tells who is to be answered.
exports.httpRaiseStray = (req, res) => {
  setTimeout(() => {
    throw new Error('the secret cause');
  }, 1);
  res.set('X-Leak', 'yes');
};

exports.httpRejectStray = (req, res) => {
  res.set('X-Leak', 'yes');
  void (async () => {
    await sleep(1);
    throw new Error('the secret cause');
  })();
};

exports.httpExit = () => process.exit(7);

exports.httpPrint = (req, res) => {
  console.log('plain line');
  console.error('error line');
  res.send('ok');
};

exports.httpUnicode = (req, res) => text(res).send('héllo wörld ✓ 日本');

exports.httpDeadline = (req, res) => text(res).send(`${req.timeRemaining() ?? 'none'}\n`);

exports.httpLog = (req, res) => {
  functions.logger.info('from the function', {answer: 42});
  res.send('ok');
};

exports.eventVoid = event => console.log(event.id);

exports.eventEcho = event => event;

exports.eventMake = event => new functions.CloudEvent({
  type: 'made', source: '/made', subject: 'é %"', id: event.id, note: 'a b', datacontenttype: 'application/json', data: {z: 1, a: '<é>'},
});

exports.eventRaise = async event => {
  if (event.type === 'fail') {
    throw new Error('the secret cause');
  }
  console.log(event.id);
};

functions.typed('typed', {parse: person}, ({name, count = 0}) => {
  if (name === 'fail') {
    throw new Error('the secret cause');
  }
  return name === 'nobody' ? null : {greeting: `hello ${name}`, count: count + 1};
});

function person(value) {
  if (Array.isArray(value) || typeof value?.name !== 'string' || !Number.isInteger(value.count ?? 0)) {
    throw new TypeError('name must be a string and count a whole number');
  }
  return value;
}

exports.ofEcho = (ctx, data) => (ctx.event || !ctx.req ? data : ctx.req.rawBody);

exports.ofCode = (ctx, {code, data}) => ({code, body: data});

exports.ofRaise = async () => {
  throw new Error('the secret cause');
};

exports.ofEvent = ctx => `${ctx.event?.type ?? '-'} ${ctx.event?.id ?? '-'} ${ctx.input ?? '-'}\n`;

exports.ofPlugins = () => {
  console.log('function');
  return 'ok';
};

exports.ofRetry = (ctx, data) => ({code: 500, metadata: String(data).includes('again') ? {retry: 'true'} : {}});

exports.brokenKind = 42;
