'use strict';

const {readBody, parseBody, strictJSON, BodyError, Aborted} = require('./body');
const {modeOf, parseOne, isObject} = require('./cloudevent');
const {ContextUtils, OpenFunctionRuntime} = require('./context');
const {HttpError, answer, fail, logFailure, named, statusHeader, errorIdHeader} = require('./failure');

const resultFields = new Set(['code', 'headers', 'body', 'metadata']);

// resultOf reads what a function returned: {code, headers, body, metadata}, or the data alone.
function resultOf(value) {
  const shaped = isObject(value) && !ArrayBuffer.isView(value) && typeof value.code === 'number' && Object.keys(value).every(k => resultFields.has(k));
  return shaped ? {headers: {}, metadata: {}, ...value} : {code: 0, headers: {}, metadata: {}, body: value};
}

// bytesAndType gives data the form in which they are sent.
function bytesAndType(data) {
  if (data === undefined || data === null) {
    return [Buffer.alloc(0), undefined];
  }
  if (typeof data !== 'string' && !ArrayBuffer.isView(data)) {
    return [Buffer.from(JSON.stringify(data) ?? ''), 'application/json'];
  }
  const bytes = typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return [bytes, isText(bytes) ? 'text/plain; charset=utf-8' : 'application/octet-stream'];
}

function isText(bytes) {
  try {
    // eslint-disable-next-line no-control-regex
    return !/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes));
  } catch {
    return false;
  }
}

// respond answers with a result, in the way of the table of the contract.
function respond(call, result) {
  const {res} = call;
  let status = result.code || 200;
  if (status < 200 || status > 599 || !Number.isInteger(status)) {
    status = 500;
  }
  const [bytes, type] = bytesAndType(result.body);
  res.statusCode = status;
  for (const [name, value] of Object.entries(result.headers ?? {})) {
    res.setHeader(name, value);
  }
  res.setHeader(statusHeader, status < 400 ? 'success' : 'error');
  if (status === 204 || status === 304) {
    res.end();
    return;
  }
  if (bytes.length > 0 && !res.hasHeader('Content-Type')) {
    res.setHeader('Content-Type', type);
  }
  res.setHeader('Content-Length', bytes.length);
  res.end(bytes);
}

// failed answers a call that threw.
function failed(call, err) {
  if (err instanceof BodyError) {
    answer(call.res, err.status, err.message, {...err.headers, ...named(call)});
    return;
  }
  if (!(err instanceof HttpError)) {
    fail(call, err);
    return;
  }
  const id = logFailure(call, err, 'error');
  if (!call.res.headersSent) {
    answer(call.res, err.status, `internal error, id ${id}`, {[errorIdHeader]: id, [statusHeader]: 'error', ...named(call)});
  }
}

// request reads what a plain request or an event over HTTP brings: {data, event}.
async function request(req, maxBody) {
  const mode = modeOf(req);
  const body = await readBody(req, maxBody);
  req.rawBody = body;
  if (mode === 'binary' || mode === 'structured') {
    const event = parseOne(req, body, mode);
    req.body = event.data;
    return {data: event.data, event};
  }
  req.body = plain(body, req.headers['content-type']);
  return {data: req.body, event: undefined};
}

// plain is the value of a body, as req.body is; one that says to be JSON and is not stays bytes.
function plain(body, contentType) {
  try {
    return parseBody(body, contentType);
  } catch {
    return body;
  }
}

/** Serve a function (ctx, data). */
function serveOpenFunction({handler}, serving) {
  const {context, options, plugins} = serving;
  // invoke calls the function between its plugins and returns its result.
  const invoke = async (ctx, data) => {
    ctx.plugins = plugins;
    let value;
    await plugins?.before(ctx);
    try {
      value = await handler(ctx, data);
    } catch (err) {
      ctx.error = err instanceof Error ? err : new Error(String(err), {cause: err});
    }
    await plugins?.after(ctx);
    if (ctx.error) {
      throw ctx.error;
    }
    return resultOf(value);
  };
  const overHTTP = async (call, req, res) => {
    const {data, event} = await request(req, options.maxBody);
    const result = await invoke(new OpenFunctionRuntime(context, call, {event}), data);
    if (!res.headersSent && !res.writableEnded) {
      respond(call, result);
    }
  };
  const plainHandler = (call, req, res) => {
    overHTTP(call, req, res).catch(err => (err instanceof Aborted ? undefined : failed(call, err)));
  };
  if (!ContextUtils.IsAsyncRuntime(context) || Object.keys(context.inputs ?? {}).length === 0) {
    return plainHandler;
  }
  return withEvents(context, options, invoke, plainHandler);
}

// withEvents adds the channel on which Dapr delivers messages of bindings and topics.
function withEvents(context, options, invoke, otherwise) {
  const bindings = new Map();
  const topics = new Map();
  for (const [name, c] of Object.entries(context.inputs)) {
    if (ContextUtils.IsBindingComponent(c)) {
      bindings.set(`/${c.componentName}`, name);
    } else {
      topics.set(`/${c.uri ?? ''}`, name);
    }
  }
  return (call, req, res, hasBody) => {
    const {path} = call;
    const run = work => work.catch(err => failed(call, err));
    if (req.method === 'GET' && path === '/dapr/subscribe') {
      sendJSON(res, subscriptions(context.inputs), '');
    } else if (req.method === 'OPTIONS' && bindings.has(path)) {
      res.end();
    } else if (req.method === 'POST' && bindings.has(path)) {
      run(fromBinding(call, {context, options, invoke, name: bindings.get(path)}));
    } else if (req.method === 'POST' && topics.has(path)) {
      run(fromTopic(call, {context, options, invoke, name: topics.get(path)}));
    } else {
      otherwise(call, req, res, hasBody);
    }
  };
}

function sendJSON(res, value, end = '\n') {
  const body = Buffer.from(JSON.stringify(value) + end);
  res.setHeader('Content-Type', 'application/json');
  res.setHeader('Content-Length', body.length);
  res.end(body);
}

function subscriptions(inputs) {
  const list = [];
  for (const name of Object.keys(inputs).sort()) {
    const c = inputs[name];
    if (ContextUtils.IsPubSubComponent(c)) {
      list.push({pubsubname: c.componentName, topic: c.uri, route: `/${c.uri}`, ...(c.metadata && {metadata: c.metadata}), ...(c.deadLetterTopic && {deadLetterTopic: c.deadLetterTopic})});
    }
  }
  return list;
}

// bindingData is the value of a message: JSON where it is, text where it can be, otherwise bytes.
function bindingData(body, contentType) {
  if (contentType !== undefined) {
    return plain(body, contentType);
  }
  try {
    return strictJSON(body);
  } catch {
    return isText(body) ? body.toString('utf8') : body;
  }
}

async function fromBinding(call, {context, options, invoke, name}) {
  const {req, res} = call;
  const body = await readBody(req, options.maxBody);
  req.rawBody = body;
  const ctx = new OpenFunctionRuntime(context, call, {input: name});
  ctx.rawData = body;
  const result = await outcome(call, () => invoke(ctx, bindingData(body, req.headers['content-type'])));
  if (!result || result.code >= 500) {
    answer(res, 500, 'the function failed', named(call));
    return;
  }
  const [bytes, type] = bytesAndType(result.body);
  if (bytes.length > 0) {
    res.setHeader('Content-Type', type);
  }
  res.setHeader('Content-Length', bytes.length);
  res.end(bytes);
}

async function fromTopic(call, {context, options, invoke, name}) {
  const {req, res} = call;
  const body = await readBody(req, options.maxBody);
  let event;
  try {
    event = parseOne(req, body, modeOf(req) === 'binary' ? 'binary' : 'structured');
  } catch (err) {
    logFailure(call, err, 'error');
    sendJSON(res, {status: 'DROP'});
    return;
  }
  const ctx = new OpenFunctionRuntime(context, call, {input: name, event});
  const result = await outcome(call, () => invoke(ctx, event.data));
  if (result && !(result.code >= 500)) {
    sendJSON(res, {status: 'SUCCESS'});
  } else {
    const again = String(result?.metadata?.retry) === 'true';
    sendJSON(res, {status: again ? 'RETRY' : 'DROP'});
  }
}

// outcome is the result of a call, or undefined after it failed and was logged. An error may ask to be delivered again with its metadata.
async function outcome(call, invoke) {
  try {
    return await invoke();
  } catch (err) {
    logFailure(call, err, 'crash');
    return err?.metadata ? {code: 500, metadata: err.metadata} : undefined;
  }
}

module.exports = {serveOpenFunction};
