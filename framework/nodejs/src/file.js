'use strict';

const fs = require('node:fs');
const path = require('node:path');

/** Send a file, by its absolute path or inside options.root. done gets the error, if any; without it a missing file is a 404. */
function send(res, file, options, done) {
  if (typeof options === 'function') {
    [options, done] = [undefined, options];
  }
  const root = options?.root && path.resolve(options.root);
  const at = root ? path.resolve(root, file) : file;
  if (!path.isAbsolute(file) && !root) {
    throw new TypeError(`sendFile: the path "${file}" must be absolute, or options.root be set`);
  }
  const failed = err => {
    if (done) {
      done(err);
    } else if (res.headersSent) {
      res.destroy();
    } else {
      res.sendStatus(404);
    }
  };
  if (root && at !== root && !at.startsWith(root + path.sep)) {
    failed(Object.assign(new Error(`"${file}" is outside of the root`), {status: 403}));
    return;
  }
  fs.stat(at, (err, info) => {
    if (err || !info.isFile()) {
      failed(err ?? Object.assign(new Error(`"${file}" is no file`), {status: 404}));
      return;
    }
    if (!res.hasHeader('Content-Type')) {
      res.type(path.basename(at));
    }
    res.set(options?.headers ?? {}).set('Content-Length', info.size).set('Last-Modified', info.mtime.toUTCString());
    require('node:stream').pipeline(fs.createReadStream(at), res, streamErr => (streamErr ? failed(streamErr) : done?.()));
  });
}

module.exports = {send};
