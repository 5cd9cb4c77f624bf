'use strict';

const {BodyError, strictJSON} = require('./body');
const {CloudEvent, isObject} = require('./cloudevent');

// Background events of Google Cloud Functions and the CloudEvents that they are.
const storage = {finalize: 'finalized', delete: 'deleted', archive: 'archived', metadataUpdate: 'metadataUpdated'};
const firestore = {create: 'created', delete: 'deleted', update: 'updated', write: 'written'};

/** The background event in a body, {context, data}, or undefined when there is none. */
function legacyOf(body) {
  let value;
  try {
    value = strictJSON(body);
  } catch {
    return undefined;
  }
  if (!isObject(value) || value.data === undefined) {
    return undefined;
  }
  if (isObject(value.context)) {
    return {context: value.context, data: value.data};
  }
  if (value.eventId === undefined || value.eventType === undefined) {
    return undefined;
  }
  const {data, ...context} = value;
  return {context, data};
}

function kind(eventType) {
  const m = /^providers\/cloud\.([a-z]+)\/eventTypes\/(.+)$/.exec(eventType);
  if (m) {
    return {service: m[1], what: m[2]};
  }
  const g = /^google\.(pubsub|storage)\.(.+)$/.exec(eventType);
  return g ? {service: g[1], what: g[2]} : {};
}

function split(name, at) {
  const i = name.indexOf(`/${at}/`);
  return i < 0 ? [name, undefined] : [name.slice(0, i), name.slice(i + 1)];
}

// convert returns type, source, subject and data of a known kind of event, otherwise undefined.
function convert({service, what}, name, context, data) {
  if (service === 'pubsub' && what === 'topic.publish') {
    const message = {...data};
    message.messageId ??= context.eventId;
    message.publishTime ??= context.timestamp;
    return {type: 'google.cloud.pubsub.topic.v1.messagePublished', source: `//pubsub.googleapis.com/${name}`, data: {message}};
  }
  const verb = what?.replace(/^(object|document)\./, '');
  if (service === 'storage' && what.startsWith('object.') && storage[verb]) {
    const [source, subject] = split(name, 'objects');
    return {
      type: `google.cloud.storage.object.v1.${storage[verb]}`, source: `//storage.googleapis.com/${source}`,
      subject: subject?.replace(/#.*$/, ''), data,
    };
  }
  if (service === 'firestore' && what.startsWith('document.') && firestore[verb]) {
    const [source, subject] = split(name, 'documents');
    return {type: `google.cloud.firestore.document.v1.${firestore[verb]}`, source: `//firestore.googleapis.com/${source}`, subject, data};
  }
  return undefined;
}

/** The CloudEvent that a background event is; what is wrong with it is a BodyError. */
function toCloudEvent({context, data}) {
  for (const name of ['eventId', 'eventType', 'timestamp']) {
    if (!context[name]) {
      throw new BodyError(400, `the legacy event lacks ${name}`);
    }
  }
  const name = isObject(context.resource) ? context.resource.name : context.resource;
  if (typeof name !== 'string' || name === '') {
    throw new BodyError(400, 'the legacy event lacks resource');
  }
  const found = convert(kind(String(context.eventType)), name, context, data);
  if (!found) {
    throw new BodyError(400, `the legacy event type "${context.eventType}" is not known here`);
  }
  const {subject, ...rest} = found;
  return new CloudEvent({
    id: context.eventId, time: context.timestamp, datacontenttype: 'application/json', ...rest, ...(subject === undefined ? {} : {subject}),
  });
}

module.exports = {legacyOf, toCloudEvent};
