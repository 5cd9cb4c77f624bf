'use strict';

const {randomHex} = require('./random');

const tracePattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;

/** The trace id of a valid traceparent, or undefined. */
function traceIdOf(header) {
  const m = header && tracePattern.exec(header);
  if (!m || m[1] === 'ff' || (m[1] === '00' && m[4]) || /^0+$/.test(m[2]) || /^0+$/.test(m[3])) {
    return undefined;
  }
  return m[2];
}

/** One call of a function: what its log lines say, when it must end, and whether anybody still waits for it. */
class Call {
  #requestId;
  #deadline;
  #controller;

  constructor(req, res, name) {
    this.req = req;
    this.res = res;
    this.function = name;
    this.marked = false;
    this.answered = false;
    this.arrived = Date.now();
  }

  get method() {
    return this.req.method;
  }

  /** The path of the request without its query. */
  get path() {
    const {url} = this.req;
    const query = url.indexOf('?');
    return query < 0 ? url : url.slice(0, query);
  }

  get traceId() {
    return traceIdOf(this.req.headers.traceparent);
  }

  /** The id of the request: X-Request-Id, else the trace id, else a random one. */
  get requestId() {
    if (this.#requestId === undefined) {
      const given = this.req.headers['x-request-id'];
      this.#requestId = given && /^[\x21-\x7e]{1,128}$/.test(given) ? given : this.traceId ?? randomHex(16);
    }
    return this.#requestId;
  }

  /** When the caller stops waiting, as a Date, or undefined. */
  get deadline() {
    if (this.#deadline === undefined) {
      const text = this.req.headers['x-openfunction-timeout-ms'];
      const valid = text && /^[0-9]{1,12}$/.test(text) && Number(text) > 0;
      this.#deadline = valid ? new Date(this.arrived + Number(text)) : null;
    }
    return this.#deadline ?? undefined;
  }

  /** An AbortSignal that aborts when the client goes away or the deadline has come. */
  get signal() {
    if (!this.#controller) {
      this.#controller = new AbortController();
      this.#watch();
    }
    return this.#controller.signal;
  }

  #watch() {
    const {res} = this;
    const gone = () => this.#controller.abort(new Error('the client went away'));
    if (res.destroyed && !res.writableFinished) {
      gone();
      return;
    }
    const left = this.deadline && Math.min(this.deadline - Date.now(), 2 ** 31 - 1);
    const late = () => this.#controller.abort(new DOMException('the deadline of the call has come', 'TimeoutError'));
    const timer = left === undefined ? undefined : setTimeout(late, Math.max(left, 0)).unref();
    res.once('close', () => {
      clearTimeout(timer);
      if (!res.writableFinished) {
        gone();
      }
    });
  }
}

module.exports = {Call, traceIdOf};
