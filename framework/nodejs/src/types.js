'use strict';

// Media types by the names that Express takes: extensions, "type/*", "+json".
const byExtension = {
  html: 'text/html', htm: 'text/html', text: 'text/plain', txt: 'text/plain', css: 'text/css', csv: 'text/csv', md: 'text/markdown',
  js: 'text/javascript', mjs: 'text/javascript', json: 'application/json', xml: 'application/xml', pdf: 'application/pdf',
  zip: 'application/zip', gz: 'application/gzip', tar: 'application/x-tar', wasm: 'application/wasm', bin: 'application/octet-stream',
  urlencoded: 'application/x-www-form-urlencoded', multipart: 'multipart/*', png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg',
  gif: 'image/gif', svg: 'image/svg+xml', webp: 'image/webp', ico: 'image/x-icon', mp3: 'audio/mpeg', mp4: 'video/mp4',
  woff: 'font/woff', woff2: 'font/woff2',
};

/** The media type of a name such as "json", ".html", "report.pdf" or "text/plain", without charset; undefined when unknown. */
function lookup(name) {
  if (name.includes('/') && !name.includes('.')) {
    return name;
  }
  return byExtension[name.slice(name.lastIndexOf('.') + 1).toLowerCase()] ?? (name.includes('/') ? name : undefined);
}

/** A media type with the charset that text has here. */
function withCharset(type) {
  const text = type.startsWith('text/') || type === 'application/json' || type === 'image/svg+xml';
  return text && !type.includes('charset') ? `${type}; charset=utf-8` : type;
}

/** Whether a media type is what was asked for. */
function matches(type, wanted) {
  if (wanted.startsWith('+')) {
    return type.endsWith(wanted);
  }
  const full = lookup(wanted);
  if (!full) {
    return false;
  }
  const [major, minor] = full.split('/');
  const [ownMajor, ownMinor = ''] = type.split('/');
  return (major === '*' || major === ownMajor) && (minor === '*' || minor === ownMinor || (minor.startsWith('*+') && ownMinor.endsWith(minor.slice(1))));
}

function parseAccept(header) {
  return (header ?? '*/*').split(',').map((part, at) => {
    const [name, ...parameters] = part.trim().split(';');
    const q = parameters.map(p => /^\s*q=([0-9.]+)/.exec(p)?.[1]).find(Boolean);
    return {name: name.trim().toLowerCase(), q: q === undefined ? 1 : Number(q), at};
  }).filter(a => a.name !== '');
}

const specificity = name => (name === '*/*' || name === '*' ? 0 : name.endsWith('/*') ? 1 : 2);

// best chooses among what is offered: by the client's quality, then by the order of the offers.
function best(accepted, offers, fits) {
  let found = {q: 0};
  for (const offer of offers) {
    const rules = accepted.filter(a => fits(a.name, offer)).sort((x, y) => specificity(y.name) - specificity(x.name) || x.at - y.at);
    if (rules.length > 0 && rules[0].q > found.q) {
      found = {q: rules[0].q, offer};
    }
  }
  return found.offer ?? false;
}

function accepts(header, offers) {
  const accepted = parseAccept(header);
  if (offers.length === 0) {
    return accepted.filter(a => a.q > 0).sort((x, y) => y.q - x.q || x.at - y.at).map(a => a.name);
  }
  return best(accepted, offers, (rule, offer) => matches(lookup(offer) ?? offer, rule));
}

function acceptsToken(header, offers) {
  const accepted = parseAccept(header ?? '*');
  if (offers.length === 0) {
    return accepted.filter(a => a.q > 0).sort((x, y) => y.q - x.q || x.at - y.at).map(a => a.name);
  }
  const fits = (rule, offer) => rule === '*' || rule === offer.toLowerCase() || offer.toLowerCase().startsWith(rule + '-');
  return best(accepted, offers, fits);
}

module.exports = {lookup, withCharset, matches, accepts, acceptsToken};
