// The application of several functions of the conformance suite, as an ES module.
import functions, {http, cloudEvent, openfunction} from '../../index.js';

const plain = (res, text) => res.type('text/plain').send(text);

http('hello', {path: '/hello/{name}', methods: ['GET']}, (req, res) => plain(res, `hello ${req.params.name}\n`));
http('number', '/{id:[0-9]+}', (req, res) => plain(res, `number ${req.params.id}\n`));
http('save', {path: '/save', methods: ['POST', 'PUT']}, (req, res) => plain(res, 'saved\n'));
http('load', {path: '/load', methods: ['GET']}, (req, res) => plain(res, 'loaded\n'));
cloudEvent('note', {path: '/note'}, () => {});
functions.http('bad', '/bad', () => {
  throw new Error('the secret cause');
});
openfunction('of', {path: '/of'}, ctx => ctx.req.rawBody);
