'use strict';

const fs = require('node:fs');
const path = require('node:path');
const {createRequire} = require('node:module');
const {pathToFileURL} = require('node:url');
const {registered, registrationErrors} = require('./registry');
const {isPlugin} = require('./plugin');
const {OptionsError} = require('./options');

/** User code that could not be loaded: message says why, stack is the traceback. */
class LoadError extends Error {
  constructor(message, cause) {
    super(message, {cause});
    this.traceback = cause?.stack;
  }
}

const defaultFiles = ['index.js', 'index.mjs', 'index.cjs', 'function.js', 'function.mjs', 'function.cjs'];

/** The file that a source names: the file itself, or the main of a directory. */
function mainFile(source) {
  const at = path.resolve(source);
  const info = fs.statSync(at, {throwIfNoEntry: false});
  if (!info) {
    throw new OptionsError(`there is no ${at}: FUNCTION_SOURCE must name the file or directory of the function`);
  }
  if (info.isFile()) {
    return at;
  }
  const manifest = path.join(at, 'package.json');
  let main;
  if (fs.existsSync(manifest)) {
    try {
      ({main} = JSON.parse(fs.readFileSync(manifest, 'utf8')));
    } catch (err) {
      throw new OptionsError(`reading ${manifest}: ${err.message}`);
    }
  }
  const isFile = f => fs.statSync(f, {throwIfNoEntry: false})?.isFile();
  const candidates = typeof main === 'string' ? ['', '.js', '.cjs', '.mjs', '/index.js'].map(end => path.join(at, main) + end) : [];
  const found = [...candidates, ...defaultFiles.map(f => path.join(at, f))].find(isFile);
  if (!found) {
    const wanted = typeof main === 'string' ? `neither ${main} (main of package.json) nor` : 'none of';
    throw new OptionsError(`${at} has ${wanted} ${defaultFiles.join(', ')}: name the file of the function with "main" in package.json or FUNCTION_SOURCE`);
  }
  return found;
}

async function loadModule(file) {
  if (file.endsWith('.mjs')) {
    return import(pathToFileURL(file).href);
  }
  try {
    return createRequire(file)(file);
  } catch (err) {
    if (err.code === 'ERR_REQUIRE_ESM' || err.code === 'ERR_REQUIRE_ASYNC_MODULE') {
      return import(pathToFileURL(file).href);
    }
    throw err;
  }
}

function loadError(file, err) {
  if (err instanceof OptionsError) {
    return err;
  }
  const text = err instanceof Error ? err.message.split('\nRequire stack:')[0] : String(err);
  const where = err instanceof SyntaxError ? /^(.+:\d+)$/m.exec(err.stack?.split('\n', 1)[0] ?? '')?.[1] : undefined;
  return new LoadError(`loading ${where ?? file}: ${err?.name ?? 'Error'}: ${text}`, err instanceof Error ? err : new Error(text));
}

/** Load a module of user code. */
async function load(file) {
  try {
    return await loadModule(file);
  } catch (err) {
    throw loadError(file, err);
  }
}

const isNamespace = m => m !== null && typeof m === 'object' && m[Symbol.toStringTag] === 'Module';

function walk(root, names) {
  let value = root;
  for (const name of names) {
    value = value !== undefined && value !== null && (typeof value === 'object' || typeof value === 'function') ? value[name] : undefined;
  }
  return value;
}

/** The names of what a module exports, for messages. */
function exportsOf(module) {
  const names = typeof module === 'object' && module !== null ? Object.keys(module) : [];
  if (typeof module === 'function') {
    names.push('module.exports (a function)', ...Object.keys(module));
  }
  return names;
}

const kindOf = value => (value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value} (${String(value).slice(0, 80)})`);

// lookup finds an export: by its dotted name, in the default export, or the module that is the function itself.
function lookup(module, target) {
  const names = target.split('.');
  const direct = walk(module, names);
  if (direct !== undefined) {
    return direct;
  }
  const fallback = isNamespace(module) || module?.__esModule ? module.default : undefined;
  const inDefault = walk(fallback, names);
  if (inDefault !== undefined) {
    return inDefault;
  }
  return [module, fallback].find(m => typeof m === 'function' && (m.name === target || target === 'default'));
}

// untargeted finds what to serve when no target is named.
function untargeted(module) {
  const fallback = isNamespace(module) || module?.__esModule ? module.default : undefined;
  for (const m of [module, fallback]) {
    if (asApplication(m)) {
      return ['default', m];
    }
  }
  if (module?.function !== undefined) {
    return ['function', module.function];
  }
  const whole = [fallback, module].find(m => typeof m === 'function');
  if (whole) {
    return [whole.name || 'function', whole];
  }
  const functions = Object.entries({...fallback, ...module}).filter(([k, v]) => k !== 'default' && (typeof v === 'function' || asApplication(v)) && !isPlugin(v));
  return functions.length === 1 ? functions[0] : [undefined, undefined];
}

/** The request listener of an application that is served as it is: Express, Connect, Koa, Fastify, or a server of node:http. */
function asApplication(value) {
  if (typeof value === 'function' && typeof value.handle === 'function' && typeof value.use === 'function') {
    return {handler: value};
  }
  if (value === null || typeof value !== 'object') {
    return undefined;
  }
  if (typeof value.callback === 'function' && typeof value.use === 'function') {
    return {handler: value.callback()};
  }
  if (typeof value.ready === 'function' && typeof value.routing === 'function') {
    return {handler: value.routing, ready: () => value.ready()};
  }
  if (typeof value.emit === 'function' && typeof value.listen === 'function' && typeof value.setTimeout === 'function') {
    return {handler: (req, res) => void value.emit('request', req, res), upgrades: value};
  }
  return undefined;
}

function entryOf(name, value, options, file) {
  const application = asApplication(value);
  if (application) {
    return {name, signature: 'application', ...application};
  }
  if (typeof value !== 'function') {
    throw new OptionsError(`"${name}" in ${file} is ${kindOf(value)}, but must be a function`);
  }
  return {name, signature: options.signature, handler: value, stream: value.stream === true, named: true};
}

/**
 * Load the function that the options name. The result has the entries to serve, the target if one is selected, whether the application
 * registered several, and the directory of the source.
 */
async function loadFunctions(options) {
  const file = mainFile(options.source);
  const module = await load(file);
  const wrong = registrationErrors();
  if (wrong.length > 0) {
    throw new OptionsError(`registering functions in ${file}: ${wrong.join('; ')}`);
  }
  const all = [...registered().values()].map(e => ({...e, named: true}));
  const several = all.length > 1;
  const {target} = options;
  if (target === undefined && all.length > 0) {
    return {entries: all, several, file};
  }
  const selected = all.find(e => e.name === target);
  if (selected) {
    return {entries: [selected], target, several, file};
  }
  const [name, value] = target === undefined ? untargeted(module) : [target, lookup(module, target)];
  if (value === undefined) {
    throw missing(target, file, [...all.map(e => e.name), ...exportsOf(module)]);
  }
  const entry = entryOf(name, value, options, file);
  entry.named = target !== undefined;
  return {entries: [entry], several: false, file};
}

function missing(target, file, names) {
  const there = names.length > 0 ? `there are: ${names.join(', ')}` : 'it exports and registers nothing';
  if (target === undefined) {
    return new OptionsError(`${file} has no single function to serve; ${there}. Name one with FUNCTION_TARGET (at build: FUNC_NAME)`);
  }
  return new OptionsError(`there is no function "${target}" in ${file}; ${there}. Export it, register it, or correct FUNCTION_TARGET (at build: FUNC_NAME)`);
}

/** Load the plugins in the directory plugins/ beside the function or at the root of its source. */
async function loadPlugins(plugins, file, source) {
  const roots = new Set([path.dirname(file), path.resolve(source)]);
  for (const root of roots) {
    const dir = path.join(root, 'plugins');
    if (!isDirectory(dir)) {
      continue;
    }
    for (const name of fs.readdirSync(dir).sort()) {
      if (/\.(js|cjs|mjs)$/.test(name)) {
        await addPlugins(plugins, path.join(dir, name));
      }
    }
    break;
  }
  plugins.check();
}

function isDirectory(dir) {
  try {
    return fs.statSync(dir).isDirectory();
  } catch {
    return false;
  }
}

async function addPlugins(plugins, file) {
  const module = await load(file);
  const found = typeof module === 'function' ? [module] : Object.values(module);
  for (const value of found.filter(isPlugin)) {
    try {
      plugins.add(new value());
    } catch (err) {
      throw loadError(file, err);
    }
  }
}

module.exports = {loadFunctions, loadPlugins, LoadError};
