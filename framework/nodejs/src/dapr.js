'use strict';

const http = require('node:http');

const agent = new http.Agent({keepAlive: true, maxSockets: 64});

/** A client of the Dapr runtime over HTTP. It connects when it is first used. */
class Dapr {
  /** trace is headers that go with every request: those of a W3C trace context. */
  constructor(env, trace = {}) {
    this.trace = trace;
    this.host = (env.DAPR_HOST || '127.0.0.1').replace(/^https?:\/\//, '');
    this.port = env.DAPR_HTTP_PORT || '3500';
    this.token = env.DAPR_API_TOKEN;
  }

  /** Send a message to a binding and return its answer. */
  invokeBinding(name, operation, data, metadata) {
    return this.#call('POST', `/v1.0/bindings/${encodeURIComponent(name)}`, {data, metadata, operation: operation || 'create'});
  }

  /** Publish to a topic. Text and bytes are sent as they are, everything else as JSON. */
  publish(pubsub, topic, data, metadata) {
    const query = Object.entries(metadata ?? {}).map(([k, v]) => `metadata.${encodeURIComponent(k)}=${encodeURIComponent(v)}`).join('&');
    const path = `/v1.0/publish/${encodeURIComponent(pubsub)}/${topic.split('/').map(encodeURIComponent).join('/')}`;
    return this.#call('POST', query ? `${path}?${query}` : path, data);
  }

  saveState(store, items) {
    return this.#call('POST', `/v1.0/state/${encodeURIComponent(store)}`, items);
  }

  getState(store, key) {
    return this.#call('GET', `/v1.0/state/${encodeURIComponent(store)}/${encodeURIComponent(key)}`);
  }

  getBulkState(store, keys, parallelism = 10, metadata) {
    return this.#call('POST', `/v1.0/state/${encodeURIComponent(store)}/bulk`, {keys, parallelism, metadata});
  }

  deleteState(store, key) {
    return this.#call('DELETE', `/v1.0/state/${encodeURIComponent(store)}/${encodeURIComponent(key)}`);
  }

  transactState(store, operations, metadata) {
    return this.#call('POST', `/v1.0/state/${encodeURIComponent(store)}/transaction`, {operations, metadata});
  }

  queryState(store, query) {
    return this.#call('POST', `/v1.0-alpha1/state/${encodeURIComponent(store)}/query`, query);
  }

  #call(method, path, value) {
    const [body, type] = encode(value);
    const headers = {...current(this.trace), ...(this.token && {'dapr-api-token': this.token}), ...(body && {'Content-Type': type, 'Content-Length': body.length})};
    return new Promise((resolve, reject) => {
      const where = `Dapr at ${this.host}:${this.port}`;
      const req = http.request({host: this.host, port: this.port, method, path, headers, agent}, res => {
        const chunks = [];
        res.on('data', c => chunks.push(c)).on('error', reject).on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          if (res.statusCode >= 300) {
            reject(new Error(`${where} answered ${method} ${path} with ${res.statusCode}: ${text.slice(0, 2000)}`));
          } else {
            resolve(decode(text));
          }
        });
      });
      req.on('error', err => reject(new Error(`calling ${where}: ${err.message}`, {cause: err})));
      req.end(body);
    });
  }
}

const traceHeaders = ['traceparent', 'tracestate', 'baggage'];

/** The trace headers of a call: those of its request, otherwise the extensions of its event. */
function traceOf(headers, event) {
  const from = headers?.traceparent ? headers : {...headers, ...event};
  return Object.fromEntries(traceHeaders.filter(name => typeof from[name] === 'string' && from[name] !== '').map(name => [name, from[name]]));
}

// The symbol under which the package @opentelemetry/api, whatever its version 1, keeps what the program has registered with it.
const openTelemetry = Symbol.for('opentelemetry.js.api.1');

// current is the trace where the function's own OpenTelemetry has one, otherwise that of the call.
function current(trace) {
  const {propagation, context} = globalThis[openTelemetry] ?? {};
  if (!propagation || !context) {
    return trace;
  }
  const own = {};
  propagation.inject(context.active(), own, {set: (carrier, name, value) => (carrier[name] = value)});
  return own.traceparent ? own : trace;
}

function encode(value) {
  if (value === undefined) {
    return [undefined, undefined];
  }
  if (ArrayBuffer.isView(value)) {
    return [Buffer.from(value.buffer, value.byteOffset, value.byteLength), 'application/octet-stream'];
  }
  return typeof value === 'string' ? [Buffer.from(value), 'text/plain; charset=utf-8'] : [Buffer.from(JSON.stringify(value)), 'application/json'];
}

function decode(text) {
  if (text === '') {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

module.exports = {Dapr, traceOf};
