#!/usr/bin/env node
'use strict';

require('./src/main').main(process.argv.slice(2));
