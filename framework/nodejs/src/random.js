'use strict';

let crypto; // loaded when it is first needed: it takes a good part of a cold start

/** Random bytes as lower-case hexadecimal digits. */
function randomHex(bytes) {
  crypto ??= require('node:crypto');
  return crypto.randomBytes(bytes).toString('hex');
}

/** A random UUID. */
function randomUUID() {
  crypto ??= require('node:crypto');
  return crypto.randomUUID();
}

module.exports = {randomHex, randomUUID};
