'use strict';

const {IncomingMessage} = require('node:http');

// define makes a property of a request that is worked out when it is first read. It becomes the request's own, so that it stays when an
// application such as Express puts another prototype under the request.
function define(name, work) {
  Object.defineProperty(Request.prototype, name, {
    configurable: true,
    enumerable: true,
    get() {
      const value = work(this);
      Object.defineProperty(this, name, {value, writable: true, configurable: true, enumerable: true});
      return value;
    },
    set(value) {
      Object.defineProperty(this, name, {value, writable: true, configurable: true, enumerable: true});
    },
  });
}

/** A request as functions see it: that of node:http with what Express adds. */
class Request extends IncomingMessage {
  /** The value of a header, whatever the case of its name. */
  get(name) {
    const key = name.toLowerCase();
    return key === 'referer' || key === 'referrer' ? this.headers.referer ?? this.headers.referrer : this.headers[key];
  }

  header(name) {
    return this.get(name);
  }

  /** The first of the types that the content type matches ("json", "text/*", "application/json"), or false. */
  is(...types) {
    const {mediaType} = require('./body');
    const type = mediaType(this.headers['content-type']);
    if (type === '') {
      return false;
    }
    const match = require('./types').matches;
    return types.flat().find(wanted => match(type, wanted)) ?? false;
  }

  /** The best of the types that the client accepts, or false. Without types, all that it accepts, best first. */
  accepts(...types) {
    return require('./types').accepts(this.headers.accept, types.flat());
  }

  acceptsEncodings(...names) {
    return require('./types').acceptsToken(this.headers['accept-encoding'], names.flat());
  }

  acceptsCharsets(...names) {
    return require('./types').acceptsToken(this.headers['accept-charset'], names.flat());
  }

  acceptsLanguages(...names) {
    return require('./types').acceptsToken(this.headers['accept-language'], names.flat());
  }

  /** How long the caller still waits, in milliseconds, or undefined when it named no time. */
  timeRemaining() {
    const deadline = this.call?.deadline;
    return deadline && Math.max(0, deadline - Date.now());
  }
}

const first = text => text?.split(',', 1)[0].trim();

function ips(req) {
  return (req.headers['x-forwarded-for'] ?? '').split(',').map(s => s.trim()).filter(Boolean);
}

function path(req) {
  const query = req.url.indexOf('?');
  return query < 0 ? req.url : req.url.slice(0, query);
}

function query(req) {
  const at = req.url.indexOf('?');
  return at < 0 ? {} : require('./query').parseQuery(req.url.slice(at + 1));
}

function hostname(req) {
  const host = first(req.headers['x-forwarded-host']) ?? req.headers.host;
  return host?.replace(/:[0-9]*$/, '');
}

define('path', path);
define('query', query);
define('originalUrl', req => req.url);
define('baseUrl', () => '');
define('params', () => ({}));
define('body', () => undefined);
define('rawBody', () => undefined);
define('protocol', req => first(req.headers['x-forwarded-proto']) ?? 'http');
define('secure', req => req.protocol === 'https');
define('ips', ips);
define('ip', req => ips(req)[0] ?? req.socket?.remoteAddress);
define('hostname', hostname);
define('host', req => first(req.headers['x-forwarded-host']) ?? req.headers.host);
define('subdomains', req => (hostname(req) ?? '').split('.').reverse().slice(2));
define('xhr', req => (req.headers['x-requested-with'] ?? '').toLowerCase() === 'xmlhttprequest');
define('requestId', req => req.call?.requestId);
define('deadline', req => req.call?.deadline);
define('abortSignal', req => req.call?.signal);

module.exports = {Request};
