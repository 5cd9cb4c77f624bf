'use strict';

const {parseQuery} = require('./query');

/** A request that is answered with a status and text, because its body is wrong. */
class BodyError extends Error {
  constructor(status, message, headers) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** The client went away before its request was whole: there is nobody to answer. */
class Aborted extends Error {}

const tooLarge = limit => new BodyError(413, `the request body is larger than ${limit} bytes`);

/** The media type of a content type: lower case, without parameters; empty when there is none. */
function mediaType(contentType) {
  if (!contentType) {
    return '';
  }
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/** Whether a media type is JSON. */
function isJSON(type) {
  return type === 'application/json' || type === 'text/json' || type.endsWith('+json');
}

/** Read the body whole: a Buffer of at most limit bytes, otherwise a BodyError. */
function readBody(req, limit) {
  return new Promise((resolve, reject) => {
    if (Number(req.headers['content-length']) > limit) {
      reject(tooLarge(limit));
      return;
    }
    const chunks = [];
    let size = 0;
    const take = chunk => {
      size += chunk.length;
      if (size > limit) {
        done();
        req.resume(); // what is left of it is read and dropped
        reject(tooLarge(limit));
        return;
      }
      chunks.push(chunk);
    };
    const end = () => {
      done();
      resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, size));
    };
    const broken = () => {
      done();
      reject(new Aborted('the client went away'));
    };
    const done = () => {
      req.off('data', take).off('end', end).off('close', broken).off('error', broken);
    };
    req.on('data', take).on('end', end).on('close', broken).on('error', broken);
  });
}

const inflaters = {gzip: 'gunzip', 'x-gzip': 'gunzip', deflate: 'inflate', br: 'brotliDecompress'};

/** Undo the content encoding of a body, within the same limit. */
function decompress(req, body, limit) {
  const encoding = (req.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity' || encoding === '' || body.length === 0) {
    return body;
  }
  const inflate = inflaters[encoding];
  if (!inflate) {
    throw new BodyError(415, `the content encoding "${encoding}" is not known here: send gzip, deflate, br or none`);
  }
  return new Promise((resolve, reject) => {
    require('node:zlib')[inflate](body, {maxOutputLength: limit}, (err, out) => {
      if (!err) {
        resolve(out);
      } else {
        reject(err.code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(limit) : new BodyError(400, `the request body is not ${encoding}: ${err.message}`));
      }
    });
  });
}

function charset(contentType) {
  return /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType ?? '')?.[1] ?? 'utf-8';
}

/** The text of a body in the charset that its content type names. */
function textOf(body, contentType) {
  const name = charset(contentType).toLowerCase();
  if (name === 'utf-8' || name === 'utf8') {
    return body.toString('utf8');
  }
  try {
    return new TextDecoder(name).decode(body);
  } catch {
    throw new BodyError(415, `the charset "${name}" is not known here: send UTF-8`);
  }
}

/** The value that a function finds in req.body: JSON, form, text, otherwise the bytes. */
function parseBody(body, contentType) {
  const type = mediaType(contentType);
  if (isJSON(type)) {
    if (body.length === 0) {
      return {};
    }
    try {
      return JSON.parse(textOf(body, contentType));
    } catch (err) {
      throw err instanceof BodyError ? err : new BodyError(400, `the request body is not JSON: ${oneLine(err)}`);
    }
  }
  if (type === 'application/x-www-form-urlencoded') {
    return parseQuery(textOf(body, contentType));
  }
  return type === 'text/plain' ? textOf(body, contentType) : body;
}

/** The text of an error on one line. */
function oneLine(err) {
  return String(err.message || err.name).replace(/\s+/g, ' ');
}

/** JSON of bytes that must be UTF-8. */
function strictJSON(body) {
  return JSON.parse(new TextDecoder('utf-8', {fatal: true}).decode(body));
}

module.exports = {BodyError, Aborted, readBody, decompress, parseBody, mediaType, isJSON, textOf, oneLine, strictJSON};
