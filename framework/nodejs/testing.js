'use strict';

// For the unit tests of functions: a registered function by its name, and a server of it that does not listen yet.
const {registered} = require('./src/registry');
const {createServer} = require('./src/server');
const {router} = require('./src/router');
const {parseContext} = require('./src/context');
const {defaults} = require('./src/options');

function find(name) {
  const entry = registered().get(name);
  if (!entry) {
    throw new Error(`no function named "${name}" is registered: load the module that registers it first`);
  }
  return entry;
}

/** The handler that was registered by that name, or undefined. */
function getFunction(name) {
  return registered().get(name)?.handler;
}

/** An http.Server that serves the registered function at its path. Call its listen(), or hand it to a test client. */
function getTestServer(name) {
  const app = router([find(name)], name, {options: defaults(), context: parseContext({})});
  return createServer(app, defaults()).server;
}

module.exports = {getFunction, getTestServer};
