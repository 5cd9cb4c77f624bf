'use strict';

const {BodyError, mediaType, isJSON, oneLine, strictJSON} = require('./body');

// What an event was read from, so that an event that is sent back unchanged is the same to the byte.
const origin = Symbol('origin');

const required = ['specversion', 'id', 'source', 'type'];
const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|[+-](\d\d):(\d\d))$/;

/** A CloudEvent: attributes and data are its properties. */
class CloudEvent {
  /** attributes without id, source or type get them when the event is sent. */
  constructor(attributes) {
    this.specversion = '1.0';
    Object.assign(this, attributes);
    if (this.time instanceof Date) {
      this.time = this.time.toISOString();
    }
  }

  /** The data as bytes, as they came. */
  get rawData() {
    return this[origin]?.raw;
  }
}

function isTime(text) {
  const m = rfc3339.exec(text);
  if (!m) {
    return false;
  }
  const [, year, month, day, hour, minute, second, offHour = 0, offMinute = 0] = m.map(Number);
  const days = month >= 1 && month <= 12 ? new Date(Date.UTC(year < 100 ? year + 400 : year, month, 0)).getUTCDate() : 0;
  return day >= 1 && day <= days && hour < 24 && minute < 60 && second <= 60 && (offHour || 0) < 24 && (offMinute || 0) < 60;
}

/** What is wrong with the attributes, or undefined. */
function invalid(attributes, subject) {
  for (const name of required) {
    if (attributes[name] === undefined || attributes[name] === '') {
      return `${subject} lacks the attribute ${name}`;
    }
  }
  if (attributes.specversion !== '1.0') {
    return `${subject} has the specversion "${attributes.specversion}", but 1.0 is needed`;
  }
  for (const name of Object.keys(attributes).sort()) {
    const value = attributes[name];
    if (!/^[a-z0-9]+$/.test(name) || typeof value === 'object' || (name === 'time' && !isTime(String(value)))) {
      return `${subject} has an invalid attribute ${name}`;
    }
  }
  return undefined;
}

function refuse(text) {
  throw new BodyError(400, text);
}

function utf8(bytes) {
  try {
    return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes);
  } catch {
    return undefined;
  }
}

/** The value of a ce- header: the bytes of a header are UTF-8, percent-encoded or not. */
function decodeHeader(text) {
  const plain = utf8(Buffer.from(text, 'latin1')) ?? text;
  if (!plain.includes('%')) {
    return plain;
  }
  const bytes = Buffer.from(plain.replace(/%[0-9A-Fa-f]{2}|[^%]+|%/gu, part => (
    part.length === 3 && part[0] === '%' ? String.fromCharCode(parseInt(part.slice(1), 16)) : Buffer.from(part).toString('latin1')
  )), 'latin1');
  return utf8(bytes) ?? plain;
}

/** The data of a body: JSON, text, otherwise bytes. */
function dataOf(body, contentType) {
  const type = mediaType(contentType);
  if (body.length === 0) {
    return undefined;
  }
  if (isJSON(type)) {
    try {
      return strictJSON(body);
    } catch {
      return body;
    }
  }
  return type.startsWith('text/') ? utf8(body) ?? body : body;
}

function fromBinary(req, body) {
  const attributes = {};
  for (const [name, value] of Object.entries(req.headers)) {
    if (/^ce-[a-z0-9]+$/.test(name) && name !== 'ce-datacontenttype') {
      attributes[name.slice(3)] = decodeHeader(String(value));
    }
  }
  const contentType = req.headers['content-type'];
  if (contentType !== undefined) {
    attributes.datacontenttype = contentType;
  }
  const wrong = invalid(attributes, 'the CloudEvent');
  if (wrong) {
    refuse(wrong);
  }
  const event = new CloudEvent(attributes);
  const data = dataOf(body, contentType);
  if (data !== undefined) {
    event.data = data;
    Object.defineProperty(event, origin, {value: {raw: body, data}});
  }
  return event;
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function fromObject(value, subject) {
  const {data, data_base64: encoded, ...rest} = value;
  const attributes = {};
  for (const [name, v] of Object.entries(rest)) {
    if (v !== null) {
      attributes[name] = v;
    }
  }
  const wrong = invalid(attributes, subject);
  if (wrong) {
    refuse(wrong);
  }
  const event = new CloudEvent(attributes);
  if (encoded !== undefined && encoded !== null) {
    if (data !== undefined || typeof encoded !== 'string' || !base64.test(encoded)) {
      refuse(`${subject} has invalid data`);
    }
    event.data = Buffer.from(encoded, 'base64');
  } else if (data !== undefined) {
    event.data = data;
  }
  return event;
}

function fromStructured(body) {
  let value;
  try {
    value = strictJSON(body);
  } catch (err) {
    refuse(`the CloudEvent is not a JSON object: ${oneLine(err)}`);
  }
  if (!isObject(value)) {
    refuse('the CloudEvent is not a JSON object: it is another kind of value');
  }
  return fromObject(value, 'the CloudEvent');
}

function fromBatch(body) {
  let values;
  try {
    values = strictJSON(body);
  } catch (err) {
    refuse(`the batch is not a JSON array of CloudEvents: ${oneLine(err)}`);
  }
  if (!Array.isArray(values)) {
    refuse('the batch is not a JSON array of CloudEvents: it is another kind of value');
  }
  return values.map((value, i) => {
    const subject = `CloudEvent ${i + 1} of ${values.length}`;
    if (!isObject(value)) {
      refuse(`${subject} is not a JSON object: it is another kind of value`);
    }
    return fromObject(value, subject);
  });
}

/** Which form of event a request has by its headers: batch, structured, binary, unknown (an event of a format nobody knows) or none. */
function modeOf(req) {
  const type = mediaType(req.headers['content-type']);
  if (type === 'application/cloudevents-batch+json') {
    return 'batch';
  }
  if (type === 'application/cloudevents+json') {
    return 'structured';
  }
  if (type.startsWith('application/cloudevents')) {
    return 'unknown';
  }
  return req.headers['ce-specversion'] ? 'binary' : 'none';
}

/** The one event of a request in binary or structured form; what is wrong with it is a BodyError. */
function parseOne(req, body, mode) {
  return mode === 'structured' ? fromStructured(body) : fromBinary(req, body);
}

function encodeHeader(value) {
  return String(value).replace(/[^\x21\x23\x24\x26-\x7e]/gu, c => (
    [...Buffer.from(c)].map(b => '%' + b.toString(16).toUpperCase().padStart(2, '0')).join('')
  ));
}

function unchanged(from, data) {
  if (!from || from.data !== data) {
    return false;
  }
  return typeof data !== 'object' || Buffer.isBuffer(data) || JSON.stringify(data) === JSON.stringify(JSON.parse(from.raw));
}

const bytesOf = view => (Buffer.isBuffer(view) ? view : Buffer.from(view.buffer, view.byteOffset, view.byteLength));

/** The headers and body of an event in binary form. */
function toBinary(event) {
  const headers = {};
  let type = event.datacontenttype;
  for (const [name, value] of Object.entries(event)) {
    if (/^[a-z0-9]+$/.test(name) && name !== 'data' && name !== 'datacontenttype' && isAttribute(value)) {
      headers[`ce-${name}`] = encodeHeader(value instanceof Date ? value.toISOString() : value);
    }
  }
  const data = event.data ?? (typeof event.data_base64 === 'string' ? Buffer.from(event.data_base64, 'base64') : undefined);
  if (data === undefined) {
    return {headers, body: Buffer.alloc(0), type};
  }
  if (unchanged(event[origin], data)) {
    return {headers, body: event[origin].raw, type};
  }
  if (ArrayBuffer.isView(data)) {
    return {headers, body: bytesOf(data), type};
  }
  if (typeof data === 'string' && type !== undefined && !isJSON(mediaType(type))) {
    return {headers, body: Buffer.from(data), type};
  }
  type ??= 'application/json';
  return {headers, body: Buffer.from(JSON.stringify(data)), type};
}

const isAttribute = value => ['string', 'number', 'boolean'].includes(typeof value) || value instanceof Date;

/** The JSON form of an event, as a value. */
function toJSON(event) {
  const out = {};
  for (const name of required) {
    out[name] = event[name];
  }
  for (const name of Object.keys(event).sort()) {
    if (!required.includes(name) && /^[a-z0-9]+$/.test(name) && name !== 'data' && isAttribute(event[name])) {
      out[name] = event[name];
    }
  }
  if (ArrayBuffer.isView(event.data)) {
    out.data_base64 = bytesOf(event.data).toString('base64');
  } else if (event.data !== undefined) {
    out.data = event.data;
  } else if (event.data_base64 !== undefined) {
    out.data_base64 = event.data_base64;
  }
  return out;
}

module.exports = {CloudEvent, modeOf, parseOne, fromBatch, toBinary, toJSON, isObject};
