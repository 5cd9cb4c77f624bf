'use strict';

const {ServerResponse, STATUS_CODES} = require('node:http');

/** A response as functions see it: that of node:http with what Express adds. */
class Response extends ServerResponse {
  get locals() {
    const value = {};
    Object.defineProperty(this, 'locals', {value, writable: true, configurable: true, enumerable: true});
    return value;
  }

  status(code) {
    this.statusCode = code;
    return this;
  }

  sendStatus(code) {
    this.statusCode = code;
    return this.type('txt').send(STATUS_CODES[code] ?? String(code));
  }

  set(name, value) {
    if (typeof name === 'object') {
      for (const [k, v] of Object.entries(name)) {
        this.set(k, v);
      }
      return this;
    }
    const text = Array.isArray(value) ? value.map(String) : String(value);
    const typed = typeof text === 'string' && name.toLowerCase() === 'content-type';
    this.setHeader(name, typed ? require('./types').withCharset(text) : text);
    return this;
  }

  header(name, value) {
    return this.set(name, value);
  }

  get(name) {
    return this.getHeader(name);
  }

  append(name, value) {
    const there = this.getHeader(name);
    return this.set(name, there === undefined ? value : [].concat(there, value));
  }

  type(name) {
    const {lookup, withCharset} = require('./types');
    this.setHeader('Content-Type', withCharset(lookup(name) ?? 'application/octet-stream'));
    return this;
  }

  contentType(name) {
    return this.type(name);
  }

  /** Send a body: text is HTML unless a type was set, bytes are bytes, everything else is JSON. */
  send(body) {
    if (typeof body === 'string') {
      if (!this.hasHeader('Content-Type')) {
        this.setHeader('Content-Type', 'text/html; charset=utf-8');
      }
      return this.#finish(Buffer.from(body));
    }
    if (body === undefined || body === null) {
      return this.#finish(Buffer.alloc(0));
    }
    if (ArrayBuffer.isView(body)) {
      if (!this.hasHeader('Content-Type')) {
        this.setHeader('Content-Type', 'application/octet-stream');
      }
      return this.#finish(Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength));
    }
    return this.json(body);
  }

  json(value) {
    if (!this.hasHeader('Content-Type')) {
      this.setHeader('Content-Type', 'application/json; charset=utf-8');
    }
    return this.#finish(Buffer.from(JSON.stringify(value) ?? ''));
  }

  jsonp(value) {
    return this.json(value);
  }

  #finish(bytes) {
    if (this.statusCode === 204 || this.statusCode === 304) {
      this.removeHeader('Content-Type');
      this.removeHeader('Content-Length');
      this.removeHeader('Transfer-Encoding');
      this.end();
      return this;
    }
    this.setHeader('Content-Length', bytes.length);
    this.end(bytes);
    return this;
  }

  redirect(status, url) {
    if (url === undefined) {
      [status, url] = [302, status];
    }
    this.location(url).status(status).type('txt');
    return this.send(`${STATUS_CODES[status]}. Redirecting to ${this.getHeader('Location')}`);
  }

  location(url) {
    const target = url === 'back' ? this.req.headers.referer ?? '/' : url;
    this.setHeader('Location', encodeURI(target).replace(/%25([0-9A-Fa-f]{2})/g, '%$1'));
    return this;
  }

  vary(field) {
    const there = String(this.getHeader('Vary') ?? '').split(',').map(s => s.trim()).filter(Boolean);
    for (const f of [].concat(field)) {
      if (!there.some(t => t.toLowerCase() === f.toLowerCase())) {
        there.push(f);
      }
    }
    this.setHeader('Vary', there.join(', '));
    return this;
  }

  links(links) {
    return this.append('Link', Object.entries(links).map(([rel, url]) => `<${url}>; rel="${rel}"`).join(', '));
  }

  cookie(name, value, options) {
    const text = typeof value === 'object' ? `j:${JSON.stringify(value)}` : String(value);
    return this.append('Set-Cookie', cookie(name, text, {path: '/', ...options}));
  }

  clearCookie(name, options) {
    return this.append('Set-Cookie', cookie(name, '', {path: '/', ...options, expires: new Date(1), maxAge: undefined}));
  }

  attachment(filename) {
    if (filename === undefined) {
      return this.set('Content-Disposition', 'attachment');
    }
    const base = filename.split(/[\\/]/).pop();
    this.type(base);
    const plain = base.replace(/[^\x20-\x7e]|["\\]/g, '_');
    const star = plain === base ? '' : `; filename*=UTF-8''${encodeURIComponent(base)}`;
    return this.set('Content-Disposition', `attachment; filename="${plain}"${star}`);
  }

  format(types) {
    const {default: otherwise, ...offers} = types;
    const chosen = this.req.accepts(Object.keys(offers));
    this.vary('Accept');
    if (chosen) {
      this.type(chosen);
      offers[chosen](this.req, this);
    } else if (otherwise) {
      otherwise(this.req, this);
    } else {
      this.sendStatus(406);
    }
    return this;
  }

  sendFile(file, options, done) {
    require('./file').send(this, file, options, done);
    return this;
  }

  download(file, filename, options, done) {
    this.attachment(typeof filename === 'string' ? filename : file);
    return this.sendFile(file, ...[filename, options, done].filter(a => a !== undefined && typeof a !== 'string'));
  }
}

function cookie(name, value, o) {
  let text = `${name}=${(o.encode ?? encodeURIComponent)(value)}`;
  if (o.maxAge !== undefined && o.maxAge !== null) {
    text += `; Max-Age=${Math.floor(o.maxAge / 1000)}`;
    o = {expires: new Date(Date.now() + o.maxAge), ...o};
  }
  const sameSite = o.sameSite === true ? 'Strict' : o.sameSite;
  const parts = {Domain: o.domain, Path: o.path, Expires: o.expires?.toUTCString(), SameSite: sameSite || undefined};
  for (const [k, v] of Object.entries(parts)) {
    text += v === undefined ? '' : `; ${k}=${v}`;
  }
  return text + (o.httpOnly ? '; HttpOnly' : '') + (o.secure ? '; Secure' : '') + (o.partitioned ? '; Partitioned' : '');
}

module.exports = {Response};
