'use strict';

// Queries and forms in the extended way of Express: a[b]=1 is an object, a[]=1 and a=1&a=2 are arrays.
const maxParameters = 1000;
const maxDepth = 5;
const maxIndex = 20;

function decode(text) {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) {
    return spaced;
  }
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

// keys splits "a[b][]" into a, b and an empty text. Brackets beyond the greatest depth stay one key.
function keys(name) {
  const open = name.indexOf('[');
  if (open <= 0) {
    return [name];
  }
  const path = [name.slice(0, open)];
  const bracket = /\[([^[\]]*)\]/y;
  bracket.lastIndex = open;
  let end = open;
  for (let m; path.length <= maxDepth && (m = bracket.exec(name)); ) {
    path.push(m[1]);
    end = bracket.lastIndex;
  }
  if (end < name.length) {
    path.push(name.slice(end));
  }
  return path;
}

const isIndex = key => key === '' || (/^[0-9]{1,2}$/.test(key) && Number(key) <= maxIndex);
const forbidden = key => key in Object.prototype;

function add(at, key, value) {
  if (Array.isArray(at)) {
    if (key === '') {
      at.push(value);
    } else if (at[key] === undefined) {
      at[key] = value;
    } else {
      at[key] = [].concat(at[key], value);
    }
    return;
  }
  at[key] = Object.hasOwn(at, key) ? [].concat(at[key], value) : value;
}

// child returns the object or array below a key, made as the next key needs it.
function child(at, key, next) {
  const fresh = isIndex(next) ? [] : {};
  if (Array.isArray(at) && key === '') {
    at.push(fresh);
    return fresh;
  }
  const there = Object.hasOwn(at, key) ? at[key] : undefined;
  if (there === undefined) {
    at[key] = fresh;
  } else if (typeof there !== 'object') {
    at[key] = isIndex(next) ? [there] : {[there]: true};
  } else if (Array.isArray(there) && !isIndex(next)) {
    at[key] = {...there};
  }
  return at[key];
}

function set(result, name, value) {
  const path = keys(name);
  if (path.some(forbidden)) {
    return;
  }
  let at = result;
  for (let i = 0; i < path.length - 1; i++) {
    at = child(at, path[i], path[i + 1]);
  }
  add(at, path.at(-1), value);
}

const dense = value => {
  if (Array.isArray(value)) {
    return value.filter(v => v !== undefined).map(dense);
  }
  if (value && typeof value === 'object') {
    for (const key of Object.keys(value)) {
      value[key] = dense(value[key]);
    }
  }
  return value;
};

/** Parse the text of a query or form. Parameters beyond the thousandth are dropped. */
function parseQuery(text) {
  const result = {};
  let nested = false;
  for (const part of text.split('&', maxParameters)) {
    if (part === '') {
      continue;
    }
    const eq = part.indexOf(']=') >= 0 ? part.indexOf(']=') + 1 : part.indexOf('=');
    const name = decode(eq < 0 ? part : part.slice(0, eq));
    const value = eq < 0 ? '' : decode(part.slice(eq + 1));
    nested ||= name.includes('[');
    if (name !== '') {
      set(result, name, value);
    }
  }
  return nested ? dense(result) : result;
}

module.exports = {parseQuery};
