'use strict';

const {AsyncLocalStorage} = require('node:async_hooks');

// The call that runs, wherever its code is: kept on the global object for the same reason as the registered functions.
const key = Symbol.for('openfunction.functions.calls');
const calls = globalThis[key] ?? (globalThis[key] = new AsyncLocalStorage());

const levels = {debug: 0, info: 1, warn: 2, error: 3};
const settings = {least: levels.info};

/** Set the least level that is written: debug, info, warn or error. */
function setLevel(name) {
  settings.least = levels[name];
}

// write writes one line at once and whole.
function write(level, msg, fields) {
  if (levels[level] < settings.least) {
    return;
  }
  const line = {time: new Date().toISOString(), level: level.toUpperCase(), msg, ...fields};
  let text;
  try {
    text = JSON.stringify(line);
  } catch (err) {
    text = JSON.stringify({time: line.time, level: line.level, msg, unwritable: String(err)});
  }
  process.stderr.write(text + '\n');
}

/** What a line says of the call it belongs to. */
function callFields(call) {
  if (!call) {
    return {};
  }
  const fields = {function: call.function, request_id: call.requestId};
  if (call.traceId) {
    fields.trace_id = call.traceId;
  }
  return fields;
}

/** The call that the running code belongs to: {function, requestId, traceId, deadline, signal}, or undefined. */
function currentCall() {
  return calls.getStore();
}

const at = level => (msg, fields) => write(level, String(msg), {...callFields(calls.getStore()), ...fields});

/** The logger of functions: lines of JSON with the request they belong to. */
const logger = {debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error')};

module.exports = {calls, write, logger, currentCall, callFields, setLevel, levels};
