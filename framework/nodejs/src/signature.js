'use strict';

const {BodyError, Aborted, readBody, decompress, parseBody, mediaType, isJSON, oneLine, strictJSON} = require('./body');
const {answer, fail, named} = require('./failure');

// A served function takes (call, req, res, hasBody) and answers; it never throws.

// refused answers what BodyError says, drops calls whose client is gone, and takes everything else for a failure of the function.
function refused(call, err) {
  if (err instanceof BodyError) {
    answer(call.res, err.status, err.message, {...err.headers, ...named(call)});
  } else if (!(err instanceof Aborted)) {
    fail(call, err);
  }
}

const isWebResponse = value => typeof globalThis.Response === 'function' && value instanceof globalThis.Response;

/** Send a Response of the Fetch API. */
async function sendWebResponse(res, web) {
  res.statusCode = web.status;
  for (const [name, value] of web.headers) {
    if (name !== 'set-cookie') {
      res.setHeader(name, value);
    }
  }
  const cookies = web.headers.getSetCookie();
  if (cookies.length > 0) {
    res.setHeader('Set-Cookie', cookies);
  }
  if (!web.body) {
    res.end();
    return;
  }
  const {Readable} = require('node:stream');
  await require('node:stream/promises').pipeline(Readable.fromWeb(web.body), res);
}

/** Send a returned value: text and bytes are the body, everything else is JSON; undefined is an empty body. */
function sendValue(res, value) {
  if (value === undefined || value === null) {
    res.end();
  } else if (typeof value === 'string') {
    send(res, Buffer.from(value), 'text/plain; charset=utf-8');
  } else if (ArrayBuffer.isView(value)) {
    send(res, Buffer.from(value.buffer, value.byteOffset, value.byteLength), 'application/octet-stream');
  } else {
    send(res, Buffer.from(JSON.stringify(value) ?? ''), 'application/json');
  }
}

function send(res, bytes, type) {
  if (res.statusCode === 204 || res.statusCode === 304) {
    res.end();
    return;
  }
  if (bytes.length > 0 && !res.hasHeader('Content-Type')) {
    res.setHeader('Content-Type', type);
  }
  res.setHeader('Content-Length', bytes.length);
  res.end(bytes);
}

// returnsAnswer tells whether what a handler returns is its answer: it has no second parameter to write to.
function returnsAnswer(handler) {
  return handler.length < 2 && !/\.\.\.|\barguments\b/.test(Function.prototype.toString.call(handler));
}

/** Serve a function (req, res), in the manner of Express. */
function serveHTTP({handler, stream}, {options}) {
  const returned = returnsAnswer(handler);
  const settle = (call, value) => {
    const {res} = call;
    if (res.headersSent || res.writableEnded) {
      return undefined;
    }
    if (isWebResponse(value)) {
      return sendWebResponse(res, value).catch(err => fail(call, err));
    }
    if (returned) {
      sendValue(res, value);
    }
    return undefined;
  };
  const run = (call, req, res) => {
    try {
      const value = handler(req, res);
      if (typeof value?.then === 'function') {
        value.then(v => settle(call, v)).then(undefined, err => fail(call, err));
      } else {
        settle(call, value);
      }
    } catch (err) {
      fail(call, err);
    }
  };
  const withBody = async (call, req, res) => {
    const raw = await readBody(req, options.maxBody);
    const plain = await decompress(req, raw, options.maxBody);
    req.rawBody = plain;
    req.body = parseBody(plain, req.headers['content-type']);
    req._body = true; // tells the body parsers of Express that it was read
    run(call, req, res);
  };
  return (call, req, res, hasBody) => {
    if (stream) {
      run(call, req, res);
    } else if (hasBody) {
      withBody(call, req, res).catch(err => refused(call, err));
    } else {
      req.body = {};
      run(call, req, res);
    }
  };
}

/** Serve a function of JSON values. */
function serveTyped({handler, parse}, {options}) {
  const wrong = err => new BodyError(400, `the request body is not the JSON that this function takes: ${oneLine(err)}`);
  const read = async req => {
    const type = mediaType(req.headers['content-type']);
    if (type !== '' && !isJSON(type)) {
      throw new BodyError(415, 'this function takes JSON: send the content type application/json');
    }
    const body = await decompress(req, await readBody(req, options.maxBody), options.maxBody);
    try {
      const value = strictJSON(body);
      return parse ? parse(value) : value;
    } catch (err) {
      throw wrong(err);
    }
  };
  const run = async (call, req, res) => {
    const value = await read(req);
    const result = await handler(value, req);
    if (res.headersSent || res.writableEnded) {
      return;
    }
    if (result === undefined || result === null) {
      res.statusCode = 204;
      res.end();
      return;
    }
    send(res, Buffer.from(JSON.stringify(result)), 'application/json');
  };
  return (call, req, res) => {
    run(call, req, res).catch(err => refused(call, err));
  };
}

/** Serve an application that is a request listener itself, such as that of Express, as it is. */
function serveApplication({handler}) {
  return (call, req, res) => {
    try {
      const value = handler(req, res);
      value?.then?.(undefined, err => fail(call, err));
    } catch (err) {
      fail(call, err);
    }
  };
}

/** Serve a function (data, context) of background events. */
function serveBackground(entry, serving) {
  const {handler} = entry;
  const {serveEvents} = require('./event');
  return serveEvents({...entry, handler: (event, callback) => {
    const {data, ...context} = event;
    const background = {eventId: event.id, timestamp: event.time, eventType: event.type, resource: event.source, ...context};
    return handler.length > 2 ? handler(data, background, callback) : handler(data, background);
  }, callback: handler.length > 2}, serving);
}

/** Make the served form of a registered or exported function. */
function serve(entry, serving) {
  switch (entry.signature) {
    case 'http':
      return serveHTTP(entry, serving);
    case 'typed':
      return serveTyped(entry, serving);
    case 'application':
      return serveApplication(entry);
    case 'cloudevent':
      return require('./event').serveEvents({...entry, callback: entry.handler.length > 1}, serving);
    case 'background':
      return serveBackground(entry, serving);
    default:
      return require('./openfunction').serveOpenFunction(entry, serving);
  }
}

module.exports = {serve, refused, send};
