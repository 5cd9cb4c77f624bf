'use strict';

const {answer, functionHeader} = require('./failure');
const {Call} = require('./call');
const {calls} = require('./log');
const {serve} = require('./signature');
const {OptionsError} = require('./options');

const escape = text => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** The expression that a path such as "/hello/{name}" or "/{id:[0-9]+}" matches whole, and the names of its variables. */
function compile(pattern) {
  const names = [];
  let source = '';
  let at = 0;
  while (at < pattern.length) {
    const open = pattern.indexOf('{', at);
    if (open < 0) {
      source += escape(pattern.slice(at));
      break;
    }
    source += escape(pattern.slice(at, open));
    const close = closing(pattern, open);
    const [name, ...rest] = pattern.slice(open + 1, close).split(':');
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new OptionsError(`the path "${pattern}" has a variable without a name of letters and digits`);
    }
    names.push(name);
    source += `(${rest.length > 0 ? `(?:${rest.join(':').replace(/\((?!\?)/g, '(?:')})` : '[^/]+'})`;
    at = close + 1;
  }
  try {
    return {names, regexp: names.length > 0 ? new RegExp(`^${source}$`, 'u') : undefined, pattern};
  } catch (err) {
    throw new OptionsError(`the path "${pattern}" has an expression that is not valid: ${err.message}`);
  }
}

function closing(pattern, open) {
  for (let depth = 0, i = open; i < pattern.length; i++) {
    depth += pattern[i] === '{' ? 1 : pattern[i] === '}' ? -1 : 0;
    if (depth === 0) {
      return i;
    }
  }
  throw new OptionsError(`the path "${pattern}" has a { without its }`);
}

function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

// matchVariables returns the variables of a path, or undefined when it does not match.
function match(route, path) {
  if (!route.regexp) {
    return route.pattern === path ? {} : undefined;
  }
  const m = route.regexp.exec(path);
  return m ? Object.fromEntries(route.names.map((name, i) => [name, m[i + 1]])) : undefined;
}

// routes makes the table of functions and their paths; several patterns may lead to one function.
function routesOf(entries, target, serving) {
  const routes = [];
  const errors = [];
  const paths = new Map();
  for (const entry of entries) {
    const served = {entry, run: serve(entry, serving)};
    const patterns = [entry.path ?? '/'];
    if (entry.name === target && entry.path !== undefined && entry.path !== '/' && serving.several) {
      patterns.push('/');
    }
    for (const pattern of patterns) {
      if (paths.has(pattern)) {
        errors.push(`the functions "${paths.get(pattern)}" and "${entry.name}" have the same path "${pattern}"`);
      }
      paths.set(pattern, entry.name);
      routes.push({...served, ...compile(pattern)});
    }
  }
  if (errors.length > 0) {
    throw new OptionsError(errors.join('; '));
  }
  return routes;
}

/**
 * Make the function (req, res, hasBody) that calls functions. entries are those to serve; target is the selected one, if any. serving has
 * the options, the context, the plugins, and whether the application registered several functions.
 */
function router(entries, target, serving) {
  const marked = entries.length > 1;
  const [only] = entries;
  const nameOf = entry => (marked || entry.named ? entry.name : serving.context.name || serving.options.service || entry.name || 'function');
  if (!marked && only.path === undefined && !only.methods) {
    const run = serve(only, serving);
    const name = nameOf(only);
    return (req, res, hasBody) => enter(req, res, {name, run, hasBody});
  }
  const routes = routesOf(entries, target, serving);
  return (req, res, hasBody) => {
    const query = req.url.indexOf('?');
    const path = decoded(query < 0 ? req.url : req.url.slice(0, query));
    const allowed = new Set();
    for (const route of routes) {
      const params = match(route, path);
      if (!params) {
        continue;
      }
      if (!route.entry.methods || route.entry.methods.includes(req.method)) {
        req.params = params;
        if (marked) {
          res.setHeader(functionHeader, route.entry.name);
        }
        enter(req, res, {name: nameOf(route.entry), run: route.run, hasBody, marked});
        return;
      }
      route.entry.methods.forEach(m => allowed.add(m));
    }
    if (allowed.size > 0) {
      answer(res, 405, 'method not allowed', {Allow: [...allowed].sort().join(', ')});
    } else {
      answer(res, 404, 'no function is served at this path');
    }
  };
}

// enter begins a call: whatever the function starts, and wherever it fails, is known to belong to it.
function enter(req, res, {name, run, hasBody, marked = false}) {
  const call = new Call(req, res, name);
  call.marked = marked;
  req.call = call;
  calls.run(call, run, call, req, res, hasBody);
}

module.exports = {router, compile, match};
