'use strict';

// The smallest function: one file, no package.json.
exports.helloWorld = (req, res) => {
  res.type('text/plain').send(`Hello, ${req.query.name ?? 'World'}!\n`);
};
