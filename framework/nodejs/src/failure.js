'use strict';

const {randomHex} = require('./random');
const {write, callFields} = require('./log');

const errorIdHeader = 'X-OpenFunction-Error-Id';
const statusHeader = 'X-OpenFunction-Status';
const functionHeader = 'X-OpenFunction-Function';

/** An error whose status and text are the answer. */
class HttpError extends Error {
  /** status is from 400 to 599; anything else becomes 500. */
  constructor(status, message, options) {
    super(message, options);
    this.name = 'HttpError';
    this.status = Number.isInteger(status) && status >= 400 && status < 600 ? status : 500;
  }
}

/** An answer of the framework's own making: a line of text, or with line false the bare text. */
function answer(res, status, text, headers, line = true) {
  for (const name of res.getHeaderNames()) {
    res.removeHeader(name);
  }
  res.removeTrailers?.();
  const body = Buffer.from(line ? text + '\n' : text);
  res.statusMessage = undefined;
  res.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': body.length,
    ...headers,
  });
  res.end(body);
}

/** The header that names the function, where several are served. */
function named(call) {
  return call.marked ? {[functionHeader]: call.function} : undefined;
}

/** The lines of an error and of what caused it. */
function describe(cause) {
  if (!(cause instanceof Error)) {
    let text;
    try {
      text = typeof cause === 'object' ? JSON.stringify(cause) : String(cause);
    } catch {
      text = Object.prototype.toString.call(cause);
    }
    return {error: text, stack: `thrown value that is no Error, without a stack:\n${text}`};
  }
  let stack = cause.stack || `${cause.name}: ${cause.message}\n    (no stack)`;
  for (let c = cause.cause, n = 0; c instanceof Error && n < 5; c = c.cause, n++) {
    stack += `\ncaused by: ${c.stack}`;
  }
  return {error: cause.message || cause.name, stack: stack.includes('\n') ? stack : stack + '\n    (no stack)'};
}

/** Log a failure of a call and return its id. kind is "crash" or "error"; the latter is logged without a stack. */
function logFailure(call, cause, kind) {
  const id = randomHex(8);
  const fields = {id, ...callFields(call)};
  if (call.method) {
    fields.method = call.method;
    fields.path = call.path;
  }
  const told = describe(cause);
  fields.error = told.error;
  if (kind === 'crash') {
    fields.stack = told.stack;
  }
  write('error', kind === 'crash' ? 'function crashed' : 'function failed', fields);
  return id;
}

/** End a call that failed: log why, and answer 500 without saying why, or break off the answer that has begun. */
function fail(call, cause, kind = 'crash', status = 500) {
  const {res} = call;
  const id = logFailure(call, cause, kind);
  if (res.headersSent) {
    if (!res.writableEnded) {
      res.destroy();
    }
    return;
  }
  if (!res.writableEnded) {
    answer(res, status, `internal error, id ${id}`, {[errorIdHeader]: id, [statusHeader]: kind, ...named(call)});
  }
}

module.exports = {HttpError, answer, fail, logFailure, describe, named, errorIdHeader, statusHeader, functionHeader};
