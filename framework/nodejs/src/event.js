'use strict';

const {randomUUID} = require('./random');
const {BodyError, readBody} = require('./body');
const {CloudEvent, modeOf, parseOne, fromBatch, toBinary, toJSON, isObject} = require('./cloudevent');
const {HttpError, answer, logFailure, named, errorIdHeader, statusHeader} = require('./failure');

const notEvent = 'the request is not a CloudEvent: send the ce- headers, or the content type application/cloudevents+json or application/cloudevents-batch+json';
const methods = new Set(['PATCH', 'POST', 'PUT']);

/** The events of a request and whether they came as a batch. */
async function eventsOf(req, maxBody) {
  if (!methods.has(req.method)) {
    throw new BodyError(405, 'CloudEvents are sent with POST', {Allow: 'PATCH, POST, PUT'});
  }
  const mode = modeOf(req);
  if (mode === 'unknown') {
    throw new BodyError(415, notEvent);
  }
  const body = await readBody(req, maxBody);
  if (mode === 'batch') {
    return {batch: true, events: fromBatch(body)};
  }
  if (mode !== 'none') {
    return {batch: false, events: [parseOne(req, body, mode)]};
  }
  const {legacyOf, toCloudEvent} = require('./legacy');
  const legacy = legacyOf(body);
  if (!legacy) {
    throw new BodyError(415, notEvent);
  }
  return {batch: false, events: [toCloudEvent(legacy)]};
}

// invoke calls a handler in the way it is written: with a callback, or returning a value or a promise.
function invoke({handler, callback}, event) {
  if (!callback) {
    return handler(event);
  }
  return new Promise((resolve, reject) => {
    const done = (err, value) => (err ? reject(err) : resolve(value));
    Promise.resolve(handler(event, done)).catch(reject);
  });
}

/** Whether a returned value is an event: an event of this package or another, or what has the attributes of one. */
function isEvent(value) {
  return value instanceof CloudEvent || (isObject(value) && (typeof value.specversion === 'string' || (typeof value.type === 'string' && typeof value.source === 'string')));
}

// complete gives an event that is sent the attributes that it lacks.
function complete(event, handled, name) {
  const missing = {specversion: '1.0', id: randomUUID(), source: `/${name}`, type: handled.type};
  const lacks = Object.keys(missing).filter(k => event[k] === undefined || event[k] === '');
  if (lacks.length === 0) {
    return event;
  }
  const whole = new CloudEvent(event);
  for (const k of lacks) {
    whole[k] = missing[k];
  }
  return whole;
}

// handle calls the function with one event and tells how it went: {value}, or {status, text, headers} of the answer to a failure.
async function handle(entry, call, event) {
  try {
    const value = await invoke(entry, event);
    return isEvent(value) ? {value: complete(value, event, call.function), event: true} : {value};
  } catch (err) {
    if (err instanceof HttpError) {
      logFailure(call, err, 'error');
      return {status: err.status, text: err.message, headers: {}};
    }
    const id = logFailure(call, err, 'crash');
    return {status: 500, text: `internal error, id ${id}`, headers: {[errorIdHeader]: id, [statusHeader]: 'crash'}};
  }
}

function reply(res, {value, event}) {
  if (!event) {
    return value === undefined || value === null ? res.end() : sendPlain(res, value);
  }
  const {headers, body, type} = toBinary(value);
  for (const [name, text] of Object.entries(headers)) {
    res.setHeader(name, text);
  }
  if (type !== undefined) {
    res.setHeader('Content-Type', type);
  }
  res.setHeader('Content-Length', body.length);
  return res.end(body);
}

// sendPlain answers a value that is no event, as OpenFunction does.
function sendPlain(res, value) {
  const {send} = require('./signature');
  if (typeof value === 'string') {
    send(res, Buffer.from(value), 'text/plain; charset=utf-8');
  } else if (ArrayBuffer.isView(value)) {
    send(res, Buffer.from(value.buffer, value.byteOffset, value.byteLength), 'application/octet-stream');
  } else {
    send(res, Buffer.from(JSON.stringify(value) ?? ''), 'application/json');
  }
}

function replyBatch(res, outcomes) {
  const events = outcomes.filter(o => o.event).map(o => toJSON(o.value));
  if (events.length === 0) {
    res.end();
    return;
  }
  const body = Buffer.from(JSON.stringify(events));
  res.setHeader('Content-Type', 'application/cloudevents-batch+json');
  res.setHeader('Content-Length', body.length);
  res.end(body);
}

/** Serve a function of CloudEvents. */
function serveEvents(entry, {options}) {
  const run = async (call, req, res) => {
    const {batch, events} = await eventsOf(req, options.maxBody);
    const outcomes = [];
    for (const event of events) {
      outcomes.push(await handle(entry, call, event));
    }
    const worst = outcomes.reduce((w, o) => ((o.status ?? 0) > (w?.status ?? 0) ? o : w), undefined);
    if (res.headersSent || res.writableEnded) {
      return;
    }
    if (worst) {
      answer(res, worst.status, worst.text, {...worst.headers, ...named(call)});
    } else if (batch) {
      replyBatch(res, outcomes);
    } else {
      reply(res, outcomes[0]);
    }
  };
  return (call, req, res) => {
    run(call, req, res).catch(err => {
      const {refused} = require('./signature');
      refused(call, err);
    });
  };
}

module.exports = {serveEvents};
