// Several functions in one application, each with its path and methods.
import {http, cloudEvent, typed, logger} from '@openfunction/functions-framework';

http('hello', {path: '/hello/{name}', methods: ['GET']}, (req, res) => {
  logger.info('greeting', {name: req.params.name});
  res.type('text/plain').send(`hello ${req.params.name}\n`);
});

http('upload', {path: '/upload', methods: ['POST'], stream: true}, async (req, res) => {
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
  }
  res.json({size});
});

typed('add', {path: '/add'}, ({a, b}) => ({sum: a + b}));

cloudEvent('note', {path: '/note'}, event => console.log(event.id));
