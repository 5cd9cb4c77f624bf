'use strict';

// A complete server: the script "start" of package.json runs as it is.
const express = require('express');

express()
  .get('/', (req, res) => res.send('Hello from Express\n'))
  .listen(process.env.PORT ?? 8080);
