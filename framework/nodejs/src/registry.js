'use strict';

// Functions that registered themselves. They are kept on the global object, so that two copies of this package in one program, such as
// one in the function's own node_modules, know of the same functions.
const key = Symbol.for('openfunction.functions.registered');

const namePattern = /^[A-Za-z](?:[-_A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const methodPattern = /^[!#$%&'*+.^_`|~A-Z0-9-]+$/;

const store = globalThis[key] ?? (globalThis[key] = {entries: new Map(), errors: []});

/** Every function registered so far, by name. */
function registered() {
  return store.entries;
}

/** What is wrong with the registrations, one text each. */
function registrationErrors() {
  return store.errors;
}

function register(signature, name, declared, handler) {
  if (handler === undefined && (typeof declared !== 'object' || declared === null)) {
    [declared, handler] = [{}, declared];
  } else if (typeof declared === 'string') {
    declared = {path: declared};
  }
  const entry = {name, signature, handler, ...check(signature, name, declared ?? {}, handler)};
  if (store.entries.has(name)) {
    store.errors.push(`the function name "${name}" is registered twice`);
    return;
  }
  store.entries.set(name, entry);
}

// check tells all that is wrong with a registration and returns its path, methods and other options.
function check(signature, name, declared, handler) {
  const wrong = text => store.errors.push(`function "${name}": ${text}`);
  if (typeof name !== 'string' || !namePattern.test(name)) {
    wrong('a name begins with a letter, ends with a letter or digit, and has at most 63 letters, digits, - and _');
  }
  if (typeof handler !== 'function') {
    wrong(`the handler is ${handler === null ? 'null' : `a value of type ${typeof handler}`}, but must be a function`);
  }
  const {path, methods} = declared;
  if (path !== undefined && (typeof path !== 'string' || !path.startsWith('/'))) {
    wrong(`the path is ${JSON.stringify(path)}, but must be a string that begins with /`);
  }
  if (methods !== undefined && signature === 'cloudevent') {
    wrong('functions of CloudEvents take no methods');
  } else if (methods !== undefined && !(Array.isArray(methods) && methods.every(m => methodPattern.test(m)))) {
    wrong(`the methods are ${JSON.stringify(methods)}, but must be an array such as ["GET", "POST"]`);
  }
  return {path, methods: methods?.length ? methods : undefined, stream: declared.stream === true, parse: declared.parse};
}

/** Register a function of HTTP requests: http(name, [path or options], handler). */
const http = (name, declared, handler) => register('http', name, declared, handler);

/** Register a function of CloudEvents. */
const cloudEvent = (name, declared, handler) => register('cloudevent', name, declared, handler);

/** Register a function of OpenFunction's signature (ctx, data). */
const openfunction = (name, declared, handler) => register('openfunction', name, declared, handler);

/** Register a function of JSON values. options.parse converts or refuses (throws) the value. */
const typed = (name, declared, handler) => register('typed', name, declared, handler);

module.exports = {registered, registrationErrors, http, cloudEvent, openfunction, typed};
